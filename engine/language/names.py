"""What can be said of an expression without evaluating it: the names it mentions, and what it compares them with."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, cast

from jinja2 import nodes

from runbook.engine.language import describe, grammar, params
from runbook.engine.language.filters import COMPARING, DEFAULT, DEFINED
from runbook.engine.language.nearest import nearest
from runbook.engine.language.truth import Member
from runbook.modules import catalogue
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from runbook.engine.language.expression import Expression
    from runbook.engine.language.params import Parameter
    from runbook.modules.declare import Kind, Probe

__all__ = [
    "Compared",
    "Member",
    "Mention",
    "attributes",
    "bare",
    "impossible",
    "literals",
    "members",
    "mentions",
    "names",
    "nearest",
    "opposites",
]

MIRRORED: Final = {"gt": "lt", "lt": "gt", "gteq": "lteq", "lteq": "gteq", "eq": "eq", "ne": "ne"}
SIGNS: Final = {"gt": ">", "lt": "<", "gteq": ">=", "lteq": "<=", "eq": "==", "ne": "!=", "in": "in", "notin": "not in"}


@frozen
class Mention:
    """A place where a variable, or something in it, is mentioned: `incident.path` is name `incident`, keys `path`."""

    name: str
    keys: tuple[str, ...]
    offset: int  # in the expression's text
    end: int
    guarded: bool  # `is defined` or `default` allow for its being undefined

    @property
    def path(self) -> str:
        """As it reads in the expression."""
        return ".".join((self.name, *self.keys))


@frozen
class Compared:
    """A literal that stands on one side of a comparison, and the name on the other."""

    name: str  # the field, or a path such as incident.severity
    operator: str  # > < >= <= == != in, not in: as if the name stood on the left
    value: Any
    kind: Kind | None  # of a literal with a unit
    offset: int  # of the literal
    end: int


def names(expression: Expression) -> frozenset[str]:
    """Return the variables that an expression mentions."""
    return expression.names


def attributes(expression: Expression) -> frozenset[tuple[str, tuple[str, ...]]]:
    """Return each variable with the keys that are read from it: `('incident', ('path',))`."""
    return frozenset((found.name, found.keys) for found in mentions(expression))


def mentions(expression: Expression) -> tuple[Mention, ...]:
    """Return every mention of a variable, in the order of the text."""
    found: list[Mention] = []
    for tree in expression.expressions:
        found.extend(_mentions(tree, expression.ends))
    return tuple(sorted(found, key=lambda mention: mention.offset))


def _mentions(tree: nodes.Node, ends: Mapping[int, int]) -> Iterator[Mention]:
    following = dict(pairwise(sorted(ends)))
    waiting: list[tuple[nodes.Node, bool]] = [(tree, False)]
    while waiting:
        node, guarded = waiting.pop()
        path = _path(node)
        if path is not None:
            name, keys, inner, last = path
            yield Mention(name.name, keys, name.lineno, ends[following.get(last, last) if keys else last], guarded)
            waiting.extend((part, False) for part in inner)
            continue
        forgiving = (isinstance(node, nodes.Filter) and node.name in {DEFAULT, "d"}) or (
            isinstance(node, nodes.Test) and node.name in DEFINED
        )
        waiting.extend((child, forgiving and child is getattr(node, "node", None)) for child in node.iter_child_nodes())


def _path(node: nodes.Node) -> tuple[nodes.Name, tuple[str, ...], list[nodes.Node], int] | None:
    """Return the name at the root of a chain, the keys read from it, the expressions in [], and its last dot or key."""
    keys: list[str] = []
    inner: list[nodes.Node] = []
    last: int | None = None
    while True:
        if isinstance(node, nodes.Name):
            return node, tuple(reversed(keys)), inner, node.lineno if last is None else last
        if isinstance(node, nodes.Getattr):
            keys.append(node.attr)
            last = node.lineno if last is None else last
        elif isinstance(node, nodes.Getitem):
            key = grammar.constant(node.arg)
            if isinstance(key, str):
                keys.append(key)
            else:
                keys.clear()  # what is behind an item of a list is not known
                inner.append(node.arg)
                last = None
            if isinstance(key, str) and last is None:
                last = node.arg.lineno
        else:
            return None
        node = node.node


def literals(expression: Expression) -> tuple[Compared, ...]:
    """Return every comparison of a name with a literal, in the order of the text."""
    found: list[Compared] = []
    for tree in expression.expressions:
        for node in grammar.walk(tree):
            if isinstance(node, nodes.Compare):
                found.extend(_compared(node, expression.ends))
            elif isinstance(node, nodes.Test) and node.name in COMPARING and len(node.args) == 1:
                found.extend(_pair(node.node, COMPARING[node.name], node.args[0], expression.ends))
    return tuple(sorted(found, key=lambda literal: literal.offset))


def opposites(expression: Expression) -> dict[int, str]:
    """Return what each bare word of a comparison is compared with, by the word's offset: a field, or its path."""
    found: dict[int, str] = {}
    for tree in expression.expressions:
        for node in grammar.walk(tree):
            if isinstance(node, nodes.Compare):
                left = node.expr
                for part in node.ops:
                    _oppose(left, part.expr, found)
                    left = part.expr
            elif isinstance(node, nodes.Test) and node.name in COMPARING and len(node.args) == 1:
                _oppose(node.node, node.args[0], found)
    return found


