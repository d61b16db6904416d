"""Text for people: durations, sizes, counts, and host text that can't move the cursor."""

from __future__ import annotations

import functools
import json
import re
import unicodedata
from typing import Final

from runbook.engine.closed_sets import UNKNOWN
from runbook.engine.language import amounts

_SIZES = ("B", "kB", "MB", "GB", "TB", "PB")
_SIZED = frozenset({
    *("size", "rss", "disk_free", "memory_available", "memory_total", "memory_used", "memory_requested"),
    *("memory_peak", "free", "bytes", "until_free", "max_size"),
})  # fmt: skip
_TIMED = frozenset({
    *("uptime", "age", "newest_age", "oldest_age", "latency", "stalled_for", "elapsed", "time_limit", "duration"),
    *("latency_mean", "oldest", "older_than", "within", "grace", "timeout", "silent_for"),
})  # fmt: skip
_MOST = 1e21  # bytes; more is no size of anything
_LONGEST = 200  # characters of one value
_COMMAND: Final = re.compile(r": ((?:ssh-keygen|echo) .+)\Z", re.DOTALL)


def printable(text: str) -> str:
    """Return a text in one line, with every character that a terminal would act on spelled out."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


def script(text: str) -> str:
    r"""Return what a shell is given in one line: its line ends are shown as such, and not as `\n`.

    Example:
        >>> script("cd /srv\n./serve\n")
        'cd /srv ⏎ ./serve'
    """
    if text.endswith("\n'"):  # one that is quoted
        text = text[:-1].rstrip("\n") + "'"
    return printable(" ⏎ ".join(line.rstrip() for line in text.rstrip("\n").split("\n")))


def printable_lines(text: str) -> list[str]:
    """Return a text's lines, each printable; tabs become spaces."""
    return [printable(line.removesuffix("\r").expandtabs(4)) for line in text.rstrip("\n").split("\n")]


def one_line(text: str) -> str:
    """Return a text's lines as one sentence."""
    joined = ""
    for line in text.splitlines():
        if part := line.strip():
            joined += ("" if not joined else " " if joined[-1] in ".:;,!?" else "; ") + part
    return joined


def duration(seconds: float) -> str:
    """Return a duration as people say it: `9ms`, `0.4s`, `38s`, `4m12s`, `2h5m`, `3d4h`."""
    if seconds < 0.0995:
        return "0s" if seconds <= 0 else f"{max(1, round(seconds * 1000))}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    return amounts.format_duration(round(seconds))


def size(count: float) -> str:
    """Return a number of bytes as people say it: `1.5 GB`."""
    if abs(count) > _MOST:
        return f"more than {_MOST:g} B"
    for unit in _SIZES:
        if abs(count) < 999.5 or unit == _SIZES[-1]:
            break
        count /= 1000
    shown = f"{count:.1f}".removesuffix(".0") if abs(count) < 9.95 and unit != "B" else f"{count:.0f}"
    return f"{shown} {unit}"


def amount(count: int, noun: str) -> str:
    """Return `1 host`, `2 hosts`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def value(name: str, found: object) -> str:
    """Return a record's value in the unit that its field's name tells."""
    if found is UNKNOWN or found == {"$unseen": True}:
        return "unknown"
    if found is None:
        return "none"
    if isinstance(found, bool):
        return "true" if found else "false"
    if isinstance(found, int | float):
        return _number(name, found)
    shown = printable(as_json(found)) if isinstance(found, dict | list | tuple) else script(str(found))
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"


def as_json(found: object) -> str:
    """Return a value that is more than one as JSON, which is how it was given."""
    return json.dumps(found, ensure_ascii=False, default=str)


def _number(name: str, found: float) -> str:
    if name.endswith("_percent"):
        return f"{found:.1f}".removesuffix(".0") + "%"
    if name in _SIZED and abs(found) >= 1000:
        return size(found)
    if name in _TIMED:
        return duration(found)
    if name == "temperature":
        return f"{found:g} °C"
    return str(found) if isinstance(found, int) else f"{found:.4g}"


def width(text: str) -> int:
    """Return how many columns a text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(map(_columns, text))


@functools.lru_cache(1024)
def _columns(one: str) -> int:
    """Return how many columns a character takes; the same few make the bars of a table."""
    return 0 if unicodedata.combining(one) else 1 + (unicodedata.east_asian_width(one) in "WF")


def command_apart(text: str) -> tuple[str, str]:
    """Part a sentence from the command line at its end, which is to be copied and must not be broken into lines.

    Example:
        >>> command_apart("ask who knows; if the key is right: ssh-keygen -R gpu01")
        ('ask who knows; if the key is right:', 'ssh-keygen -R gpu01')
    """
    found = _COMMAND.search(text)
    return (text, "") if found is None else (text[: found.start() + 1], found[1])


def wrapped(text: str, columns: int) -> list[str]:
    """Break a line into lines of at most so many columns, at spaces where there are some."""
    lines, line = [], ""
    for word in text.split(" "):
        joined = f"{line} {word}" if line else word
        if width(joined) <= columns:
            line = joined
            continue
        lines += [line] if line else []
        *full, line = _pieces(word, columns)
        lines += full
    return [*lines, line] if line or not lines else lines


def _pieces(word: str, columns: int) -> list[str]:
    """Break a word that is too long, a path behind one of its slashes."""
    pieces = [""]
    for one in word:
        if width(pieces[-1] + one) > columns:
            end = pieces[-1].rfind("/") + 1
            pieces[-1:] = [pieces[-1][:end], pieces[-1][end:]] if 1 < end < len(pieces[-1]) else [pieces[-1], ""]
        pieces[-1] += one
    return pieces


def cut(text: str, columns: int) -> str:
    """Cut a line off at so many columns."""
    kept = text[: columns + 1]
    if kept == text and width(text) <= columns:
        return text
    while width(kept) > columns - 1:
        kept = kept[:-1]
    return kept + "…"
