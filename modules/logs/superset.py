r"""A regular expression for text, as one for bytes that finds at least the same lines.

Other engines know no look-around, no Unicode classes and no invalid UTF-8. What they can't say is left out or widened
here: `\w` takes any byte of a letter that is not ASCII, a look-ahead is dropped. A pattern becomes a small tree
(`Bytes`, `Many`, `OneOf`, `Times`, `At`), which is parted into its alternatives; each is written `widened` for engines
and `narrowed`, as exactly what it means in lines of ASCII.
"""

import importlib
import re
import sys
from dataclasses import dataclass
from typing import Any, Dict, FrozenSet, Iterable, List, Optional, Tuple, Union

_sre = importlib.import_module("re._parser" if sys.version_info >= (3, 11) else "sre_parse")

HIGH = frozenset(range(0x80, 0x100))  # as members of a set: any character above ASCII
ASCII = frozenset(range(0x80))
ALTERNATIVES = 200  # into which a pattern is parted at most
_NEWLINE = frozenset(b"\n")
_FOLDING = frozenset(b"kKsSiI")  # letters that characters above ASCII fold to
_DIGIT = frozenset(b"0123456789")
_WORD = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
_SPACE = frozenset(b" \t\n\r\f\v\x1c\x1d\x1e\x1f")
_ASCII_SPACE = frozenset(b" \t\n\r\f\v")
_LONGEST = 64  # bytes: a longer bounded stretch of anything is as good as an unbounded one
_NAMED = {"DIGIT": _DIGIT, "WORD": _WORD, "SPACE": _SPACE}
_IGNORECASE, _DOTALL, _MULTILINE, _ASCII = (int(flag) for flag in (re.IGNORECASE, re.DOTALL, re.MULTILINE, re.ASCII))
_ONE = ("LITERAL", "NOT_LITERAL", "ANY", "ANY_ALL", "IN")


@dataclass(frozen=True)
class Bytes:
    """One character of a set; with some of the high bytes only it is one byte."""

    members: FrozenSet[int]


@dataclass(frozen=True)
class Many:
    """One behind the other; none is the empty text."""

    parts: "Tuple[Node, ...]"


@dataclass(frozen=True)
class OneOf:
    """One of several; of none nothing matches."""

    branches: "Tuple[Node, ...]"


@dataclass(frozen=True)
class Times:
    """The same several times."""

    part: "Node"
    least: int
    most: Optional[int]


@dataclass(frozen=True)
class At:
    """A place between bytes: `^`, `$` or `b`, a word's border."""

    place: str


Node = Union[Bytes, Many, OneOf, Times, At]
EMPTY = Many(())
NEVER = OneOf(())


@dataclass(frozen=True)
class Superset:
    """A pattern's alternatives."""

    alternatives: Tuple[Node, ...]
    exact: bool  # narrowed, they match the lines of ASCII that the pattern matches, and no others
    folds: bool  # case is ignored somewhere


def superset(pattern: str, lines: int = 1) -> Superset:
    """Return what finds every line that a pattern matches in, or that the match ends in if it may reach over several.

    Raises:
        re.error: it is no regular expression.
    """
    parsed = _sre.parse(pattern)
    translation = _Translation(several=lines > 1, folds=_folded(pattern, parsed.state.flags))
    node = translation.sequence(parsed, int(parsed.state.flags))
    if lines > 1:
        return Superset((_cut(node, 0),), exact=False, folds=translation.folds)
    parted = tuple(_cut(_cut(each, 0), -1) for each in _parted(node, ALTERNATIVES))
    return Superset(parted, exact=translation.exact, folds=translation.folds)


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


def widened(node: Node, *, folds: bool, several: bool = False) -> Node:
    """Return what can be asked of bytes: borders of words are left out, characters above ASCII are 1 to 4 bytes."""
    wide = _wide(node, _FOLDING if folds else frozenset())
    return _cut(wide, 0) if several else _cut(_cut(wide, 0), -1)


def narrowed(node: Node) -> Node:
    """Return what it is in text of ASCII."""
    if isinstance(node, Bytes):
        return Bytes(node.members & ASCII)
    if isinstance(node, Many):
        return _many(map(narrowed, node.parts))
    if isinstance(node, OneOf):
        return _one_of(map(narrowed, node.branches))
    if isinstance(node, Times):
        return Times(narrowed(node.part), node.least, node.most)
    return node


