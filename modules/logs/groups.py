"""Which named groups of a regular expression are numbers, read from its parsed form."""

import importlib
import sys
from typing import Any, Dict, Iterable, Mapping, Set, Tuple

_sre = importlib.import_module("re._parser" if sys.version_info >= (3, 11) else "sre_parse")
_DIGITS = frozenset("0123456789")
_DECIMAL = _DIGITS | frozenset("+-.eE")
_ANY = frozenset([""])  # stands for characters that nothing is known of


MOST = 4096  # patterns of which it is remembered
_known: Dict[str, Mapping[str, type]] = {}


def numeric_groups(pattern: str) -> Mapping[str, type]:
    """Return the named groups that match nothing but digits (int), or nothing but decimal numbers (float)."""
    known = _known.get(pattern)
    if known is None:
        known = _read(pattern)
        remember(pattern, known)
    return known


def remember(pattern: str, kinds: Mapping[str, type]) -> None:
    """Know these of a pattern."""
    if len(_known) >= MOST:
        _known.clear()
    _known[pattern] = kinds


def _read(pattern: str) -> Mapping[str, type]:
    parsed = _sre.parse(pattern)
    names = {number: name for name, number in parsed.state.groupdict.items()}
    kinds: Dict[str, type] = {}
    for number, inner in _groups(parsed) if names else ():
        if number in names:
            alphabet = _alphabet(inner)
            if alphabet and alphabet <= _DIGITS:
                kinds[names[number]] = int
            elif alphabet and alphabet <= _DECIMAL and alphabet & _DIGITS:
                kinds[names[number]] = float
    return kinds


def _groups(parsed: Iterable[Any]) -> Iterable[Tuple[int, Any]]:
    for operation, argument in parsed:
        name = str(operation)
        if name == "SUBPATTERN":
            if argument[0] is not None:
                yield argument[0], argument[3]
            yield from _groups(argument[3])
        elif name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            yield from _groups(argument[2])
        elif name == "BRANCH":
            for branch in argument[1]:
                yield from _groups(branch)
        elif name in ("ASSERT", "ASSERT_NOT"):
            yield from _groups(argument[1])
        elif name == "ATOMIC_GROUP":
            yield from _groups(argument)


def _alphabet(parsed: Iterable[Any]) -> "frozenset[str]":
    """Return the characters that a pattern can consist of; one that is no decimal's where it may be any."""
    found: Set[str] = set()
    for operation, argument in parsed:
        name = str(operation)
        if name == "LITERAL":
            found.add(chr(argument))
        elif name == "IN":
            found |= _members(argument)
        elif name == "SUBPATTERN":
            found |= _alphabet(argument[3])
        elif name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            found |= _alphabet(argument[2])
        elif name == "BRANCH":
            for branch in argument[1]:
                found |= _alphabet(branch)
        elif name not in ("AT", "ASSERT", "ASSERT_NOT"):
            found |= _ANY
    return frozenset(found)


def _members(items: Iterable[Any]) -> Set[str]:
    found: Set[str] = set()
    for operation, argument in items:
        name = str(operation)
        if name == "LITERAL":
            found.add(chr(argument))
        elif name == "RANGE" and argument[1] - argument[0] < 64:
            found |= {chr(code) for code in range(argument[0], argument[1] + 1)}
        elif name == "CATEGORY" and str(argument) == "CATEGORY_DIGIT":
            found |= _DIGITS
        else:
            found |= _ANY
    return found
