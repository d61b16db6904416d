"""What was seen, as a sentence: the fields that the condition is about, in people's units."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.report import words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NAME: Final = re.compile(r"'[^']*'|\"[^\"]*\"|(?<![\w.])[A-Za-z_]\w*")
_TELLING: Final = ("line", "message", "reason", "summary")  # a log line says more than any other field of its record
_MOST: Final = 4
_FEW: Final = 3  # different values that are all told


def sentence(data: Mapping[str, Any], *, subject: str = "") -> str:
    """Return what a fact's data tells about what was seen; the subject stands in the headline already."""
    evidence = data.get("evidence")
    if isinstance(evidence, str) and evidence:
        return words.printable(evidence)
    fields = evidence if isinstance(evidence, dict) else data.get("fields")
    if not isinstance(fields, dict) or not fields:
        return ""
    return ", ".join(_parts(fields, str(data.get("when") or ""), subject))


def between(seen: Sequence[Mapping[str, Any]], condition: str, subjects: Sequence[str]) -> str:
    """Return what was seen in several places in one sentence: `disk free 0 B to 1.9 GB`; what differs is left out.

    Of lines, which differ in their times and ranks at least, the first stands for all.
    """
    first = seen[0]
    asked = [name for name in dict.fromkeys(_NAME.findall(condition)) if name in first]
    told = next((name for name in _TELLING if first.get(name)), None)
    if told is not None and not asked:
        texts = {words.value(told, fields.get(told)) for fields in seen}
        return words.value(told, first[told]) + (" (and the like)" if len(texts) > 1 else "")
    shown = asked or [name for name, found in first.items() if _plain(found, subjects[0])][:_MOST]
    said = ((name, _span(name, [fields.get(name) for fields in seen])) for name in shown)
    return ", ".join(f"{_called(name)} {text}" for name, text in said if text)


def _span(name: str, values: Sequence[object]) -> str:
    texts = list(dict.fromkeys(words.value(name, found) for found in values))
    if len(texts) == 1:
        return texts[0]
    if all(isinstance(found, int | float) and not isinstance(found, bool) for found in values):
        numbers = sorted(values)  # type: ignore[type-var]
        return f"{words.value(name, numbers[0])} to {words.value(name, numbers[-1])}"
    return " or ".join(texts) if len(texts) <= _FEW else ""


def _parts(fields: Mapping[str, Any], condition: str, subject: str) -> list[str]:
    asked = [name for name in dict.fromkeys(_NAME.findall(condition)) if name in fields]
    told = [name for name in _TELLING if fields.get(name) and name not in asked]
    shown = asked or ([] if told else [name for name, found in fields.items() if _plain(found, subject)][:_MOST])
    first = [words.value(name, fields[name]) for name in told[:1]]
    said = [name for name in shown if not (first and isinstance(fields[name], str) and fields[name] in first[0])]
    return first + [f"{_called(name)} {words.value(name, fields[name])}" for name in said]


def _called(name: str) -> str:
    """Return a field as people call it; what is no field's name is a detector's, before what that one saw."""
    return name.removesuffix("_percent").replace("_", " ") if name.isidentifier() else f"{words.printable(name)}:"


def _plain(found: object, subject: str) -> bool:
    return isinstance(found, str | int | float) and found not in ("", subject)
