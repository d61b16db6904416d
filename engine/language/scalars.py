"""Plain YAML scalars: what a word or number without quotes means, and the readings of YAML 1.1 that nobody expects.

`true` and `false` are the only booleans, numbers are decimal. What YAML 1.1 would read as something else (`on`, `0777`,
`1:30`, a date) is a trap: it is reported, and never passes silently.
"""

from __future__ import annotations

import math
import re
from typing import Any

from runbook.modules.frozen import frozen

_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?(?:(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+][0-9]+)\Z")
_ZEROS = re.compile(r"[-+]?0o?[0-9_]+\Z")
_RADIX = re.compile(r"[-+]?0(?:x[0-9a-fA-F_]+|b[01_]+)\Z")
_UNDERSCORES = re.compile(r"[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?\Z")
_BASE_60 = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?\Z")
_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}.*)?\Z")
_EXPONENT = re.compile(r"[-+]?[0-9]+[eE][0-9]+\Z")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z")
_NUMERIC_START = frozenset("0123456789+-.")
_LARGEST = 2**63


@frozen
class Trap:
    """A plain scalar that YAML parsers read in different ways."""

    value: Any  # what to go on with, so that the rest of the file can be judged
    message: str
    hint: str
    instead: str | None = None  # what to write, where only one thing can be meant


def _boolean(text: str, *, value: bool) -> Trap:
    right = "true" if value else "false"
    if text.lower() == right:
        return Trap(value, f"{text} is not a boolean here: only true and false are", f"write {right}", right)
    hint = f'write {right}, or "{text}" in quotes if the word is meant'
    return Trap(value, f"{text} is a boolean to some YAML parsers and a word to others", hint)


_BOOLEANS = {
    word: _boolean(word, value=value)
    for words, value in (
        ("True TRUE y Y yes Yes YES on On ON", True),
        ("False FALSE n N no No NO off Off OFF", False),
    )
    for word in words.split()
}
_WORDS: dict[str, Any] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None, "true": True, "false": False, **_BOOLEANS,
}  # fmt: skip


def resolve(text: str) -> Any:
    """Return what a plain scalar stands for: None, a bool, a number, its text, or a `Trap`."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in _NUMERIC_START:
        return _number(text)
    return text


def _number(text: str) -> Any:
    if _INTEGER.match(text):
        # Python refuses to read integers of thousands of digits, and neither JSON nor SQLite carry more than 64 bits.
        if len(text) > 20 or abs(int(text)) >= _LARGEST:
            return _quoted(text, f"{_short(text)} is too large for a number")
        return int(text)
    if _FLOAT.match(text):
        number = float(text)
        return number if math.isfinite(number) else _quoted(text, f"{_short(text)} is too large for a number")
    if _ZEROS.match(text):
        hint = f'write "{text}" in quotes for a mode or a code, or the number without leading zeros'
        return Trap(text, f"{text} is an octal number to some YAML parsers", hint, f'"{text}"')
    if _RADIX.match(text):
        return Trap(
            text, f"{text} is a number to some YAML parsers", f'write "{text}" in quotes, or the number in decimal'
        )
    if _BASE_60.match(text):
        hint = f'write "{text}" in quotes, or a duration with its units, such as 1h30m'
        return Trap(text, f"{text} is a number in base 60 to some YAML parsers", hint)
    if _DATE.match(text):
        return _quoted(text, f"{text} is a date to some YAML parsers and text to others")
    if _NOT_FINITE.match(text):
        return Trap(text, f"{text} is not a number that anything can be compared with", "write a finite number")
    if _EXPONENT.match(text):
        return Trap(
            text,
            f"{text} is a number to some YAML parsers and text to others",
            f'write "{text}" in quotes, or the number in full or with a sign, as in 1e+5',
        )
    if "_" in text and _UNDERSCORES.match(text):
        plain = text.replace("_", "")
        return Trap(text, f"{text} is a number to some YAML parsers and text to others", f"write {plain}", plain)
    return text


def _quoted(text: str, message: str) -> Trap:
    return Trap(text, message, f'write "{_short(text)}" in quotes', f'"{text}"')


def _short(text: str) -> str:
    return text if len(text) <= 24 else f"{text[:20]}…"
