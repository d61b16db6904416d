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
from typing import Any, FrozenSet, Iterable, List, Tuple

from runbook.modules.logs.digits import all_alike
from runbook.modules.logs.nodes import (
    ASCII,
    EMPTY,
    FOLDING,
    HIGH,
    NEVER,
    At,
    Bytes,
    Many,
    Node,
    OneOf,
    Text,
    Times,
    many,
    nullable,
    one_of,
    trimmed,
)

_sre = importlib.import_module("re._parser" if sys.version_info >= (3, 11) else "sre_parse")

ALTERNATIVES = 50  # into which a pattern is parted at most
_NEWLINE = frozenset(b"\n")
_DIGIT = frozenset(b"0123456789")
_WORD = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
_SPACE = frozenset(b" \t\n\r\f\v\x1c\x1d\x1e\x1f")
_ASCII_SPACE = frozenset(b" \t\n\r\f\v")
_NAMED = {"DIGIT": _DIGIT, "WORD": _WORD, "SPACE": _SPACE}
_IGNORECASE, _DOTALL, _MULTILINE, _ASCII = (int(flag) for flag in (re.IGNORECASE, re.DOTALL, re.MULTILINE, re.ASCII))
_ONE = ("LITERAL", "NOT_LITERAL", "ANY", "ANY_ALL", "IN")


@dataclass(frozen=True)
class Superset:
    """A pattern's alternatives."""

    alternatives: Tuple[Node, ...]
    whole: Tuple[Node, ...]  # the same, with what a match can do without at its ends
    exact: bool  # narrowed, they match the lines of ASCII that the pattern matches, and no others
    folds: bool  # case is ignored somewhere
    alike: Tuple[bool, ...]  # of each, whether all digits are alike to it


def superset(pattern: str, lines: int = 1) -> Superset:
    """Return what finds every line that a pattern matches in, or that the match ends in if it may reach over several.

    Raises:
        re.error: it is no regular expression.
    """
    parsed = _sre.parse(pattern)
    translation = _Translation(several=lines > 1, folds=_folded(pattern, parsed.state.flags))
    node = translation.sequence(parsed, int(parsed.state.flags))
    if lines > 1:
        parted = tuple(_parted(node, ALTERNATIVES))
        return Superset(parted, parted, exact=False, folds=translation.folds, alike=(False,) * len(parted))
    whole = tuple(_parted(node, ALTERNATIVES))
    parted = tuple(trimmed(trimmed(each, 0), -1) for each in whole)
    alike = tuple(translation.alike and _alike(each) for each in whole)
    return Superset(parted, whole, exact=translation.exact, folds=translation.folds, alike=alike)


class _Translation:
    def __init__(self, *, several: bool, folds: bool) -> None:
        self._several = several
        self.folds = folds
        self.exact = True
        self.alike = True  # all digits are, to what is left out

    def sequence(self, parsed: Iterable[Any], flags: int) -> Node:
        parts: List[Node] = []
        run: List[int] = []
        folds = bool(flags & _IGNORECASE)
        for operation, argument in parsed:
            if operation is _sre.LITERAL and argument < 0x80 and argument != 0x0A:
                run.append(argument)
                continue
            if run:
                parts.append(_text(run, folds=folds))
                run = []
            parts.append(self._node(str(operation), argument, flags))
        if run:
            parts.append(_text(run, folds=folds))
        return many(parts)

    def _node(self, name: str, argument: Any, flags: int) -> Node:
        if name in _ONE:
            return self._once(name, argument, flags)
        if name == "AT":
            return self._at(str(argument), flags)
        if name == "BRANCH":
            return one_of(self.sequence(branch, flags) for branch in argument[1])
        if name == "SUBPATTERN":
            return self.sequence(argument[3], (flags | int(argument[1])) & ~int(argument[2]))
        if name == "FAILURE":
            return NEVER
        self.exact = self.exact and name in ("MAX_REPEAT", "MIN_REPEAT")
        if name == "ATOMIC_GROUP":
            self.alike = self.alike and all_alike(argument)  # what one alternative takes, no other is tried on
            return self.sequence(argument, flags)
        if name == "POSSESSIVE_REPEAT":
            self.alike = self.alike and all_alike(argument[2])
        if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            part = self.sequence(argument[2], flags)
            most = None if argument[1] is _sre.MAXREPEAT else argument[1]
            return Times(part, 0 if nullable(part) else argument[0], most)
        if name in ("ASSERT", "ASSERT_NOT"):
            self.alike = self.alike and all_alike(argument[1])
            return EMPTY
        self.alike = False
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
                found |= FOLDING
                self.exact = False
        return found


def _alike(node: Node) -> bool:
    """Tell whether all digits are alike to an alternative."""
    if isinstance(node, Bytes):
        return len(node.members & _DIGIT) in (0, len(_DIGIT))
    if isinstance(node, Text):
        return _DIGIT.isdisjoint(node.letters)
    if isinstance(node, (Many, OneOf)):
        return all(map(_alike, node.parts if isinstance(node, Many) else node.branches))
    return _alike(node.part) if isinstance(node, Times) else True


def _text(codes: List[int], *, folds: bool) -> Text:
    letters = bytes(codes)
    return Text(letters.lower(), folds=True) if folds else Text(letters)


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


def _parted(node: Node, most: int) -> List[Node]:
    """Part a pattern at the alternatives that it begins with: each then begins with a text of its own."""
    once = _branches(node, most)
    if len(once) < 2:
        return once
    parted = [each for branch in once for each in _parted(branch, most)]
    return parted if len(parted) <= most else once


def _branches(node: Node, most: int) -> List[Node]:
    if isinstance(node, OneOf) and 0 < len(node.branches) <= most:
        return list(node.branches)
    if isinstance(node, Many):
        for index, part in enumerate(node.parts):
            if isinstance(part, OneOf) and 0 < len(part.branches) <= most:
                before, behind = node.parts[:index], node.parts[index + 1 :]
                return [many([*before, branch, *behind]) for branch in part.branches]
            if not isinstance(part, At):
                break
    return [node]
