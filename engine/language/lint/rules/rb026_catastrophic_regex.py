r"""A regular expression whose work explodes.

## What it does
Finds patterns in which a loop can read the same text in several ways (`(a+)+`, `(a|a)*`, `(.*,){11}`), or four loops
in a row fit the same characters. The pattern is tried on a text that should make it explode, counting the steps of a
backtracking matcher instead of running one.

## Why is this bad
Thirty characters in a log line are enough to keep Python busy for hours: the detector would be `unknown` for as long
as that line is there.

## Example
```yaml
name: example
detectors:
  - name: out of memory
    log: {paths: [/var/log/vllm.log], patterns: ['(\w+\s?)+: killed']}
```

## Use instead
```yaml
name: example
detectors:
  - name: out of memory
    log: {paths: [/var/log/vllm.log], patterns: ['\w{1,64}: killed']}
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

CODE = "RB026"
NAME = "catastrophic-regex"
LEVEL = "error"


def check(context: Context) -> Iterator[Remark]:
    """Try every pattern that could explode."""
    for found in context.patterns:
        hostile = pattern.explosion(found.text) if pattern.problem(found.text) is None else None
        if hostile is not None:
            text = hostile.text()
            shown = repr(text if len(text) <= 30 else f"{text[:30]}…")
            message = f"this regular expression takes exponential time, for example on {shown}"
            hint = "let each loop read a text in one way only, and bound it: \\w{1,64} instead of (\\w+)+"
            yield context.remark(found.path, message, hint)
