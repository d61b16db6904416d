"""Syntax tree → Python closures, each of which takes the scope and returns the value of its node.

Nothing of what an expression says reaches Python's own attribute access, calls or formatting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from jinja2 import nodes

from runbook.engine.errors import RenderError
from runbook.engine.language import grammar
from runbook.engine.language.nearest import nearest
from runbook.engine.language.text import text
from runbook.engine.language.tokens import Syntax
from runbook.engine.language.truth import ORDERING, compare, negate, truth
from runbook.engine.model import UNKNOWN
from runbook.modules.declare import UNSEEN

Scope = Mapping[str, Any]
Closure = Callable[[Scope], Any]

MAKERS: Final[dict[type, Callable[[Any], Closure]]] = {}  # by the kind of node; calls.py and arithmetic.py add theirs
_NUMBERS: Final = frozenset({int, float})


class Undefined(RenderError):
    """A name, a key or an item that is not there."""


def closure(node: nodes.Node) -> Closure:
    """Return the function that evaluates a node.

    Raises:
        Syntax: it uses what an expression may not.
    """
    made = MAKERS.get(type(node))
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
    return always(node.value)


def always(value: Any) -> Closure:
    """Return the closure of a value that does not depend on the scope."""

    def read(scope: Scope) -> Any:  # noqa: ARG001 -- the shape of a closure
        return value

    return read


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
    return _item(closure(node.node), always(node.attr), shown(node.node))


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


MAKERS.update(
    {
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
    }
)
