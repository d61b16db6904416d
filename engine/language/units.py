"""Durations, sizes and percents as a runbook writes them: `1h30m`, `50GB`, `85%`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from runbook.modules.declare import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

SECONDS: Final[Mapping[str, float]] = {
    "ms": 0.001,
    "s": 1,
    "m": 60,
    "h": 3600,
    "d": 86400,
    "w": 604800,
}
BYTES: Final[Mapping[str, int]] = {
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "PB": 10**15,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
    "PiB": 2**50,
}
SHAPES: Final[Mapping[Kind, str]] = {
    Kind.DURATION: "30s, 10m, 1h30m or 7d",
    Kind.SIZE: "500MB, 50GB or 4GiB",
    Kind.PERCENT: "85 or 85%",
}

_NUMBER = r"\d{1,15}(?:\.\d{1,9})?"
_PAIR = re.compile(rf"({_NUMBER})\s?([A-Za-zµ]+)", re.ASCII)
_BARE = re.compile(_NUMBER, re.ASCII)
_LONGEST = 40  # characters; what is longer is no quantity
_FAMILIES = (
    (re.compile(r"(millis?|msecs?|milliseconds?)$"), "ms"),
    (re.compile(r"s(ec\w*)?$"), "s"),
    (re.compile(r"m(in\w*)?$"), "m"),
    (re.compile(r"(h(ou?rs?|rs?)?|hr)$"), "h"),
    (re.compile(r"d(a\w*)?$"), "d"),
    (re.compile(r"w(e\w*|k\w*)?$"), "w"),
)


class Duration(float):
    """Seconds that remember how they were written."""

    kind: Final = Kind.DURATION
    text: str


class Size(int):
    """Bytes that remember how they were written."""

    kind: Final = Kind.SIZE
    text: str


class Percent(float):
    """A percentage that remembers how it was written."""

    kind: Final = Kind.PERCENT
    text: str


Amount = Duration | Size | Percent


def duration(text: str) -> float:
    """Return the seconds that a text such as `1h30m` means.

    Raises:
        ValueError: it is no duration; the message says what one looks like.
    """
    cleaned = text.strip()
    if cleaned == "0":
        return 0.0
    pairs = _pairs(cleaned)
    if pairs is None:
        raise ValueError(_refusal(text, "duration", Kind.DURATION, needs="s" if _BARE.fullmatch(cleaned) else ""))
    places = list(SECONDS)
    total, last = 0.0, len(places)
    for number, unit in pairs:
        if unit not in SECONDS:
            raise ValueError(_refusal(text, "duration", Kind.DURATION, wrong=unit))
        if places.index(unit) >= last:
            raise ValueError(f"'{text}' is not a duration: write each unit once, the largest first, as in 1h30m")
        last = places.index(unit)
        total += float(number) * SECONDS[unit]
    return round(total, 6)


def size(text: str) -> int:
    """Return the bytes that a text such as `50GB` means.

    Raises:
        ValueError: it is no size; the message says what one looks like.
    """
    cleaned = text.strip()
    if cleaned == "0":
        return 0
    pairs = _pairs(cleaned)
    if pairs is None or len(pairs) != 1:
        raise ValueError(_refusal(text, "size", Kind.SIZE, needs="GB" if _BARE.fullmatch(cleaned) else ""))
    number, unit = pairs[0]
    if unit not in BYTES:
        raise ValueError(_refusal(text, "size", Kind.SIZE, wrong=unit))
    return round(float(number) * BYTES[unit])


def percent(text: str) -> float:
    """Return the number of a text such as `85%` or `85`.

    Raises:
        ValueError: it is no percentage.
    """
    cleaned = text.strip().removesuffix("%").rstrip()
    if len(cleaned) > _LONGEST or not _BARE.fullmatch(cleaned):
        raise ValueError(_refusal(text, "percentage", Kind.PERCENT))
    return float(cleaned)


def amount(text: str) -> Amount | None:
    """Return the quantity that the whole text is, or None where it is something else (a bare number too)."""
    if not text or not text[0].isdecimal() or len(text) > _LONGEST or text[-1].isdecimal():
        return None
    found: Amount
    try:
        if text.endswith("%"):
            found = Percent(percent(text))
        elif text.endswith("B"):
            found = Size(size(text))
        else:
            found = Duration(duration(text))
    except ValueError:
        return None
    found.text = text
    return found


def joined(number: str, unit: str) -> Amount:
    """Return the quantity of a number and the unit that follows it in an expression.

    Raises:
        ValueError: there is no such unit; the message names the nearest.
    """
    found = amount(number + unit)
    if found is None:
        near = nearest_unit(re.sub(r"\d.*", "", unit))
        hint = f"; did you mean {number}{near}?" if near else ""
        known = "ms s m h d w, kB MB GB TB, KiB MiB GiB TiB"
        raise ValueError(f"'{number}{unit}' has no unit of time or size: {known}{hint}")
    return found


def nearest_unit(word: str) -> str | None:
    """Return the unit that somebody who wrote `minuts` or `gigs` meant."""
    lower = word.lower()
    if not lower:
        return None
    if lower.startswith("milli"):
        return "ms"
    if lower.startswith(("perc", "pct")):
        return "%"
    for pattern, unit in _FAMILIES:
        if pattern.match(lower):
            return unit
    for unit in BYTES:
        if unit.lower() == lower:
            return unit
    heads = {"k": "kB", "m": "MB", "g": "GB", "t": "TB", "p": "PB", "b": "B"}
    binary = {"ki": "KiB", "mi": "MiB", "gi": "GiB", "ti": "TiB", "pi": "PiB"}
    return binary.get(lower[:2]) if len(lower) < 4 and lower[:2] in binary else heads.get(lower[0])


def _pairs(text: str) -> list[tuple[str, str]] | None:
    if not text or len(text) > _LONGEST:
        return None
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        match = _PAIR.match(text, at)
        if match is None:
            return None
        found.append((match[1], match[2]))
        at = match.end()
        while text[at : at + 1] == " ":
            at += 1
    return found


def _refusal(text: str, what: str, kind: Kind, *, wrong: str = "", needs: str = "") -> str:
    shown = text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
    message = f"'{shown}' is not a {what}: write it as {SHAPES[kind]}"
    if needs:
        return f"{message} (a unit is missing: {shown.strip()}{needs}?)"
    near = nearest_unit(wrong) if wrong else None
    known = SECONDS if kind is Kind.DURATION else BYTES
    if near and near in known and near != wrong:
        return f"{message} (instead of '{wrong}': {near})"
    return message
