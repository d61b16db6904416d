"""A size or a duration that is compared with a bare number.

## What it does
Finds comparisons of a field that is a size or a duration with a number that has no unit. 0 needs none.

## Why is this bad
The number counts bytes or seconds: `disk_free < 50` is true when less than 50 bytes are left, which is never in time.

## Example
```yaml
name: example
detectors:
  - name: disk full
    health: /srv
    when: disk_free < 50
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
None: nobody but you knows the unit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.modules.declare import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark

_COUNTED = {Kind.SIZE: ("a size", "bytes", "GB", "B"), Kind.DURATION: ("a duration", "seconds", "s", "s")}

CODE = "RB052"
NAME = "without-unit"
LEVEL = "warning"


def check(context: Context) -> Iterator[Remark]:
    """Judge the numbers that sizes and durations are compared with."""
    for use in context.uses:
        for literal in use.literals if use.fields else ():
            kind = getattr((use.fields or {}).get(literal.name), "kind", None)
            value = literal.value
            if kind not in _COUNTED or literal.kind is not None or isinstance(value, bool):
                continue
            if not isinstance(value, int | float) or value <= 0:
                continue
            what, unit, likely, exact = _COUNTED[kind]
            hint = f"write {value}{likely}" + (f", or {value}{exact} for {unit}" if likely != exact else "")
            message = f"`{literal.name}` is {what}, and {value} without a unit counts {unit}"
            yield context.remark_in(use, literal.offset, literal.end, message, hint)
