"""A var that nothing uses.

## What it does
Finds vars that no template, no condition and no other var mentions. Where the runbook uses others, its vars may be
meant for them, and nothing is said.

## Why is this bad
Whoever sets it with `-e` believes that it changes something.

## Example
```yaml
name: example
vars:
  prot: 8000
finally:
  - notify: done
```

## Use instead
```yaml
name: example
vars:
  port: 8000
finally:
  - notify: "{{ port }} is free"
```

## Fix
None: it may be set from outside, and the place that should use it may be what is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark

CODE = "RB048"
NAME = "unused-var"
LEVEL = "warning"


def check(context: Context) -> Iterator[Remark]:
    """Look for each var in all expressions."""
    given = context.data.get("vars")
    if not isinstance(given, dict) or context.runbook.use:
        return
    for name in given:
        if name not in context.mentioned:
            yield context.remark(("vars", name), f"nothing uses the var `{name}`", "delete it, or use it", key=True)
