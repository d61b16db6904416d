"""How a value becomes part of a text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from runbook.engine.errors import RenderError

LONGEST: Final = 1_048_576  # characters that one value may become


def text(value: Any) -> str:
    """Return a value as it reads inside a text: true, 3, 0.3, JSON for lists and mappings.

    Raises:
        RenderError: it is null, unknown, or too long.
    """
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return getattr(value, "text", None) or number(value)
    if isinstance(value, (list, tuple, Mapping)):
        return as_json(value)
    if value is None:
        raise RenderError("is null, which has no text", mend="say what stands for it: {{ x | default('none', true) }}")
    raise RenderError("is unknown, which has no text", mend="ask for it with `is defined`, or test it in `when`")


def number(value: float) -> str:
    """Return a number without the noise of binary fractions: 3 for 3.0, 0.3 for 0.1 + 0.2."""
    if isinstance(value, int):
        return bound(int.__repr__(value)) if value.bit_length() < 4096 else "∞"
    if value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return f"{float(value):.15g}"


def as_json(value: Any) -> str:
    """Return a value as JSON.

    Raises:
        RenderError: something in it is unknown, or it is too long.
    """
    weigh(value)
    try:
        return json.dumps(value, ensure_ascii=False, default=_plain)
    except TypeError as error:
        raise RenderError("holds a value that is unknown, which has no text") from error
    except (ValueError, RecursionError) as error:
        raise RenderError("is nested too deeply for a text") from error


def bound(made: str) -> str:
    """Return the text, unless it is too long."""
    if len(made) > LONGEST:
        raise RenderError(f"becomes a text of {len(made):,} characters; {LONGEST:,} are the most")
    return made


def weigh(value: Any) -> None:
    """Refuse a value whose text would be too long, before it is made: shared parts count each time they occur."""
    total, waiting = 0, [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str):
            total += len(part)
        elif isinstance(part, Mapping):
            waiting.extend(part.keys())
            waiting.extend(part.values())
        elif isinstance(part, (list, tuple)):
            waiting.extend(part)
        total += 2
        if total > LONGEST:
            raise RenderError(f"becomes a text of more than {LONGEST:,} characters")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError
