"""A runbook that neither looks at anything nor does anything.

## What it does
Finds runbooks without detectors and without operations, that bring none with `use` and define nothing that another
runbook could use (recoveries, pools).

## Why is this bad
`runbook apply` finds every detector well, since there is none: a file that was cut off, or whose detectors became a
comment, looks like a healthy host.

## Example
```yaml
name: example
detectors: []
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
None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark

_WORK = ("detectors", "operations", "use", "recoveries", "pools", "finally")

CODE = "RB051"
NAME = "nothing-to-do"
LEVEL = "warning"


def check(context: Context) -> Iterator[Remark]:
    """Judge the whole file."""
    if not any(context.data.get(key) for key in _WORK):
        hint = "write `detectors:` (what to look at) or `operations:` (what to do)"
        yield context.remark(("name",), "this runbook looks at nothing and does nothing", hint)
