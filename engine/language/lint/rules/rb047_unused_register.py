"""A result that nobody reads.

## What it does
Finds `register` names that no template and no condition mentions.

## Why is this bad
Mostly the condition that was to use it is missing or misspelt.

## Example
```yaml
name: example
writable: [/srv/llm]
finally:
  - edit_config: {path: /srv/llm/serve.json, set: {port: 8000}}
    register: edited
```

## Use instead
```yaml
name: example
writable: [/srv/llm]
finally:
  - edit_config: {path: /srv/llm/serve.json, set: {port: 8000}}
    register: edited
  - notify: "changed: {{ edited.changed }}"
```

## Fix
Safe where it stands on a line of its own: the line is deleted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.language.lint.rules.rb043_no_effect import whole_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark

CODE = "RB047"
NAME = "unused-register"
LEVEL = "warning"


def check(context: Context) -> Iterator[Remark]:
    """Look for each registered name in all expressions."""
    used = context.mentioned
    for call in context.calls:
        name = call.step.register
        if name is not None and name not in used:
            path = (*call.step.path, "register")
            message = f"nothing reads `{name}`"
            yield context.remark(path, message, "delete it, or use it", fixes=whole_line(context, path))
