"""A field that the probe does not report.

## What it does
Holds every name in `when`, `clear` and `subject`, and everything behind `incident.`, against the fields of the
records, the vars, and the words of the language.

## Why is this bad
A misspelt field is never seen: the detector stays `unknown` and no fault is ever found.

## Example
```yaml
name: example
detectors:
  - name: disk full
    health: /srv
    when: disk_fre < 50GB
```

## Use instead
```yaml
name: example
detectors:
  - name: disk full
    health: /srv
    when: disk_free < 50GB
```

## Fix
None: the nearest field may not be the one that was meant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.language.lint import known
from runbook.engine.language.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from runbook.engine.language.lint.context import Context, Remark
    from runbook.engine.language.lint.uses import Use

_TEXTS = (str, str | None)

CODE = "RB018"
NAME = "unknown-field"
LEVEL = "error"


def check(context: Context) -> Iterator[Remark]:
    """Judge the names of conditions over records, and what stands behind `incident.`."""
    later = known.registered(context)
    for use in context.uses:
        names = use.known.names
        for mention in use.mentions:
            if mention.guarded or use.known.open:
                continue
            place = (mention.offset, mention.end)
            keys = names.get(mention.name)
            if use.fields is not None and mention.name not in names and mention.name not in later:
                other = use.opposites.get(mention.offset) if not mention.keys else None
                near = nearest(mention.name, [*use.fields, *(name for name in names if name not in known.RESERVED)])
                hint = f"did you mean {near}?" if near and near != other else _there_is(use.fields)
                hint = (quoted(use, mention.name, other) if other is not None else "") or hint
                yield context.remark_in(use, *place, f"`{mention.name}` is no field of these records, and no var", hint)
            elif mention.name == "incident" and keys is not None and mention.keys and mention.keys[0] not in keys:
                near = nearest(mention.keys[0], keys)
                hint = f"did you mean incident.{near}?" if near else _there_is(keys)
                yield context.remark_in(use, *place, f"the incident has no `{mention.keys[0]}`", hint)


def quoted(use: Use, word: str, other: str) -> str:
    """Return how to write a word that was meant as a text, because of what it is compared with; or nothing."""
    choices = use.choices(other)
    if word in choices:
        return f"write '{word}' in quotes"
    if choices:
        near = nearest(word, choices)
        return f"did you mean '{near}', in quotes?" if near else f"write one of {', '.join(map(repr, choices))}"
    field = (use.fields or {}).get(other)
    return f"a text is written in quotes: '{word}'" if getattr(field, "type", None) in _TEXTS else ""


def _there_is(names: Iterable[str]) -> str:
    return f"there is {', '.join(sorted(names))}"
