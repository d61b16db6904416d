"""Attempts without number and without a pause.

## What it does
Finds `retry` with a time (`within`) and no number of `attempts`, where nothing lies between them:
`strategy: immediate`, or `base: 0`.

## Why is this bad
What fails at once is then tried thousands of times, which keeps a server that comes up from coming up.

## Example
```yaml
name: example
writable: [/srv/llm]
operations:
  - name: set the port
    edit_config: {path: /srv/llm/serve.json, set: {port: 8000}}
    timeout: 1m
    retry: {strategy: immediate, within: 10m}
```

## Use instead
```yaml
name: example
writable: [/srv/llm]
operations:
  - name: set the port
    edit_config: {path: /srv/llm/serve.json, set: {port: 8000}}
    timeout: 1m
    retry: {strategy: fibonacci, base: 1s, max: 30s, within: 10m}
```

## Fix
None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.model import Backoff, Retry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark

CODE = "RB062"
NAME = "retry-storm"
LEVEL = "warning"


def check(context: Context) -> Iterator[Remark]:
    """Judge the `retry` of operations and of `error` detectors."""
    found = [(each.path, each.retry) for each in context.runbook.operations]
    found += [(each.path, each.retry) for each in context.detectors if isinstance(each.retry, Retry)]
    for path, retry in found:
        at_once = retry.strategy is Backoff.IMMEDIATE or retry.base == 0 or retry.max == 0
        if retry.attempts is None and at_once and context.within((*path, "retry")) is not None:
            message = "it is tried without a pause, as often as fits into `within`"
            yield context.remark((*path, "retry"), message, "give it a `base`, or a number of `attempts`", key=True)
