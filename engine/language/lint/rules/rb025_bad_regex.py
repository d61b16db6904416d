r"""A text that is no regular expression.

## What it does
Compiles every pattern of the runbook with Python's `re`, and takes its warnings seriously.

## Why is this bad
A pattern that does not compile finds nothing.

## Example
```yaml
name: example
detectors:
  - name: out of memory
    log: {paths: [/var/log/vllm.log], patterns: ['CUDA (out of memory']}
```

## Use instead
```yaml
name: example
detectors:
  - name: out of memory
    log: {paths: [/var/log/vllm.log], patterns: ['CUDA \(?out of memory']}
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

CODE = "RB025"
NAME = "bad-regex"
LEVEL = "error"


def check(context: Context) -> Iterator[Remark]:
    """Compile every pattern."""
    for found in context.patterns:
        problem = pattern.problem(found.text)
        if problem:
            message = f"this is no regular expression: {problem}"
            yield context.remark(found.path, message, "put a backslash before a character that stands for itself")
