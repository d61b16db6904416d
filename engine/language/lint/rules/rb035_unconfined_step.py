"""A `command` or `shell`, which `writable` does not confine.

## What it does
Names every step that runs a program of the runbook's own choice.

## Why is this bad
`writable`, links and undo are enforced where steps write by themselves. A program does what it wants.

## Example
```yaml
name: example
writable: [/srv/llm]
finally:
  - command: rm -f /srv/llm/lock.json
```

## Use instead
```yaml
name: example
writable: [/srv/llm]
finally:
  - edit_config: {path: /srv/llm/lock.json, set: {locked: false}}
```

## Fix
None. Where there is no step for it: `# noqa: RB035`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark

_UNCONFINED = frozenset({"command", "shell"})

CODE = "RB035"
NAME = "unconfined-step"
LEVEL = "warning"


def check(context: Context) -> Iterator[Remark]:
    """Name the steps that run programs."""
    for call in context.calls:
        if call.step.module in _UNCONFINED:
            message = f"`writable` does not confine what this {call.step.module} does"
            hint = "use a step of its own kind (`runbook doc`), or accept it: `# noqa: RB035`"
            yield context.remark((*call.step.path, call.step.module), message, hint, key=True)
