r"""A regular expression for text, as one for bytes that finds at least the same lines.

Other engines know no look-around, no Unicode classes and no invalid UTF-8. What they can't say is left out or widened
here: `\w` takes any byte of a letter that is not ASCII, a look-ahead is dropped. The result is a small tree
(`Bytes`, `Many`, `OneOf`, `Times`, `At`) that each engine writes in its own syntax.
"""

import importlib
import re
import sys
from typing import Any, Dict, FrozenSet, Iterable, List, Optional, Tuple, Union

from runbook.modules.frozen import frozen
from runbook.modules.logs.literals import folded

_sre = importlib.import_module("re._parser" if sys.version_info >= (3, 11) else "sre_parse")

HIGH = frozenset(range(0x80, 0x100))
ASCII = frozenset(range(0x80))
_NEWLINE = frozenset(b"\n")
_FOLDING = frozenset(b"kKsSiI")  # letters that characters above ASCII fold to
_DIGIT = frozenset(b"0123456789")
_WORD = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
_SPACE = frozenset(b" \t\n\r\f\v\x1c\x1d\x1e\x1f")
_ASCII_SPACE = frozenset(b" \t\n\r\f\v")
_LONGEST = 64  # bytes: a longer bounded stretch of anything is as good as an unbounded one
_NAMED = {"DIGIT": _DIGIT, "WORD": _WORD, "SPACE": _SPACE}


@frozen
class Bytes:
    """One byte of a set."""

    members: FrozenSet[int]


@frozen
class Many:
    """One behind the other; none is the empty text."""

    parts: "Tuple[Node, ...]"


@frozen
class OneOf:
    """One of several; of none nothing matches."""

    branches: "Tuple[Node, ...]"


@frozen
class Times:
    """The same several times."""

    part: "Node"
    least: int
    most: Optional[int]


@frozen
class At:
    """A place between bytes: `^`, `$` or `b`, a word's border."""

    place: str


Node = Union[Bytes, Many, OneOf, Times, At]
EMPTY = Many(())
NEVER = OneOf(())


@frozen
class Superset:
    """A pattern for bytes."""

    node: Node
    exact: bool  # in lines of ASCII it finds nothing but what the pattern matches


def superset(pattern: str, lines: int = 1) -> Superset:
    """Return what finds every line that a pattern matches in, or that the match ends in if it may reach over several.

    Raises:
        re.error: it is no regular expression.
    """
    parsed = _sre.parse(pattern)
    translation = _Translation(several=lines > 1, folds=folded(pattern, parsed.state.flags))
    node = translation.sequence(parsed, parsed.state.flags)
    return Superset(_trimmed(node, several=lines > 1), exact=translation.exact and lines == 1)


def nullable(node: Node) -> bool:
    """Tell whether the empty text matches."""
    if isinstance(node, Bytes):
        return False
    if isinstance(node, Many):
        return all(map(nullable, node.parts))
    if isinstance(node, OneOf):
        return any(map(nullable, node.branches))
    if isinstance(node, Times):
        return not node.least or nullable(node.part)
    return True


