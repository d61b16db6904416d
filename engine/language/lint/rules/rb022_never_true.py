"""A condition that can't be true.

## What it does
Finds conditions whose parts contradict each other, or that lie outside of what a field can be, or are false as they
stand.

## Why is this bad
The detector looks alive and never fires; the step never runs.

## Example
```yaml
name: example
detectors:
  - name: disk full
    health: /srv
    when: disk_used_percent > 95 and disk_used_percent < 90
```

## Use instead
```yaml
name: example
detectors:
  - name: disk full
    health: /srv
    when: disk_used_percent > 90
```

## Fix
None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.language.contradiction import impossible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark

CODE = "RB022"
NAME = "never-true"
LEVEL = "error"


def check(context: Context) -> Iterator[Remark]:
    """Judge every condition by what its fields can be."""
    for use in context.uses:
        if use.expression.template:
            continue
        typed = {name: field for name, field in (use.fields or {}).items() if field is not None}
        reason = impossible(use.expression, typed)
        if reason:
            what = "step" if use.call is not None else "detector"
            yield context.remark(use.path, f"this can never be true: {reason}", f"mend it, or delete the {what}")
