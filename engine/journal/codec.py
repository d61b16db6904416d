"""Values between the engine and the journal's columns: plain, redacted, and the same when they come back."""

from __future__ import annotations

import enum
import json
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from runbook.engine.closed_sets import UNKNOWN

Redact = Callable[[str], str]

_DEEPEST = 128  # levels of a value that are kept: what a host says has 64 at most
_encoded = json.JSONEncoder(separators=(",", ":")).encode
_as_it_is = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_NUMBERS = frozenset({"nan", "inf", "-inf"})


def as_is(text: str) -> str:
    """Redact nothing."""
    return text


def text(value: str, redact: Redact = as_is) -> str:
    """Return a text as a column can hold it: without secrets, and with lone surrogates spelled out."""
    clean = redact(value)
    return clean if clean.isascii() else clean.encode("utf-8", "backslashreplace").decode("utf-8")


def dump(value: Any, redact: Redact = as_is) -> str:
    """Return a value as JSON, without secrets."""
    try:
        encoded = _as_it_is(value)  # most values are plain: the encoder alone takes a third of the time
    except (TypeError, ValueError, RecursionError):
        return _encoded(plain(value, redact))
    shallow = encoded.count("[") + encoded.count("{") <= _DEEPEST
    if shallow and '"$' not in encoded and (redact is as_is or redact(encoded) == encoded):
        return encoded
    return _encoded(plain(value, redact))


def load(column: str) -> Any:
    """Return the value that `dump` wrote."""
    return json.loads(column, object_hook=_special) if '"$' in column else json.loads(column)


def plain(value: Any, redact: Redact = as_is, levels: int = _DEEPEST) -> Any:
    """Return a value as JSON knows it; what JSON lacks becomes `{"$…": …}`, and a host's own `$…` becomes `$$…`."""
    kind = type(value)
    if kind is str:
        return redact(value)
    if value is None or kind is int or kind is bool:
        return value
    if kind is float:
        return value if math.isfinite(value) else {"$number": str(value)}
    if kind is dict and levels:
        return {_escaped(redact(str(key))): plain(item, redact, levels - 1) for key, item in value.items()}
    if (kind is tuple or kind is list) and levels:
        return [plain(item, redact, levels - 1) for item in value]
    return _rare(value, redact, levels)


def _rare(value: Any, redact: Redact, levels: int) -> Any:
    """Return as JSON knows it what is none of Python's own plain types, or nested too deeply."""
    if value is UNKNOWN:
        return {"$unseen": True}
    if isinstance(value, enum.Enum):
        return plain(value.value, redact, levels)
    if isinstance(value, str | int | float):  # of a type of its own
        base = next(each for each in (str, bool, int, float) if isinstance(value, each))
        return plain(base(value), redact, levels)
    if isinstance(value, bytes | bytearray):
        return redact(bytes(value).decode("utf-8", "backslashreplace"))
    if isinstance(value, Collection):
        return _several(value, redact, levels - 1) if levels else "…"
    return redact(str(value))


def unescaped(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping with a host's own `$…` as the host wrote it."""
    return {key[1:] if key.startswith("$$") else key: item for key, item in found.items()}


def _several(value: Collection[Any], redact: Redact, levels: int) -> Any:
    if isinstance(value, Mapping):
        return {_escaped(redact(str(key))): plain(item, redact, levels) for key, item in value.items()}
    items = [plain(item, redact, levels) for item in value]
    return sorted(items, key=str) if isinstance(value, set | frozenset) else items


def _escaped(key: str) -> str:
    return f"${key}" if key.startswith("$") else key


def _special(found: dict[str, Any]) -> Any:
    if len(found) == 1:
        if found.get("$unseen") is True:
            return UNKNOWN
        if isinstance(number := found.get("$number"), str) and number in _NUMBERS:
            return float(number)
    return unescaped(found)
