r"""A sample of a signature that is not what it says.

## What it does
Tries, in a file of signatures, the patterns of each entry on its samples: a line below `match` must be found, one below
`near_miss` must not.

## Why is this bad
A signature that does not find its own sample finds nothing in a log either; one that finds what it must not tells of
failures that are none.

## Example
```yaml
signatures:
  - id: site.cooling
    title: the cooling failed
    scope: app
    pattern: 'CDU \d+ flow low'
    severity: high
    category: hardware
    role: root
    match: ['CDU alarm: flow low']
    near_miss: ['CDU 3 flow normal']
```

## Use instead
```yaml
signatures:
  - id: site.cooling
    title: the cooling failed
    scope: app
    pattern: 'CDU (?:alarm: |\d+ )flow low'
    severity: high
    category: hardware
    role: root
    match: ['CDU alarm: flow low']
    near_miss: ['CDU 3 flow normal']
```

## Fix
None.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runbook.engine.language.lint import pattern

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark
    from runbook.engine.language.lint.signatures import SignatureContext

CODE = "RB055"
NAME = "wrong-sample"
LEVEL = "error"


def check(context: Context) -> Iterator[Remark]:  # noqa: ARG001 -- runbooks have no samples
    """Say nothing of runbooks."""
    yield from ()


def check_signatures(context: SignatureContext) -> Iterator[Remark]:
    """Try each entry on its samples."""
    for entry in context.entries:
        texts = [text for text, _ in entry.texts("pattern")] or list(entry.known.pattern if entry.known else ())
        if not texts or any(pattern.problem(text) or pattern.explosion(text) for text in texts):
            continue
        compiled = [re.compile(text) for text in texts]
        for sample, path in entry.texts("match"):
            if not any(each.search(sample) for each in compiled):
                hint = "widen the pattern, or take the sample out"
                yield context.remark(path, f"`{entry.name}` does not match this sample", hint)
        for sample, path in entry.texts("near_miss"):
            if any(each.search(sample) for each in compiled):
                hint = "make the pattern narrower, or take the sample out"
                yield context.remark(path, f"`{entry.name}` matches this sample, which it must not", hint)
