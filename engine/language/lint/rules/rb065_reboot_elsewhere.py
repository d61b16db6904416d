"""A reboot that is no part of a recovery.

## What it does
Finds steps that end a host's boot among operations, their fallbacks, the steps of a pool's switch, and `finally`.

## Why is this bad
A reboot needs a lease, a budget, and an incident by which the next pass knows what it was for. Outside of a recovery
there is none, so the host refuses.

## Example
```yaml
name: example
finally:
  - reboot: {}
```

## Use instead
```yaml
name: example
detectors:
  - name: memory worn
    gpu:
    when: remap_pending
    recover: [{reboot: {}}]
    verify: {within: 15m}
    limit: 1 per 1d
```

## Fix
None: what it is to heal is for a person to write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark

CODE = "RB065"
NAME = "reboot-elsewhere"
LEVEL = "error"


def check(context: Context) -> Iterator[Remark]:
    """Look at where such steps stand."""
    for call in context.calls:
        if call.cls is not None and call.cls.reboots and call.place in {"operation", "fallback", "switch", "finally"}:
            message = f"`{call.step.module}` is part of a recovery only: here the host refuses it"
            hint = "write it into the `recover` of a detector"
            yield context.remark((*call.step.path, call.step.module), message, hint, key=True)
