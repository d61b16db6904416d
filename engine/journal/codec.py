"""Values between the engine and the journal's columns: plain, redacted, and the same when they come back."""

from __future__ import annotations

import enum
import json
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from runbook.engine.model import UNKNOWN

Redact = Callable[[str], str]


def as_is(text: str) -> str:
    """Redact nothing."""
    return text


def text(value: str, redact: Redact = as_is) -> str:
    """Return a text as a column can hold it: without secrets, and with lone surrogates spelled out."""
    return redact(value).encode("utf-8", "backslashreplace").decode("utf-8")


def dump(value: Any, redact: Redact = as_is) -> str:
    """Return a value as JSON, without secrets."""
    return json.dumps(plain(value, redact), separators=(",", ":"))


def load(column: str) -> Any:
    """Return the value that `dump` wrote."""
    return json.loads(column, object_hook=_special)


def plain(value: Any, redact: Redact = as_is) -> Any:
    """Return a value as JSON knows it; what JSON lacks becomes `{"$…": …}`."""
    if isinstance(value, str):
        return redact(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$number": str(value)}
    if value is UNKNOWN:
        return {"$unseen": True}
    if isinstance(value, enum.Enum):
        return plain(value.value, redact)
    if isinstance(value, Mapping):
        return {redact(str(key)): plain(item, redact) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((plain(item, redact) for item in value), key=str)
    if isinstance(value, Collection) and not isinstance(value, bytes | bytearray):
        return [plain(item, redact) for item in value]
    if isinstance(value, bytes | bytearray):
        return redact(bytes(value).decode("utf-8", "backslashreplace"))
    return redact(str(value))


def _special(found: dict[str, Any]) -> Any:
    if len(found) == 1:
        if found.get("$unseen") is True:
            return UNKNOWN
        if isinstance(number := found.get("$number"), str):
            return float(number)
    return found
