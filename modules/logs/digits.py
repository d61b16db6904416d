"""Which expressions take all digits alike, and lines with their digits masked.

What such an expression says of one line it says of every line that differs in digits alone; most lines of a log are of
few kinds, which differ in times, numbers and addresses.
"""

import importlib
import sys
from typing import Any, FrozenSet, Iterable

_sre = importlib.import_module("re._parser" if sys.version_info >= (3, 11) else "sre_parse")

LONGEST = 1000  # bytes of a line that is worth remembering
_DIGITS = frozenset(range(0x30, 0x3A))
_MASK = bytes(0x30 if code in _DIGITS else code for code in range(256))
_WITH = ("DIGIT", "WORD", "NOT_SPACE")  # categories that hold all of them


def masked(line: bytes) -> bytes:
    """Return a line with one digit in the place of each.

    Example:
        >>> masked(b"step 17 of 200")
        b'step 00 of 000'
    """
    return line.translate(_MASK)


def all_alike(parsed: Iterable[Any]) -> bool:
    """Tell whether an expression, parsed by `re`'s own parser, takes all ASCII digits alike."""
    return all(_alike(str(operation), argument) for operation, argument in parsed)


def _alike(name: str, argument: Any) -> bool:
    if name in ("LITERAL", "NOT_LITERAL"):
        return argument not in _DIGITS
    if name == "IN":
        return len(_of_set(argument)) in (0, len(_DIGITS))
    if name == "BRANCH":
        return all(map(all_alike, argument[1]))
    if name == "SUBPATTERN":
        return all_alike(argument[3])
    if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        return all_alike(argument[2])
    if name in ("ASSERT", "ASSERT_NOT"):
        return all_alike(argument[1])
    if name == "ATOMIC_GROUP":
        return all_alike(argument)
    return name in ("AT", "ANY", "ANY_ALL", "FAILURE")  # a reference to a group compares digits


def _of_set(items: Iterable[Any]) -> FrozenSet[int]:
    """Return the digits that the items of a set name."""
    found = set()
    for kind, value in items:
        name = str(kind)
        if name == "LITERAL":
            found.add(value)
        elif name == "RANGE":
            found.update(_DIGITS.intersection(range(value[0], value[1] + 1)))
        elif name == "CATEGORY" and str(value).replace("CATEGORY_", "").replace("UNI_", "") in _WITH:
            found |= _DIGITS
    return _DIGITS.intersection(found)
