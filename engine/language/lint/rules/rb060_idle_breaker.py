"""A component whose numbers never do anything.

## What it does
Finds breakers of components that no operation feeds, breakers that stay open for no time at all, and windows that are
too short for a level: below five attempts nothing is said of a component.

## Why is this bad
Somebody believes that attempts stop when they should.

## Example
```yaml
name: example
writable: [/srv/llm]
components:
  hub: {breaker: {failures: 3, timeout: 5m}}
operations:
  - name: set the port
    edit_config: {path: /srv/llm/serve.json, set: {port: 8000}}
    timeout: 1m
```

## Use instead
```yaml
name: example
writable: [/srv/llm]
components:
  hub: {breaker: {failures: 3, timeout: 5m}}
operations:
  - name: set the port
    component: hub
    edit_config: {path: /srv/llm/serve.json, set: {port: 8000}}
    timeout: 1m
```

## Fix
None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.language.pooled import members

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark

FEWEST = 5

CODE = "RB060"
NAME = "idle-breaker"
LEVEL = "warning"


def check(context: Context) -> Iterator[Remark]:
    """Judge the components of this file."""
    runbook = context.runbook
    here = context.data.get("components")
    used = {name for each in runbook.operations for name in (each.component, each.pool) if name is not None}
    used |= {name for name in members(runbook.pools) if any(name.startswith(f"{each}.") for each in used)}
    for name in here if isinstance(here, dict) else ():
        given = runbook.components.get(name, {})
        breaker = given.get("breaker")
        if breaker is not None and name not in used and runbook.operations:
            message = f"no operation feeds `{name}`, so its breaker never opens"
            hint = f"write `component: {name}` at the operations that need it"
            yield context.remark(("components", name, "breaker"), message, hint, key=True)
        if breaker is not None and breaker.get("timeout") == 0:
            message = f"the breaker of `{name}` lets attempts through again at once"
            yield context.remark(("components", name, "breaker", "timeout"), message, "write a time, such as 60s")
        if given.get("window", FEWEST) < FEWEST:
            message = f"a level takes {FEWEST} attempts: `{name}` never has one"
            yield context.remark(("components", name, "window"), message, f"write {FEWEST} or more")
