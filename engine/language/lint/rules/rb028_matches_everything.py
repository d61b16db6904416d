"""A regular expression that is found in every line.

## What it does
Finds patterns that fit the empty text, mostly by a `|` too many or a `*` around everything.

## Why is this bad
Every line of the log would be the fault, and the recovery would run for each.

## Example
```yaml
name: example
detectors:
  - name: out of memory
    log: {paths: [/var/log/vllm.log], patterns: ['out of memory|']}
```

## Use instead
```yaml
name: example
detectors:
  - name: out of memory
    log: {paths: [/var/log/vllm.log], patterns: ['out of memory|cannot allocate']}
```

## Fix
None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.language.lint import pattern

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark

CODE = "RB028"
NAME = "matches-everything"
LEVEL = "error"


def check(context: Context) -> Iterator[Remark]:
    """Try every pattern on the empty text."""
    for found in context.patterns:
        if pattern.problem(found.text) is None and pattern.matches_everything(found.text):
            message = "this regular expression is found in every text"
            yield context.remark(found.path, message, "delete the empty alternative, or require one character")
