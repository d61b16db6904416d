"""A comparison with a value that the field never has.

## What it does
Finds comparisons of a field that has a closed set of values (a state, an action, a severity) with a text that is none
of them, and of a file's `mode` with a text that is not four octal digits.

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

import re
from typing import TYPE_CHECKING, Any

from runbook.engine.language.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark

_MODE = re.compile("[0-7]{4}")
_EQUAL = frozenset({"==", "!=", "in", "not in"})

CODE = "RB020"
NAME = "unknown-member"
LEVEL = "error"


def check(context: Context) -> Iterator[Remark]:
    """Judge the literals that closed sets are compared with."""
    for use in context.uses:
        for literal in use.literals:
            choices = use.choices(literal.name)
            if _is_mode((use.fields or {}).get(literal.name)) and not _MODE.fullmatch(str(literal.value)):
                if isinstance(literal.value, str) and literal.operator in _EQUAL:
                    padded = literal.value.removeprefix("0o").rjust(4, "0")
                    hint = f"write '{padded if _MODE.fullmatch(padded) else '0600'}'"
                    message = f"`{literal.name}` is four octal digits, and never '{literal.value}'"
                    yield context.remark_in(use, literal.offset, literal.end, message, hint)
                continue
            if not choices or not isinstance(literal.value, str) or literal.value in choices:
                continue
            near = nearest(literal.value, choices)
            hint = f"did you mean '{near}'?" if near else f"there is {', '.join(map(str, choices))}"
            message = f"`{literal.name}` is never '{literal.value}'"
            yield context.remark_in(use, literal.offset, literal.end, message, hint)


def _is_mode(field: Any) -> bool:
    """Tell whether a field is a file's permissions, which are text."""
    return field is not None and field.name == "mode" and field.owner.__module__.endswith(".file")
