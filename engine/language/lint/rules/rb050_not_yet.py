"""A part of the language that this version does not carry out.

## What it does
Finds steps, probes, parameters and managers that a later version brings: they are no slips of the pen.

## Why is this bad
A guard or a fallback that is ignored in silence is worse than none.

## Example
```yaml
name: example
detectors:
  - name: pods that crash
    kubernetes:
    when: restarts > 3
```

## Use instead
```yaml
name: example
detectors:
  - name: pods that crash
    command: kubectl get pods --field-selector=status.phase=Failed -o name
    when: stdout != ''
```

## Fix
None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark

CODE = "RB050"
NAME = "not-yet"
LEVEL = "error"


def check(context: Context) -> Iterator[Remark]:  # noqa: ARG001 -- every rule is asked alike
    """Find nothing more: names of modules that come later are met where modules are looked up, and have this code."""
    return iter(())
