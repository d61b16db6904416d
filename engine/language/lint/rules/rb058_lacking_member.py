"""A key that some members of a pool do not have.

## What it does
Holds every `member.…` of an operation, and every `from.…` and `to.…` of a pool's `switch`, against each member of the
pool.

## Why is this bad
The step works until that member is the one that has to stand in.

## Example
```yaml
name: example
writable: [/srv/llm]
operations:
  - name: tell the proxy
    pool: endpoints
    edit_config: {path: /srv/llm/proxy.json, set: {port: "{{ member.port }}"}}
    timeout: 1m
pools:
  endpoints:
    members: [{name: a, port: 8000}, {name: b, prot: 8001}]
```

## Use instead
```yaml
name: example
writable: [/srv/llm]
operations:
  - name: tell the proxy
    pool: endpoints
    edit_config: {path: /srv/llm/proxy.json, set: {port: "{{ member.port }}"}}
    timeout: 1m
pools:
  endpoints:
    members: [{name: a, port: 8000}, {name: b, port: 8001}]
```

## Fix
None: what the member's value is, is for a person to write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.language.nearest import nearest
from runbook.engine.language.pooled import HEALTH
from runbook.engine.language.taint import MEMBERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark
    from runbook.engine.language.lint.uses import Use
    from runbook.engine.model import Pool

CODE = "RB058"
NAME = "lacking-member"
LEVEL = "error"


def check(context: Context) -> Iterator[Remark]:
    """Judge what is read of members, wherever it is known of which pool they are."""
    for use in context.uses:
        pool = _pool(context, use)
        for mention in use.mentions if pool is not None else ():
            if mention.guarded or mention.name not in MEMBERS or not mention.keys or mention.keys[0] in HEALTH:
                continue
            key = mention.keys[0]
            lacking = [member for member in pool.members if key not in member] if pool is not None else []
            if pool is None or not lacking or len(lacking) == len(pool.members):
                continue  # a key that none has is no key at all, which is told as that
            names = ", ".join(f"`{member['name']}`" for member in lacking)
            near = nearest(key, lacking[0])
            hint = f"did you mean {key} where it says {near}?" if near else f"give it one: `{key}: …`"
            place = (mention.offset, mention.end)
            yield context.remark_in(use, *place, f"{names} of the pool `{pool.name}` has no `{key}`", hint)


def _pool(context: Context, use: Use) -> Pool | None:
    """Return the pool whose members an expression reads."""
    name = None
    if use.call is not None and use.call.place == "switch":
        name = str(use.call.step.path[1])
    elif use.call is not None and use.call.place == "operation" and use.call.operation is not None:
        name = use.call.operation.pool
    elif use.path[-1:] == ("prefer",):
        name = next((each.pool for each in context.runbook.operations if each.path == use.path[:-1]), None)
    return context.runbook.pools.get(name) if name is not None else None
