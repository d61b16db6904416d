"""Syntax tree → Python closures, each of which takes the scope and returns the value of its node.

Nothing of what an expression says reaches Python's own attribute access, calls or formatting.
"""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

from jinja2 import nodes

from runbook.engine.errors import RenderError
from runbook.engine.language import filters, grammar
from runbook.engine.language.grammar import Syntax
from runbook.engine.language.nearest import nearest
from runbook.engine.language.patterns import compiled
from runbook.engine.language.text import LONGEST, text
from runbook.engine.language.truth import ORDERING, compare, is_number, negate, truth
from runbook.engine.model import UNKNOWN
from runbook.modules.declare import UNSEEN

Scope = Mapping[str, Any]
Closure = Callable[[Scope], Any]

_HIGHEST_POWER = 256  # bits that a number may reach by **
_LONGEST_LIST = 100_000
_NUMBERS: Final = frozenset({int, float})


class Undefined(RenderError):
    """A name, a key or an item that is not there."""


def closure(node: nodes.Node) -> Closure:
    """Return the function that evaluates a node.

    Raises:
        Syntax: it uses what an expression may not.
    """
    made = _MAKERS.get(type(node))
    if made is None:
        raise Syntax(f"an expression can't hold this ({type(node).__name__.lower()})", grammar.offset(node))
    return made(node)


def _name(node: nodes.Name) -> Closure:
    name = node.name

    def read(scope: Scope) -> Any:
        try:
            value = scope[name]
        except KeyError:
            raise _undefined(name, scope) from None
        return UNKNOWN if value is UNSEEN else value

    return read


def _undefined(name: str, known: Mapping[str, Any], of: str = "") -> Undefined:
    names = known.names() if hasattr(known, "names") else known
    near = nearest(name, names)
    what = f"'{of}.{name}' is undefined" if of else f"'{name}' is undefined"
    return Undefined(f"{what}{f'; did you mean {near}?' if near else ''}", mend="" if near else _there_is(names))


def _there_is(names: Any) -> str:
    listed = sorted(str(name) for name in names)[:12]
    return f"there is {', '.join(listed)}" if listed else ""


def _const(node: nodes.Const) -> Closure:
    value = node.value
    return lambda scope: value


def _collection(node: nodes.List | nodes.Tuple) -> Closure:
    items = [closure(item) for item in node.items]
    return lambda scope: [item(scope) for item in items]


def _dict(node: nodes.Dict) -> Closure:
    pairs = [(closure(pair.key), closure(pair.value)) for pair in node.items]

    def collect(scope: Scope) -> Any:
        return {text(key(scope)): value(scope) for key, value in pairs}

    return collect


def _either(node: nodes.Or) -> Closure:
    parts = [closure(part) for part in grammar.flat(node)]

    def either(scope: Scope) -> Any:
        unsure, value = False, None
        for part in parts:
            value = part(scope)
            if value is True:
                return True
            if value is UNKNOWN:
                unsure = True
            elif value:
                return value
        return UNKNOWN if unsure else value

    return either


def _both(node: nodes.And) -> Closure:
    parts = [closure(part) for part in grammar.flat(node)]

    def both(scope: Scope) -> Any:
        unsure, value = False, None
        for part in parts:
            value = part(scope)
            if value is False:
                return False
            if value is UNKNOWN:
                unsure = True
            elif not value:
                return value
        return UNKNOWN if unsure else value

    return both


def _not(node: nodes.Not) -> Closure:
    inner = closure(node.node)
    return lambda scope: negate(inner(scope))


def _compare(node: nodes.Compare) -> Closure:
    left = closure(node.expr)
    if len(node.ops) > 1:
        return _chained(left, [(part.op, closure(part.expr)) for part in node.ops])
    [part] = node.ops
    if part.op in ORDERING and isinstance(node.expr, nodes.Name) and type(grammar.constant(part.expr)) in _NUMBERS:
        return _bounded(node.expr.name, part.op, grammar.constant(part.expr), left)
    right, name = closure(part.expr), part.op
    return lambda scope: compare(name, left(scope), right(scope))


def _bounded(name: str, comparison: str, limit: float, read: Closure) -> Closure:
    """`temperature > 85`: most conditions are no more, and are asked for every record of every look."""
    holds = ORDERING[comparison]

    def within(scope: Scope) -> Any:
        value = scope.get(name)
        if type(value) in _NUMBERS and value == value:  # noqa: PLR0124 -- not a number
            return holds(value, limit)
        return compare(comparison, read(scope), limit)

    return within


