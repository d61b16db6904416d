"""What was seen, as a sentence: the fields that the condition is about, in people's units."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.report import words

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME: Final = re.compile(r"'[^']*'|\"[^\"]*\"|(?<![\w.])[A-Za-z_]\w*")
_TELLING: Final = ("line", "message", "reason")  # a log line says more than any other field of its record
_MOST: Final = 4


def sentence(data: Mapping[str, Any], *, subject: str = "") -> str:
    """Return what a fact's data tells about what was seen; the subject stands in the headline already."""
    evidence = data.get("evidence")
    if isinstance(evidence, str) and evidence:
        return words.printable(evidence)
    fields = evidence if isinstance(evidence, dict) else data.get("fields")
    if not isinstance(fields, dict) or not fields:
        return ""
    return ", ".join(_parts(fields, str(data.get("when") or ""), subject))


def _parts(fields: Mapping[str, Any], condition: str, subject: str) -> list[str]:
    asked = [name for name in dict.fromkeys(_NAME.findall(condition)) if name in fields]
    told = [name for name in _TELLING if fields.get(name) and name not in asked]
    shown = asked or ([] if told else [name for name, found in fields.items() if _plain(found, subject)][:_MOST])
    said = [f"{_called(name)} {words.value(name, fields[name])}" for name in shown]
    return [words.value(name, fields[name]) for name in told[:1]] + said


def _called(name: str) -> str:
    """Return a field as people call it; what is no field's name is a detector's, before what that one saw."""
    return name.removesuffix("_percent").replace("_", " ") if name.isidentifier() else f"{words.printable(name)}:"


def _plain(found: object, subject: str) -> bool:
    return isinstance(found, str | int | float) and found not in ("", subject)
