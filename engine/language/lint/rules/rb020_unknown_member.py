"""A comparison with a value that the field never has.

## What it does
Finds comparisons of a field that has a closed set of values (a state, an action, a severity) with a text that is none
of them.

## Why is this bad
`state == 'dead'` is never true where the state is called `failed`: the fault would never be found.

## Example
```yaml
name: example
finally:
  - notify: it was bad
detectors:
  - name: disk full
    health: /srv
    when: disk_free < 50GB
    limit: 3 per 1h
    recover:
      - notify: disk full
        when: incident.severity == 'hihg'
```

## Use instead
```yaml
name: example
detectors:
  - name: disk full
    health: /srv
    when: disk_free < 50GB
    limit: 3 per 1h
    recover:
      - notify: disk full
        when: incident.severity == 'high'
```

## Fix
None: the nearest member may not be the one that was meant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.language.nearest import nearest
from runbook.engine.model import Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark
    from runbook.engine.language.lint.uses import Use

_SEVERITIES = tuple(member.value for member in Severity)

CODE = "RB020"
NAME = "unknown-member"
LEVEL = "error"


def check(context: Context) -> Iterator[Remark]:
    """Judge the literals that closed sets are compared with."""
    for use in context.uses:
        for literal in use.literals:
            choices = _choices(literal.name, use)
            if not choices or not isinstance(literal.value, str) or literal.value in choices:
                continue
            near = nearest(literal.value, choices)
            hint = f"did you mean '{near}'?" if near else f"there is {', '.join(map(str, choices))}"
            message = f"`{literal.name}` is never '{literal.value}'"
            yield context.remark_in(use, literal.offset, literal.end, message, hint)


def _choices(name: str, use: Use) -> tuple[object, ...]:
    if name == "incident.severity":
        return _SEVERITIES
    field = (use.fields or {}).get(name)
    return tuple(getattr(field, "choices", ()))