class _Translation:
    def __init__(self, *, several: bool, folds: bool) -> None:
        self._several = several
        self._folds = folds
        self.exact = True

    def sequence(self, parsed: Iterable[Any], flags: int) -> Node:
        items = list(parsed)
        parts: List[Node] = []
        for index, (operation, argument) in enumerate(items):
            if str(operation) == "AT":
                behind = index + 1 < len(items) and _begins_word(items[index + 1], flags)
                before = bool(index) and _ends_word(items[index - 1], flags)
                parts.append(self._at(str(argument), flags, sure=before or behind))
            else:
                parts.append(self._node(str(operation), argument, flags))
        return _many(parts)

    def _node(self, name: str, argument: Any, flags: int) -> Node:
        if name in ("LITERAL", "NOT_LITERAL", "ANY", "ANY_ALL", "IN"):
            return self._once(name, argument, flags)
        if name == "BRANCH":
            return _one_of([self.sequence(branch, flags) for branch in argument[1]])
        if name == "SUBPATTERN":
            return self.sequence(argument[3], (flags | argument[1]) & ~argument[2])
        if name == "FAILURE":
            return NEVER
        self.exact = self.exact and name in ("MAX_REPEAT", "MIN_REPEAT")
        if name == "ATOMIC_GROUP":
            return self.sequence(argument, flags)
        if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            return self._repeat(argument[0], argument[1], argument[2], flags)
        if name in ("ASSERT", "ASSERT_NOT"):
            return EMPTY
        # a reference to a group, or on condition of one: anything at all
        return Times(Bytes(self._legal(ASCII | HIGH)), 0, None)

    def _at(self, place: str, flags: int, *, sure: bool) -> Node:
        if place == "AT_BEGINNING_STRING" or (place == "AT_BEGINNING" and (not self._several or flags & re.MULTILINE)):
            return EMPTY if self._several and place == "AT_BEGINNING_STRING" else At("^")
        if place in ("AT_END", "AT_END_STRING") and not self._several:
            return At("$")
        if place == "AT_BOUNDARY" and sure:
            return At("b")
        self.exact = False
        return EMPTY

    def _once(self, name: str, argument: Any, flags: int) -> Node:
        """Return one character: one byte where it is ASCII, up to four where it is not."""
        if name == "LITERAL" and argument >= 0x80 and argument != 0xFFFD and not self._folds:
            return Many(tuple(Bytes(frozenset([byte])) for byte in chr(argument).encode("utf-8", "surrogatepass")))
        members = self._members(name, argument, flags)
        if not members & HIGH:
            return Bytes(members)
        foreign = Times(Bytes(HIGH), 1, 4)
        return foreign if members == HIGH else OneOf((Bytes(members - HIGH), foreign))

    def _members(self, name: str, argument: Any, flags: int) -> FrozenSet[int]:
        """Return the bytes that may stand in such a character: all high ones if any character above ASCII may."""
        if name == "LITERAL":
            found = self._item(name, argument, flags)
        elif name == "NOT_LITERAL":
            found = self._others([("LITERAL", argument)], flags)
        elif name == "ANY":
            found = ASCII | HIGH if flags & re.DOTALL else (ASCII | HIGH) - _NEWLINE
        elif name == "ANY_ALL":
            found = ASCII | HIGH
        else:
            negated = str(argument[0][0]) == "NEGATE"
            found = frozenset().union(*(self._item(str(item), value, flags) for item, value in argument[negated:]))
            if negated:
                found = self._others(argument[1:], flags)
        return self._legal(found)

    def _others(self, items: Iterable[Any], flags: int) -> FrozenSet[int]:
        """Return what a negated set may match."""
        surely = [(str(name), value) for name, value in items if str(name) != "LITERAL" or value < 0x80]
        members = frozenset().union(*(self._item(name, value, flags) & ASCII for name, value in surely))
        return HIGH | (ASCII - members) | (_FOLDING if self._folds else frozenset())

    def _item(self, name: str, value: Any, flags: int) -> FrozenSet[int]:
        if name == "CATEGORY":
            return _category(str(value), flags)
        if name == "RANGE":
            found = frozenset(range(value[0], min(value[1], 0x7F) + 1)) | (HIGH if value[1] >= 0x80 else frozenset())
        else:
            found = frozenset([value]) if value < 0x80 else HIGH
        if flags & re.IGNORECASE:
            letters = bytes(code for code in found if code < 0x80)
            found |= frozenset(letters.lower() + letters.upper())
        return found | _FOLDING if self._folds and found & HIGH else found

    def _legal(self, members: FrozenSet[int]) -> FrozenSet[int]:
        return members if self._several else members - _NEWLINE

    def _repeat(self, least: int, most: int, inner: Any, flags: int) -> Node:
        bounded = None if most is _sre.MAXREPEAT else most
        items = list(inner)
        if len(items) == 1 and str(items[0][0]) in ("LITERAL", "NOT_LITERAL", "ANY", "ANY_ALL", "IN"):
            members = self._members(str(items[0][0]), items[0][1], flags)
            if members & HIGH:  # so many bytes at least, and four times that at most
                most_bytes = None if bounded is None or bounded * 4 > _LONGEST else bounded * 4
                self.exact = self.exact and (bounded is None or bounded == most_bytes)
                return Times(Bytes(members), least, most_bytes)
            return Times(Bytes(members), least, bounded)
        part = self.sequence(items, flags)
        if nullable(part):
            least = 0
        return Times(part, least, bounded)