def _oppose(left: nodes.Expr, right: nodes.Expr, found: dict[int, str]) -> None:
    listed = right.items if isinstance(right, (nodes.List, nodes.Tuple)) else [right]
    for one, other in [(left, item) for item in listed] + [(item, left) for item in listed]:
        if isinstance(one, nodes.Name):
            found.setdefault(one.lineno, _dotted(other) or "")


def bare(expression: Expression) -> frozenset[int]:
    """Return the offsets of the words that are conditions by themselves, or parts of one joined by and, or, not."""
    found: set[int] = set()
    waiting: list[nodes.Node] = list(expression.expressions)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (nodes.And, nodes.Or)):
            waiting += [node.left, node.right]
        elif isinstance(node, nodes.Not):
            waiting.append(node.node)
        elif isinstance(node, nodes.Name):
            found.add(node.lineno)
    return frozenset(found)


def compared(node: nodes.Node) -> list[Compared]:
    """Return what one comparison (not what is below it) compares names with."""
    if isinstance(node, nodes.Compare):
        return list(_compared(node, {}))
    if isinstance(node, nodes.Test) and node.name in COMPARING and len(node.args) == 1:
        return list(_pair(node.node, COMPARING[node.name], node.args[0], {}))
    return []


def _compared(node: nodes.Compare, ends: Mapping[int, int]) -> Iterator[Compared]:
    left = node.expr
    for part in node.ops:
        yield from _pair(left, part.op, part.expr, ends)
        left = part.expr


def _pair(left: nodes.Expr, operator: str, right: nodes.Expr, ends: Mapping[int, int]) -> Iterator[Compared]:
    name = _dotted(left)
    if name is not None:
        values = [right]
        if operator in {"in", "notin"} and isinstance(right, (nodes.List, nodes.Tuple)):
            values = right.items
        yield from _literals(name, SIGNS[operator], values, ends)
    elif operator in MIRRORED and (name := _dotted(right)) is not None:
        yield from _literals(name, SIGNS[MIRRORED[operator]], [left], ends)


def _literals(name: str, operator: str, values: Iterable[nodes.Expr], ends: Mapping[int, int]) -> Iterator[Compared]:
    for node in values:
        if isinstance(node, nodes.Const):
            value, at = node.value, node.lineno
        elif isinstance(node, nodes.Neg) and isinstance(node.node, nodes.Const):
            value, at = -node.node.value, node.lineno
        else:
            continue
        end = ends.get(node.node.lineno if isinstance(node, nodes.Neg) else at, at)
        yield Compared(name, operator, value, getattr(value, "kind", None), at, end)


def _dotted(node: nodes.Expr) -> str | None:
    path = _path(node)
    if path is None or path[2]:
        return None
    return ".".join((path[0].name, *path[1]))


def impossible(expression: Expression, fields: Mapping[str, Parameter]) -> str | None:
    """Return why a condition can't be true whatever is seen, or None where it can (as far as is easily seen)."""
    from runbook.engine.language import contradiction

    return contradiction.impossible(expression, fields)


def orders(probe: str) -> Mapping[str, tuple[str, ...]]:
    """Return the fields of a probe's records that are of closed sets, with the members in their order."""
    return _orders(catalogue.probe(probe))


@describe.once
def _orders(cls: describe.Class) -> Mapping[str, tuple[str, ...]]:
    fields = params.record_fields(cast("type[Probe]", cls))
    return {name: field.choices for name, field in fields.items() if field.choices}


def members(probe: str, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a record's values with those of closed sets as members, so that they compare by their place.

    Example:
        >>> members("component", {"level": "critical"})["level"].order
        ('healthy', 'degraded', 'unhealthy', 'critical')
    """
    known = {name: order for name, order in orders(probe).items() if isinstance(values.get(name), str)}
    return {**values, **{name: Member(values[name], order) for name, order in known.items()}} if known else values
