"""An operation that may run for ever.

## What it does
Finds operations without a `timeout`. The steps `wait` and `wait_for` carry their own.

## Why is this bad
A download that hangs holds up everything behind it; a module's own timeout is a guess about somebody else's work.

## Example
```yaml
name: example
writable: [/srv/llm]
operations:
  - name: set the port
    edit_config: {path: /srv/llm/serve.json, set: {port: 8000}}
```

## Use instead
```yaml
name: example
writable: [/srv/llm]
operations:
  - name: set the port
    edit_config: {path: /srv/llm/serve.json, set: {port: 8000}}
    timeout: 1m
```

## Fix
None: how long it may take depends on the work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.language.amounts import format_duration
from runbook.engine.language.lint.calls import step_class
from runbook.modules.declare import Impact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark

CODE = "RB044"
NAME = "operation-without-timeout"
LEVEL = "warning"


def check(context: Context) -> Iterator[Remark]:
    """Judge operations whose step can do anything."""
    for operation in context.runbook.operations:
        cls = step_class(operation.step.module)
        if operation.timeout is None and cls is not None and cls.impact is not Impact.NONE:
            message = f"`{operation.name}` has no timeout of its own"
            hint = f"write `timeout: …`; without it, {operation.step.module} gets {format_duration(cls.timeout)}"
            yield context.remark((*operation.path, operation.step.module), message, hint, key=True)
