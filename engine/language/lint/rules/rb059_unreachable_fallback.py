"""A fallback that is never reached.

## What it does
Finds fallbacks behind one that can't fail (`notify`, `wait`), and fallbacks of an operation that can't fail.

## Why is this bad
Fallbacks are tried in turn until one does what it should. Whoever told people first has fallen back to that, and the
operation counts as done.

## Example
```yaml
name: example
writable: [/srv/llm]
operations:
  - name: set the port
    edit_config: {path: /srv/llm/serve.json, set: {port: 8000}}
    timeout: 1m
    fallback:
      - notify: the port could not be set
      - edit_config: {path: /srv/llm/serve.toml, set: {port: 8000}}
```

## Use instead
```yaml
name: example
writable: [/srv/llm]
operations:
  - name: set the port
    edit_config: {path: /srv/llm/serve.json, set: {port: 8000}}
    timeout: 1m
    fallback:
      - edit_config: {path: /srv/llm/serve.toml, set: {port: 8000}}
```

## Fix
None: telling people of a failure is what an `error` detector's `unhealed` is for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark

_NEVER_FAIL = frozenset({"notify", "wait"})

CODE = "RB059"
NAME = "unreachable-fallback"
LEVEL = "warning"


def check(context: Context) -> Iterator[Remark]:
    """Judge each fallback by what stands before it."""
    for operation in context.runbook.operations:
        for before, step in zip((operation.step, *operation.fallback), operation.fallback, strict=False):
            if before.module in _NEVER_FAIL and (before.when is None or before is operation.step):
                message = f"this fallback is never tried: `{before.title}` before it can't fail"
                hint = f"put `{before.module}` last, or tell of failures by `unhealed` of an `error` detector"
                yield context.remark((*step.path, step.module), message, hint, key=True)
                break
