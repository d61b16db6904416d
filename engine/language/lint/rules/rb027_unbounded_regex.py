r"""A regular expression that is slow on a long line.

## What it does
Finds patterns that begin with an unbounded repeat (`.*error`, `\S+\[`), and patterns in which three unbounded repeats
in a row fit the same characters.

## Why is this bad
A pattern is looked for at every place of a line. One that begins with `\S+` reads the rest of the line at each of
them: a hostile line of 38 kB took 6 s.

## Example
```yaml
name: example
detectors:
  - name: out of memory
    log: {paths: [/var/log/vllm.log], patterns: ['\S+\[\d+\]: segfault']}
```

## Use instead
```yaml
name: example
detectors:
  - name: out of memory
    log: {paths: [/var/log/vllm.log], patterns: ['[^\s\[]{1,64}\[\d{1,10}\]: segfault']}
```

## Fix
None: a leading `.*` can be left out, a class can be bounded as `\S{1,64}`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.language.lint import pattern

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark

CODE = "RB027"
NAME = "unbounded-regex"
LEVEL = "warning"


def check(context: Context) -> Iterator[Remark]:
    """Judge every pattern that is not worse than slow."""
    for found in context.patterns:
        if pattern.problem(found.text) is not None or pattern.explosion(found.text) is not None:
            continue
        reason = pattern.unbounded(found.text)
        if reason:
            hint = "bound it, as in \\S{1,64}, or leave a leading .* out: a pattern is found anywhere in a line"
            yield context.remark(found.path, f"this regular expression is slow: {reason}", hint)