def _chained(first: Closure, rest: list[tuple[str, Closure]]) -> Closure:
    def chain(scope: Scope) -> Any:
        left, unsure = first(scope), False
        for name, part in rest:
            right = part(scope)
            found = compare(name, left, right)
            if found is False:
                return False
            unsure = unsure or found is UNKNOWN
            left = right
        return UNKNOWN if unsure else True

    return chain


def _choice(node: nodes.CondExpr) -> Closure:
    if node.expr2 is None:
        raise Syntax("an if needs its else: write a if condition else b", grammar.offset(node))
    test, then, other = closure(node.test), closure(node.expr1), closure(node.expr2)

    def choose(scope: Scope) -> Any:
        found = truth(test(scope))
        if found is UNKNOWN:
            return UNKNOWN
        return then(scope) if found else other(scope)

    return choose


def _getattr(node: nodes.Getattr) -> Closure:
    return _item(closure(node.node), lambda scope: node.attr, shown(node.node))


def _getitem(node: nodes.Getitem) -> Closure:
    inner = closure(node.node)
    if isinstance(node.arg, nodes.Slice):
        return _slice(inner, node.arg)
    return _item(inner, closure(node.arg), shown(node.node))


def _item(inner: Closure, key: Closure, of: str) -> Closure:
    def read(scope: Scope) -> Any:
        value, wanted = inner(scope), key(scope)
        if value is UNKNOWN or wanted is UNKNOWN or value is None:
            return UNKNOWN
        if isinstance(value, Mapping):
            return _entry(value, wanted, of)
        if not isinstance(wanted, int) or not isinstance(value, (list, tuple, str)):
            raise Undefined(f"'{of}' is {_sort(value)} and has no '{_short(wanted)}'")
        if not -len(value) <= wanted < len(value):
            raise Undefined(f"'{of}' has {len(value)} items, and none at {wanted}")
        found = value[wanted]
        return UNKNOWN if found is UNSEEN else found

    return read


def _entry(value: Mapping[Any, Any], wanted: Any, of: str) -> Any:
    try:
        found = value[wanted]
    except (KeyError, TypeError):
        raise _undefined(_short(wanted), value, of) from None
    return UNKNOWN if found is UNSEEN else found


def _slice(inner: Closure, node: nodes.Slice) -> Closure:
    bounds = [closure(part) if part is not None else None for part in (node.start, node.stop, node.step)]

    def cut(scope: Scope) -> Any:
        value = inner(scope)
        ends = [part(scope) if part is not None else None for part in bounds]
        if not isinstance(value, (str, list, tuple)):
            return UNKNOWN
        if ends[2] == 0 or any(end is not None and type(end) is not int for end in ends):
            return UNKNOWN
        return value[slice(*ends)]

    return cut


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
    made = base**exponent
    if isinstance(made, complex):
        raise ValueError
    return made


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


def _filter(node: nodes.Filter) -> Closure:
    if node.node is None:
        raise Syntax("a filter stands behind a value: value | filter", node.lineno)
    inner = closure(node.node)
    if node.name in {filters.DEFAULT, "d"}:
        return _default(node, inner)
    function = filters.FILTERS.get(node.name)
    if function is None:
        raise _no("filter", node.name, [*filters.FILTERS, filters.DEFAULT], node.lineno)
    return _applied(function, inner, node, f"the filter {node.name}")


def _default(node: nodes.Filter, inner: Closure) -> Closure:
    given = [closure(arg) for arg in node.args] + [closure(pair.value) for pair in node.kwargs]
    if len(given) > 2 or any(pair.key != "boolean" for pair in node.kwargs) or node.dyn_args or node.dyn_kwargs:
        raise Syntax("the filter default takes the value, and true to replace what is empty too", node.lineno)
    fallback: Closure = given[0] if given and node.args else lambda scope: ""
    boolean = given[-1] if len(given) > 1 or node.kwargs else None

    def replace(scope: Scope) -> Any:
        try:
            value = inner(scope)
        except Undefined:
            return fallback(scope)
        if value is not UNKNOWN and not value and boolean is not None and truth(boolean(scope)) is True:
            return fallback(scope)
        return value

    return replace


def _applied(function: Callable[..., Any], inner: Closure, node: Any, what: str) -> Closure:
    """Return the closure that calls an allowed function with a value and what stands in the parentheses."""
    if node.dyn_args is not None or node.dyn_kwargs is not None:
        raise Syntax(f"{what} takes no * or **", node.lineno)
    args = [closure(arg) for arg in node.args]
    named = {pair.key: closure(pair.value) for pair in node.kwargs}
    try:
        inspect.signature(function).bind(None, *args, **named)
    except TypeError as error:
        raise Syntax(f"{what} is not used like this: {error}", node.lineno) from None

    def apply(scope: Scope) -> Any:
        value = inner(scope)
        given = [arg(scope) for arg in args]
        by_name = {key: arg(scope) for key, arg in named.items()}
        if value is UNKNOWN or UNKNOWN in map(_identity, given) or UNKNOWN in map(_identity, by_name.values()):
            return UNKNOWN
        try:
            return function(value, *given, **by_name)
        except (TypeError, ValueError, LookupError, ArithmeticError):
            return UNKNOWN  # it can't be done with this value

    return apply


