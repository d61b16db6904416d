"""A step that would delete, move, own or write outside of what is writable.

## What it does
Fills in the paths of steps as far as vars tell them, and holds them against `writable`. A path that depends on an
incident is judged by its beginning.

## Why is this bad
The step is refused when it runs. `writable` is what keeps a wrong path from becoming a lost disk.

## Example
```yaml
name: example
writable: [/srv/llm]
finally:
  - edit_config: {path: /srv/other/serve.json, set: {port: 8000}}
```

## Use instead
```yaml
name: example
writable: [/srv/llm]
finally:
  - edit_config: {path: /srv/llm/serve.json, set: {port: 8000}}
```

## Fix
None: what may be written is for a person to say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.language.lint import known, places

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark

CODE = "RB033"
NAME = "outside-writable"
LEVEL = "error"


def check(context: Context) -> Iterator[Remark]:
    """Judge every path below which a step writes."""
    scope = places.scope(context, sorted(known.registered(context)))
    writable = [places.told(entry, scope) for entry in context.runbook.writable]
    for call in context.calls:
        for name in call.cls.writes if call.cls is not None else ():
            given = call.step.params.get(name)
            for value in given if isinstance(given, (list, tuple)) else [given]:
                path = places.told(value, scope) if value is not None else None
                reason = places.outside(path, writable) if path is not None else None
                if reason:
                    where = context.parameter(call.step.path, call.step.module, name)
                    hint = "" if "writable" not in reason else "name its tree at the top: `writable: […]`"
                    yield context.remark(where, f"{call.step.module} will be refused: {reason}", hint)
