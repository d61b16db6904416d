"""Closures of arithmetic: numbers stay bounded, and what can't be calculated is unknown."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any, Final

from jinja2 import nodes

from runbook.engine.errors import RenderError
from runbook.engine.language.closures import MAKERS, Closure, Scope, closure
from runbook.engine.language.text import LONGEST, text
from runbook.engine.language.truth import is_number
from runbook.engine.model import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_HIGHEST_POWER: Final = 256  # bits that a number may reach by **
_LONGEST_LIST: Final = 100_000


def _arithmetic(node: nodes.BinExpr) -> Closure:
    left, right, work = closure(node.left), closure(node.right), _ARITHMETIC[type(node)]

    def calculate(scope: Scope) -> Any:
        a, b = left(scope), right(scope)
        if not (is_number(a) and is_number(b)):
            return _added(a, b) if work is operator.add else UNKNOWN
        try:
            made = work(a, b)
        except (ArithmeticError, ValueError):
            return UNKNOWN
        return made if math.isfinite(made) else UNKNOWN

    return calculate


def _added(left: Any, right: Any) -> Any:
    """Join two texts or two lists; what is of two kinds can't be joined."""
    if isinstance(left, str) and isinstance(right, str):
        return _within(LONGEST, len(left) + len(right)) and str(left) + str(right)
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return _within(_LONGEST_LIST, len(left) + len(right)) and [*left, *right]
    return UNKNOWN


def _within(limit: int, length: int) -> bool:
    if length > limit:
        raise RenderError(f"the expression makes a value of {length:,} parts; {limit:,} are the most")
    return True


def _power(base: Any, exponent: Any) -> Any:
    if abs(exponent) * max(math.log2(abs(base)), 1 if base else 0) > _HIGHEST_POWER if base else exponent < 0:
        raise OverflowError
    if base < 0 and exponent != int(exponent):
        raise ArithmeticError  # a complex number
    return base**exponent


def _bounded_product(left: Any, right: Any) -> Any:
    made = left * right
    if isinstance(made, int) and made.bit_length() > 4 * _HIGHEST_POWER:
        raise OverflowError
    return made


def _signed(node: nodes.Neg | nodes.Pos) -> Closure:
    inner, negative = closure(node.node), isinstance(node, nodes.Neg)

    def sign(scope: Scope) -> Any:
        value = inner(scope)
        if not is_number(value):
            return UNKNOWN
        return -value if negative else +value

    return sign


def _concat(node: nodes.Concat) -> Closure:
    parts = [closure(part) for part in node.nodes]

    def join(scope: Scope) -> Any:
        values = [part(scope) for part in parts]
        if any(value is UNKNOWN or value is None for value in values):
            return UNKNOWN
        made = [text(value) for value in values]
        return _within(LONGEST, sum(map(len, made))) and "".join(made)

    return join


_ARITHMETIC: Final[Mapping[type, Callable[[Any, Any], Any]]] = {
    nodes.Add: operator.add,
    nodes.Sub: operator.sub,
    nodes.Mul: _bounded_product,
    nodes.Div: operator.truediv,
    nodes.FloorDiv: operator.floordiv,
    nodes.Mod: operator.mod,
    nodes.Pow: _power,
}
MAKERS.update({nodes.Neg: _signed, nodes.Pos: _signed, nodes.Concat: _concat})
MAKERS.update(dict.fromkeys(_ARITHMETIC, _arithmetic))
