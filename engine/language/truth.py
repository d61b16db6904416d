"""Comparing in three values: what can't be compared is unknown, never false."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final, Self

from runbook.engine.model import UNKNOWN, Truth
from runbook.modules.declare import UNSEEN

_DEEPEST = 50  # levels of nested lists that are compared
ORDERING: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "gt": operator.gt,
    "gteq": operator.ge,
    "lt": operator.lt,
    "lteq": operator.le,
}


class Member(str):
    """A member of a closed set that has an order: it compares by its place, with plain text too."""

    __slots__ = ("order",)
    order: tuple[str, ...]

    def __new__(cls, value: str, order: tuple[str, ...]) -> Self:
        """Make the member `value` of the set `order`, lowest first."""
        made = super().__new__(cls, value)
        made.order = order
        return made


def is_number(value: Any) -> bool:
    """Tell whether a value is a number that compares; true and false are none, nor is NaN."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value  # noqa: PLR0124


def is_unknown(value: Any) -> bool:
    """Tell whether a value is the third one, or a field that could not be seen."""
    return value is UNKNOWN or value is UNSEEN


def truth(value: Any) -> Truth:
    """Return whether a value counts as true; null, 0 and what is empty do not."""
    if is_unknown(value):
        return UNKNOWN
    return bool(value)


def negate(value: Any) -> Truth:
    """Return Kleene's not."""
    found = truth(value)
    return UNKNOWN if found is UNKNOWN else not found


def equal(left: Any, right: Any, depth: int = 0) -> Truth:
    """Return whether two values are the same; unknown where their kinds differ. Null equals only null."""
    if is_unknown(left) or is_unknown(right):
        return UNKNOWN
    if left is None or right is None:
        return left is right
    if isinstance(left, str) or isinstance(right, str):
        return _same_text(left, right)
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right if isinstance(left, bool) and isinstance(right, bool) else UNKNOWN
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        return left == right if is_number(left) and is_number(right) else UNKNOWN
    if depth > _DEEPEST:
        return UNKNOWN
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return len(left) == len(right) and _all(equal(a, b, depth + 1) for a, b in zip(left, right, strict=True))
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and _all(equal(left[key], right[key], depth + 1) for key in left)
    return UNKNOWN


def ordered(comparison: str, left: Any, right: Any) -> Truth:
    """Return `left < right` and the like: numbers, texts, and members of one closed set by their place."""
    if is_number(left) and is_number(right):
        return ORDERING[comparison](left, right)
    if isinstance(left, str) and isinstance(right, str):
        order = getattr(left, "order", None) or getattr(right, "order", None)
        if order is None:
            return ORDERING[comparison](left, right)
        if left in order and right in order:
            return ORDERING[comparison](order.index(left), order.index(right))
    return UNKNOWN


def contains(value: Any, inside: Any) -> Truth:
    """Return whether a list has a value, a text a part, or a mapping a key."""
    if is_unknown(value) or is_unknown(inside):
        return UNKNOWN
    if isinstance(inside, str):
        return value in inside if isinstance(value, str) else UNKNOWN
    if isinstance(inside, Mapping):
        return bool(value in inside) if isinstance(value, (str, int, float)) else UNKNOWN
    if isinstance(inside, (list, tuple)):
        return _among(value, inside)
    return UNKNOWN


def compare(comparison: str, left: Any, right: Any) -> Truth:
    """Return the result of one comparison, by Jinja's name for it."""
    if is_unknown(left) or is_unknown(right):
        return UNKNOWN
    if comparison == "eq":
        return equal(left, right)
    if comparison == "ne":
        return negate(equal(left, right))
    if comparison == "in":
        return contains(left, right)
    if comparison == "notin":
        return negate(contains(left, right))
    return ordered(comparison, left, right)


def _same_text(left: Any, right: Any) -> Truth:
    if isinstance(left, str) and isinstance(right, str):
        return str.__eq__(left, right)
    written = getattr(left, "text", None) or getattr(right, "text", None)  # a quantity remembers how it was written
    if written is None:
        return UNKNOWN
    return True if written in {left, right} else UNKNOWN


def _among(value: Any, members: list[Any] | tuple[Any, ...]) -> Truth:
    """Members of another kind are passed over, unless there are only such, so that `code in [1, 'x']` can be false."""
    compared, unsure = not members, False
    for member in members:
        found = equal(value, member)
        if found is True:
            return True
        compared = compared or found is False
        unsure = unsure or is_unknown(member)
    return False if compared and not unsure else UNKNOWN


def _all(results: Any) -> Truth:
    unsure = False
    for result in results:
        if result is False:
            return False
        unsure = unsure or result is UNKNOWN
    return UNKNOWN if unsure else True
