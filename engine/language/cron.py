"""Five-field cron expressions: checked when a runbook is read, so that `watch` never meets a wrong one."""

from __future__ import annotations

import re

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
NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


def parse(text: str) -> str:
    """Return a cron expression with its five fields separated by single spaces.

    Raises:
        ValueError: it is none; the message names the field.
    """
    if text in NICKNAMES:
        return NICKNAMES[text]
    words = text.lower().split()
    if len(words) != len(_FIELDS):
        raise ValueError(f"a cron expression has five fields, not {len(words)}: write it as */5 * * * *")
    for word, (name, low, high, names) in zip(words, _FIELDS, strict=True):
        for part in word.split(","):
            _check(part, name, low, high, names)
    return " ".join(words)


def _check(part: str, name: str, low: int, high: int, names: tuple[str, ...]) -> None:
    match = _PART.fullmatch(part)
    if match is None:
        raise ValueError(f"'{part[:40]}' is no {name} of a cron expression: write *, */5, 3, 1-5 or 1,3,5")
    bounds = [_number(match[group], name, low, high, names) for group in ("first", "last") if match[group]]
    if len(bounds) == 2 and bounds[0] > bounds[1]:
        raise ValueError(f"'{part}' runs backwards: write the smaller {name} first")
    if match["step"] is not None and int(match["step"]) == 0:
        raise ValueError(f"'{part}' steps by 0: write 1 or more behind the /")


def _number(word: str, name: str, low: int, high: int, names: tuple[str, ...]) -> int:
    if word in names:
        return names.index(word) + low
    if not word.isdigit() or not low <= int(word) <= high:
        raise ValueError(
            f"'{word}' is no {name}: write {low} to {high}{f' or {names[0]} to {names[-1]}' if names else ''}"
        )
    return int(word)