class _Translation:
    def __init__(self, *, several: bool, folds: bool) -> None:
        self._several = several
        self.folds = folds
        self.exact = True

    def sequence(self, parsed: Iterable[Any], flags: int) -> Node:
        return _many(self._node(str(operation), argument, flags) for operation, argument in parsed)

    def _node(self, name: str, argument: Any, flags: int) -> Node:
        if name in _ONE:
            return self._once(name, argument, flags)
        if name == "AT":
            return self._at(str(argument), flags)
        if name == "BRANCH":
            return _one_of(self.sequence(branch, flags) for branch in argument[1])
        if name == "SUBPATTERN":
            return self.sequence(argument[3], (flags | int(argument[1])) & ~int(argument[2]))
        if name == "FAILURE":
            return NEVER
        self.exact = self.exact and name in ("MAX_REPEAT", "MIN_REPEAT")
        if name == "ATOMIC_GROUP":
            return self.sequence(argument, flags)
        if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            part = self.sequence(argument[2], flags)
            most = None if argument[1] is _sre.MAXREPEAT else argument[1]
            return Times(part, 0 if nullable(part) else argument[0], most)
        if name in ("ASSERT", "ASSERT_NOT"):
            return EMPTY
        # a reference to a group, or on condition of one: anything at all
        return Times(Bytes(self._legal(ASCII | HIGH)), 0, None)

    def _at(self, place: str, flags: int) -> Node:
        if place == "AT_BOUNDARY":
            return At("b")
        if not self._several and place in ("AT_BEGINNING", "AT_BEGINNING_STRING"):
            return At("^")
        if not self._several and place in ("AT_END", "AT_END_STRING"):
            return At("$")
        if place == "AT_BEGINNING" and flags & _MULTILINE:
            return At("^")
        self.exact = False
        return EMPTY

    def _once(self, name: str, argument: Any, flags: int) -> Node:
        if name == "LITERAL" and argument >= 0x80 and argument != 0xFFFD and not self.folds:
            return Many(tuple(Bytes(frozenset([byte])) for byte in chr(argument).encode("utf-8", "surrogatepass")))
        return Bytes(self._members(name, argument, flags))

    def _members(self, name: str, argument: Any, flags: int) -> FrozenSet[int]:
        if name == "LITERAL":
            found = self._item(name, argument, flags)
        elif name == "NOT_LITERAL":
            found = self._others([("LITERAL", argument)], flags)
        elif name == "ANY":
            found = ASCII | HIGH if flags & _DOTALL else (ASCII | HIGH) - _NEWLINE
        elif name == "ANY_ALL":
            found = ASCII | HIGH
        elif str(argument[0][0]) == "NEGATE":
            found = self._others(argument[1:], flags)
        else:
            found = frozenset().union(*(self._item(str(item), value, flags) for item, value in argument))
        return self._legal(found)

    def _others(self, items: Iterable[Any], flags: int) -> FrozenSet[int]:
        """Return what a negated set may match."""
        surely = [
            self._item(str(name), value, flags) for name, value in items if str(name) != "LITERAL" or value < 0x80
        ]
        return HIGH | (ASCII - frozenset().union(*surely))

    def _legal(self, members: FrozenSet[int]) -> FrozenSet[int]:
        return members if self._several else members - _NEWLINE

    def _item(self, name: str, value: Any, flags: int) -> FrozenSet[int]:
        if name == "CATEGORY":
            return _category(str(value), flags)
        low, high = value if name == "RANGE" else (value, value)
        found = frozenset(range(low, min(high, 0x7F) + 1))
        if flags & _IGNORECASE:
            letters = bytes(found)
            found |= frozenset(letters.lower() + letters.upper())
        if high >= 0x80:
            found |= HIGH
            if self.folds:
                found |= _FOLDING
                self.exact = False
        return found


def _folded(pattern: str, flags: int) -> bool:
    """Tell whether case is ignored anywhere."""
    return bool(flags & re.IGNORECASE) or re.search(r"\(\?[a-zA-Z]*i[a-zA-Z]*(-[a-z]+)?:", pattern) is not None


def _category(name: str, flags: int) -> FrozenSet[int]:
    kind = name.replace("CATEGORY_", "").replace("UNI_", "")
    members = _NAMED[kind.replace("NOT_", "")]
    if flags & _ASCII and members is _SPACE:
        members = _ASCII_SPACE
    if kind.startswith("NOT_"):
        return (ASCII - members) | HIGH
    return members if flags & _ASCII else members | HIGH


def _many(parts: Iterable[Node]) -> Node:
    flat: List[Node] = []
    for part in parts:
        if isinstance(part, OneOf) and not part.branches:
            return NEVER
        flat += part.parts if isinstance(part, Many) else [part]
    return flat[0] if len(flat) == 1 else Many(tuple(flat))


def _one_of(branches: Iterable[Node]) -> Node:
    kept: Dict[Node, None] = {}
    for branch in branches:
        kept.update(dict.fromkeys(branch.branches if isinstance(branch, OneOf) else [branch]))
    return next(iter(kept)) if len(kept) == 1 else OneOf(tuple(kept))


def _parted(node: Node, most: int) -> List[Node]:
    """Part a pattern at the alternatives that it begins with: each then begins with a text of its own."""
    if isinstance(node, OneOf):
        parted = [each for branch in node.branches for each in _parted(branch, most)]
        return parted if 0 < len(parted) <= most else [node]
    if isinstance(node, Many):
        for index, part in enumerate(node.parts):
            if isinstance(part, OneOf) and len(part.branches) <= most:
                before, behind = node.parts[:index], node.parts[index + 1 :]
                parted = [each for branch in part.branches for each in _parted(_many([*before, branch, *behind]), most)]
                return parted if 0 < len(parted) <= most else [node]
            if not isinstance(part, At):
                break
    return [node]


def _cut(node: Node, end: int) -> Node:
    """Leave out what a match can do without at one of its ends."""
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
        branches = [_cut(branch, end) for branch in node.branches]
        return EMPTY if EMPTY in branches else _one_of(branches)
    if isinstance(node, Times):
        if not node.least:
            return EMPTY
        return _cut(node.part, end) if node.least == 1 else Times(node.part, node.least, node.least)
    return node


def _wide(node: Node, folding: FrozenSet[int]) -> Node:
    if isinstance(node, Bytes):
        if not node.members >= HIGH:
            return node
        foreign = Times(Bytes(HIGH), 1, 4)
        return _one_of([Bytes((node.members - HIGH) | folding), foreign]) if node.members - HIGH or folding else foreign
    if isinstance(node, Many):
        return _many(_wide(part, folding) for part in node.parts)
    if isinstance(node, OneOf):
        return _one_of(_wide(branch, folding) for branch in node.branches)
    if isinstance(node, Times):
        if isinstance(node.part, Bytes) and node.part.members >= HIGH:
            most = None if node.most is None or node.most * 4 > _LONGEST else node.most * 4
            return Times(Bytes(node.part.members | folding), node.least, most)
        return Times(_wide(node.part, folding), node.least, node.most)
    return EMPTY if node.place == "b" else node
