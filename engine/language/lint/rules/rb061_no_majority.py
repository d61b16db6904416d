"""A majority that can't come about.

## What it does
Finds `redundancy` at an operation without a pool, and one that asks more members than the pool has.

## Why is this bad
More than half of those that are to be asked have to answer the same. Members that are not there never do.

## Example
```yaml
name: example
writable: [/srv/llm]
operations:
  - name: tell the proxy
    pool: endpoints
    redundancy: 3
    edit_config: {path: "/srv/llm/{{ member.name }}.json", set: {up: true}}
    timeout: 1m
pools:
  endpoints: {members: [{name: a}, {name: b}]}
```

## Use instead
```yaml
name: example
writable: [/srv/llm]
operations:
  - name: tell the proxy
    pool: endpoints
    redundancy: 3
    edit_config: {path: "/srv/llm/{{ member.name }}.json", set: {up: true}}
    timeout: 1m
pools:
  endpoints: {members: [{name: a}, {name: b}, {name: c}]}
```

## Fix
None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark

CODE = "RB061"
NAME = "no-majority"
LEVEL = "error"


def check(context: Context) -> Iterator[Remark]:
    """Judge each operation that asks several."""
    for operation in context.runbook.operations:
        path = (*operation.path, "redundancy")
        if operation.redundancy == 1:
            continue
        if operation.pool is None:
            message = f"`redundancy: {operation.redundancy}` asks members of a pool, and there is no pool"
            hint = "name one: `pool: …`; members with a `host` are asked on that host"
            yield context.remark(path, message, hint, key=True)
            continue
        pool = context.runbook.pools.get(operation.pool)
        if pool is not None and len(pool.members) < operation.redundancy:
            message = f"the pool `{pool.name}` has {len(pool.members)} members"
            yield context.remark(path, message, f"write {len(pool.members)} or less, or add members")