def _identity(value: Any) -> Any:
    return value if value is UNKNOWN else None


def _test(node: nodes.Test) -> Closure:
    inner = closure(node.node)
    if node.name in filters.DEFINED:
        return _defined(inner, node.name == "defined")
    if node.name in filters.PATTERNS:
        return _pattern(node, inner)
    if node.name in filters.COMPARING and len(node.args) == 1:
        name, other = filters.COMPARING[node.name], closure(node.args[0])
        return lambda scope: compare(name, inner(scope), other(scope))
    function = filters.TESTS.get(node.name)
    if function is None:
        known = [*filters.TESTS, *filters.COMPARING, *filters.DEFINED, *filters.PATTERNS]
        raise _no("test", node.name, known, node.lineno)
    return _applied(function, inner, node, f"the test {node.name}")


def _defined(inner: Closure, wanted: bool) -> Closure:
    def ask(scope: Scope) -> bool:
        try:
            inner(scope)
        except Undefined:
            return not wanted
        return wanted

    return ask


def _pattern(node: nodes.Test, inner: Closure) -> Closure:
    pattern = grammar.constant(node.args[0]) if len(node.args) == 1 and not node.kwargs else None
    if not isinstance(pattern, str):
        raise Syntax(f"'is {node.name}' takes one regular expression, written out: is {node.name}('…')", node.lineno)
    try:
        find = compiled(pattern, anchored=node.name == "match")
    except ValueError as error:
        raise Syntax(str(error), node.args[0].lineno) from None

    def ask(scope: Scope) -> Any:
        value = inner(scope)
        return find(value) if isinstance(value, str) else UNKNOWN

    return ask


def _call(node: nodes.Call) -> Closure:
    if not isinstance(node.node, nodes.Getattr):
        name = shown(node.node)
        near = nearest(name, filters.FILTERS)
        hint = f": write value | {near}" if near else ""
        raise Syntax(f"'{name}' can't be called: an expression has filters and no functions{hint}", grammar.offset(node))
    function = filters.METHODS.get(node.node.attr)
    if function is None:
        raise _no("method", node.node.attr, filters.METHODS, node.node.lineno)
    return _applied(function, closure(node.node.node), node, f"{node.node.attr}()")


def _no(what: str, name: str, known: Any, at: int) -> Syntax:
    near = nearest(name, known)
    return Syntax(f"there is no {what} '{name}'{f'; did you mean {near}?' if near else f': {_listed(known)}'}", at)


def _listed(known: Any) -> str:
    return ", ".join(sorted(known))


def shown(node: nodes.Node) -> str:
    """Return a path such as `incident.path` as it was written; other values are called `the value`."""
    if isinstance(node, nodes.Name):
        return node.name
    if isinstance(node, nodes.Getattr):
        return f"{shown(node.node)}.{node.attr}"
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        return f"{shown(node.node)}[{node.arg.value!r}]"
    return "the value"


def _sort(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    return "a text" if isinstance(value, str) else "a list"


def _short(value: Any) -> str:
    return str(value)[:60]


_ARITHMETIC: Final[Mapping[type, Callable[[Any, Any], Any]]] = {
    nodes.Add: operator.add,
    nodes.Sub: operator.sub,
    nodes.Mul: _bounded_product,
    nodes.Div: operator.truediv,
    nodes.FloorDiv: operator.floordiv,
    nodes.Mod: operator.mod,
    nodes.Pow: _power,
}
_MAKERS: Final[Mapping[type, Callable[[Any], Closure]]] = {
    nodes.Name: _name,
    nodes.Const: _const,
    nodes.List: _collection,
    nodes.Tuple: _collection,
    nodes.Dict: _dict,
    nodes.Or: _either,
    nodes.And: _both,
    nodes.Not: _not,
    nodes.Compare: _compare,
    nodes.CondExpr: _choice,
    nodes.Getattr: _getattr,
    nodes.Getitem: _getitem,
    nodes.Neg: _signed,
    nodes.Pos: _signed,
    nodes.Concat: _concat,
    nodes.Filter: _filter,
    nodes.Test: _test,
    nodes.Call: _call,
    **dict.fromkeys(_ARITHMETIC, _arithmetic),
}
