"""A comparison of two things that can't be compared.

## What it does
Finds fields that are compared with a literal of another kind: a number with a text, a size with a duration, true with
a number. Also `run`, `runbook`, `secrets` and `incident` where one value is asked for: they hold several.

## Why is this bad
Such a comparison is `unknown` and never true, so the detector can never fire.

## Example
```yaml
name: example
detectors:
  - name: disk full
    health: /srv
    when: disk_free < 10m
```

## Use instead
```yaml
name: example
detectors:
  - name: disk full
    health: /srv
    when: disk_free < 10GB
```

## Fix
None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args, get_origin

from runbook.engine.language import names
from runbook.engine.language.nearest import nearest
from runbook.modules.declare import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark
    from runbook.engine.language.lint.uses import Use

_UNITS = {Kind.DURATION: "a duration, such as 10m", Kind.SIZE: "a size, such as 50GB", Kind.PERCENT: "a percentage"}
_MAPPINGS = {
    "run": "run.id or run.scratch",
    "runbook": "runbook.name, runbook.dir or runbook.file",
    "secrets": "secrets.NAME",
    "incident": "incident.severity, or another of its fields",
}
_NUMBERS = frozenset({Kind.DURATION, Kind.SIZE, Kind.PERCENT, Kind.CELSIUS, Kind.WATT, Kind.TIME})

CODE = "RB021"
NAME = "unequal-kinds"
LEVEL = "error"


def check(context: Context) -> Iterator[Remark]:
    """Judge the literals that typed fields are compared with."""
    for use in context.uses:
        yield from _mappings(context, use)
        for literal in use.literals if use.fields else ():
            field = (use.fields or {}).get(literal.name)
            wanted = _sort(field)
            if not wanted or literal.value is None:
                continue
            found = _written(literal.value)
            if wanted != found:
                message = f"`{literal.name}` is {wanted} and can't be compared with {found}"
                yield context.remark_in(use, literal.offset, literal.end, message, _hint(field, wanted))
            elif literal.kind in _UNITS and field is not None and _clash(literal.kind, field.kind):
                message = f"`{literal.name}` is {_name(field.kind)} and is compared with {_UNITS[literal.kind]}"
                yield context.remark_in(use, literal.offset, literal.end, message, _hint(field, wanted))


def _mappings(context: Context, use: Use) -> Iterator[Remark]:
    """Judge the words that stand for a mapping where one value is asked for: `state == run`, `when: run`."""
    alone = names.bare(use.expression) if not use.expression.template else frozenset()
    for mention in use.mentions:
        if mention.name not in _MAPPINGS or mention.keys or mention.guarded or mention.name in (use.fields or {}):
            continue
        other = use.opposites.get(mention.offset)
        if other is None and mention.offset not in alone:
            continue
        choices = use.choices(other or "")
        near = nearest(mention.name, choices) if choices else None
        hint = f"write {_MAPPINGS[mention.name]}"
        hint = f"did you mean '{near}', in quotes?" if near else hint
        what = "can't be compared" if other is not None else "is no condition"
        message = f"`{mention.name}` holds several values and {what}"
        yield context.remark_in(use, mention.offset, mention.end, message, hint)


def _clash(written: Kind, field: Kind | None) -> bool:
    return written is not field


def _name(kind: Kind | None) -> str:
    return _UNITS[kind].partition(",")[0] if kind in _UNITS else "a plain number"


def _sort(field: Any) -> str:
    """Return the one sort of value that a field has, or nothing where it may have several."""
    if field is None:
        return ""
    if field.kind in _NUMBERS:
        return "a number"
    sorts = {_SORTS.get(part, "") for part in _parts(field.type)} - {None}
    return sorts.pop() or "" if len(sorts) == 1 else ""


def _parts(hint: Any) -> list[Any]:
    if get_origin(hint) is None or not get_args(hint):
        return [hint]
    arguments = get_args(hint)
    if all(isinstance(argument, str) for argument in arguments):
        return [str]
    if type(None) in arguments or hasattr(hint, "__metadata__"):
        return [inner for argument in arguments if isinstance(argument, type) for inner in _parts(argument)]
    return [hint]


_SORTS: dict[Any, str | None] = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "a text",
    type(None): None,
}


def _written(value: object) -> str:
    if isinstance(value, bool):
        return "true or false"
    return "a text" if isinstance(value, str) else "a number"


def _hint(field: Any, wanted: str) -> str:
    if field is not None and field.name == "mode" and wanted == "a text":
        return "write four octal digits in quotes, such as '0600'"
    if field is not None and field.kind in _UNITS:
        return f"write {_UNITS[field.kind]}"
    return {"a number": "write the number without quotes", "a text": "write the text in quotes"}.get(
        wanted, "write true or false"
    )
