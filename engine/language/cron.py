"""Five-field cron expressions: checked when a runbook is read, so that `watch` never meets a wrong one."""

from __future__ import annotations

import re
from typing import Any

_FIELDS = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of month", 1, 31, ()),
    ("month", 1, 12, ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")),
    ("day of week", 0, 7, ("sun", "mon", "tue", "wed", "thu", "fri", "sat")),
)
_PART = re.compile(
    r"(?:\*|(?P<first>[0-9]{1,2}|[a-z]{3})(?:-(?P<last>[0-9]{1,2}|[a-z]{3}))?)(?:/(?P<step>[0-9]{1,2}))?"
)
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)  # days of the months, in leap years
NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


def meant(value: Any) -> bool:
    """Tell whether something is written as a cron expression is, sound or not, and not as a duration."""
    return isinstance(value, str) and (value.strip().startswith("@") or len(value.split()) >= 4)


def parse(text: str) -> str:
    """Return a cron expression with its five fields separated by single spaces.

    Raises:
        ValueError: it is none; the message names the field.
    """
    text = text.strip()
    if text in NICKNAMES:
        return NICKNAMES[text]
    if text.startswith("@"):
        raise ValueError(f"'{text[:40]}' is none of {', '.join(NICKNAMES)}")
    words = text.lower().split()
    if len(words) != len(_FIELDS):
        raise ValueError(f"a cron expression has five fields, not {len(words)}: write it as */5 * * * *")
    for word, (name, low, high, names) in zip(words, _FIELDS, strict=True):
        for part in word.split(","):
            _check(part, name, low, high, names)
    days, months = numbers(words[2], 2), numbers(words[3], 3)
    if words[4].startswith("*") and min(days) > max(_LONGEST[month - 1] for month in months):
        raise ValueError(f"'{text}' never comes: no month of these has a day {min(days)}")
    return " ".join(words)


def numbers(word: str, place: int) -> list[int]:
    """Return what a field of a sound expression stands for, as numbers; of days of the week, Sunday is 0.

    Args:
        word: the field.
        place: which it is, of the five.

    Example:
        >>> numbers("1,50-59/5", 0), numbers("5-7", 4)
        ([1, 50, 55], [0, 5, 6])
    """
    _, low, high, names = _FIELDS[place]
    most = 6 if place == 4 else high  # 7 is Sunday once more
    found: set[int] = set()
    for part in word.split(","):
        match = _PART.fullmatch(part)
        assert match is not None
        first, last, step = match["first"], match["last"], int(match["step"] or 1)
        begin = low if first is None else _number(first, "", low, high, names)
        end = _number(last, "", low, high, names) if last else begin if first and not match["step"] else most
        found.update(range(begin, end + 1, step))
    return sorted({number % 7 for number in found} if place == 4 else found)


def _check(part: str, name: str, low: int, high: int, names: tuple[str, ...]) -> None:
    match = _PART.fullmatch(part)
    if match is None:
        raise ValueError(f"'{part[:40]}' is no {name} of a cron expression: write *, */5, 3, 1-5 or 1,3,5")
    bounds = [_number(match[group], name, low, high, names) for group in ("first", "last") if match[group]]
    if len(bounds) == 2 and bounds[0] > bounds[1]:
        raise ValueError(f"'{part}' runs backwards: write the smaller {name} first")
    if match["step"] is not None and int(match["step"]) == 0:
        raise ValueError(f"'{part}' steps by 0: write 1 or more behind the /")
    if match["step"] is not None and int(match["step"]) > high - low:
        raise ValueError(f"'{part}' steps over every {name} but the first: write {high - low} or less behind the /")


def _number(word: str, name: str, low: int, high: int, names: tuple[str, ...]) -> int:
    if word in names:
        return names.index(word) + low
    if not word.isdigit() or not low <= int(word) <= high:
        raise ValueError(
            f"'{word}' is no {name}: write {low} to {high}{f' or {names[0]} to {names[-1]}' if names else ''}"
        )
    return int(word)
