"""What a regular expression can't match without, and which of its groups are numbers; read from its parsed form."""

import importlib
import re
import sys
from functools import lru_cache
from typing import Any, Dict, Iterable, List, Mapping, Optional, Set, Tuple

from runbook.modules.frozen import frozen

LONGEST_LIST = 64  # more alternatives than that are no quicker than the expression itself
SHORTEST = 3  # characters; shorter ones stand in too many lines

_sre = importlib.import_module("re._parser" if sys.version_info >= (3, 11) else "sre_parse")
_DIGITS = frozenset("0123456789")
_DECIMAL = _DIGITS | frozenset("+-.eE")
_ANY = frozenset([""])  # stands for characters that nothing is known of


@frozen
class Literals:
    """Texts of which at least one stands in every match."""

    texts: Tuple[str, ...]
    folded: bool  # they are in lower case, and stand in the lower case of the line


@lru_cache(maxsize=4096)
def required(pattern: str) -> Optional[Literals]:
    """Return the literals that every match holds, or None where there are none to speak of."""
    parsed = _sre.parse(pattern)
    folds = folded(pattern, parsed.state.flags)
    texts = _best(parsed, folds)
    if texts is None or len(texts) > LONGEST_LIST or min(len(text) for text in texts) < SHORTEST:
        return None
    if folds and not all(text.isascii() for text in texts):
        return None
    return Literals(tuple(sorted(texts)), folds)


@lru_cache(maxsize=4096)
def numeric_groups(pattern: str) -> Mapping[str, type]:
    """Return the named groups that match nothing but digits (int), or nothing but decimal numbers (float)."""
    compiled = re.compile(pattern)
    names = {number: name for name, number in compiled.groupindex.items()}
    kinds: Dict[str, type] = {}
    for number, inner in _groups(_sre.parse(pattern)):
        if number in names:
            alphabet = _alphabet(inner)
            if alphabet and alphabet <= _DIGITS:
                kinds[names[number]] = int
            elif alphabet and alphabet <= _DECIMAL and alphabet & _DIGITS:
                kinds[names[number]] = float
    return kinds


def folded(pattern: str, flags: int) -> bool:
    """Tell whether case is ignored anywhere, so that literals are compared in lower case."""
    return bool(flags & re.IGNORECASE) or re.search(r"\(\?[a-zA-Z]*i[a-zA-Z]*(-[a-z]+)?:", pattern) is not None


def _best(parsed: Iterable[Any], folded: bool) -> Optional[Set[str]]:
    """Return the most telling set of texts of a sequence: of those that it can't do without."""
    found: List[Set[str]] = []
    run = ""
    for operation, argument in parsed:
        name = str(operation)
        if name == "LITERAL" and argument != 0x0A:  # a text of several lines is looked for line by line
            run += chr(argument)
            continue
        if name == "AT":
            continue  # a place between characters: the text goes on behind it
        if run:
            found.append({run})
            run = ""
        inner = _inner(name, argument, folded)
        if inner is not None:
            found.append(inner)
    if run:
        found.append({run})
    if not found:
        return None
    best = max(found, key=lambda texts: (min(len(text) for text in texts), -len(texts)))
    return {text.lower() for text in best} if folded else best


def _inner(name: str, argument: Any, folded: bool) -> Optional[Set[str]]:
    if name == "SUBPATTERN":
        return _best(argument[3], folded)
    if name == "ATOMIC_GROUP":
        return _best(argument, folded)
    if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT") and argument[0] >= 1:
        return _best(argument[2], folded)
    if name == "BRANCH":
        branches = [_best(branch, folded) for branch in argument[1]]
        if all(branch is not None for branch in branches):
            return {text for branch in branches if branch is not None for text in branch}
    return None


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