def _category(name: str, flags: int) -> FrozenSet[int]:
    kind = name.replace("CATEGORY_", "").replace("UNI_", "")
    members = _NAMED[kind.replace("NOT_", "")]
    if flags & re.ASCII and members is _SPACE:
        members = _ASCII_SPACE
    if kind.startswith("NOT_"):
        return (ASCII - members) | HIGH
    return members if flags & re.ASCII else members | HIGH


def _begins_word(item: Any, flags: int) -> bool:
    """Tell whether what a pattern goes on with begins with a letter, digit or `_` of ASCII in any case."""
    return _edge(item, flags, 0)


def _ends_word(item: Any, flags: int) -> bool:
    return _edge(item, flags, -1)


def _edge(item: Any, flags: int, end: int) -> bool:
    name, argument = str(item[0]), item[1]
    if name in ("LITERAL", "IN"):
        members = _Translation(several=True, folds=False)._members(name, argument, flags)  # noqa: SLF001 -- this file's own
        return members <= _WORD
    if name == "SUBPATTERN":
        inner = list(argument[3])
        return bool(inner) and _edge(inner[end], (flags | argument[1]) & ~argument[2], end)
    if name == "BRANCH":
        return all(len(branch) and _edge(list(branch)[end], flags, end) for branch in argument[1])
    if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT") and argument[0]:
        inner = list(argument[2])
        return bool(inner) and _edge(inner[end], flags, end)
    return False


def _many(parts: Iterable[Node]) -> Node:
    flat: List[Node] = []
    for part in parts:
        if part == NEVER:
            return NEVER
        flat += part.parts if isinstance(part, Many) else [part]
    return flat[0] if len(flat) == 1 else Many(tuple(flat))


def _one_of(branches: Iterable[Node]) -> Node:
    kept: Dict[Node, None] = {}
    for branch in branches:
        kept.update(dict.fromkeys(branch.branches if isinstance(branch, OneOf) else [branch]))
    return next(iter(kept)) if len(kept) == 1 else OneOf(tuple(kept))


def _trimmed(node: Node, *, several: bool) -> Node:
    """Leave out what a match can do without at its begin and, where it can't move the line, at its end."""
    node = _cut(node, 0)
    return node if several else _cut(node, -1)


def _cut(node: Node, end: int) -> Node:
    if isinstance(node, Many):
        parts = list(node.parts)
        while parts:
            kept = _cut(parts[end], end)
            if kept == EMPTY:
                del parts[end]
                continue
            parts[end] = kept
            break
        return _many(parts)
    if isinstance(node, OneOf):
        if any(nullable(branch) and not _anchored(branch) for branch in node.branches):
            return EMPTY
        return _one_of([_cut(branch, end) for branch in node.branches])
    if isinstance(node, Times):
        if not node.least:
            return EMPTY
        return (
            _many([node.part] * node.least)
            if isinstance(node.part, Bytes)
            else Times(node.part, node.least, node.least)
        )
    return node


def _anchored(node: Node) -> bool:
    if isinstance(node, At):
        return True
    return isinstance(node, Many) and any(map(_anchored, node.parts))
