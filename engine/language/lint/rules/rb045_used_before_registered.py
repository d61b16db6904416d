"""A result that is used before any step registered it.

## What it does
Finds names that a step registers only later, or in another recovery, where they are not known yet.

## Why is this bad
The name is undefined when the step runs, so the step fails.

## Example
```yaml
name: example
writable: [/srv/llm]
finally:
  - notify: "{{ edited.changed }}"
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
  - notify: "{{ edited.changed }}"
```

## Fix
None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.language.lint import known

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark

CODE = "RB045"
NAME = "used-before-registered"
LEVEL = "error"


def check(context: Context) -> Iterator[Remark]:
    """Judge the names that are registered somewhere by where they are used."""
    registered = known.registered(context)
    for use in context.uses if registered else ():
        for mention in use.mentions:
            if mention.name in registered and mention.name not in use.known.names and not mention.guarded:
                message = f"`{mention.name}` is not registered yet where it is used"
                hint = "register it in an earlier step of the same list"
                yield context.remark_in(use, mention.offset, mention.end, message, hint)
