r"""A pattern that the fast engines can't take.

## What it does
Finds, in a file of signatures, look-arounds, references to groups, atomic groups and the like: what Python's `re`
takes, and the engines that read gigabytes in one go do not.

## Why is this bad
It works, and slowly: such a pattern is tried on each line by itself, under a time limit.

## Example
```yaml
signatures:
  - id: site.cooling
    title: the cooling failed
    scope: app
    pattern: 'CDU \d+ flow (?!normal)'
    severity: high
    category: hardware
    role: root
```

## Use instead
```yaml
signatures:
  - id: site.cooling
    title: the cooling failed
    scope: app
    pattern: 'CDU \d+ flow (?:low|lost)'
    severity: high
    category: hardware
    role: root
```

## Fix
None: say what is looked for instead of what is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.language.lint import pattern

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark
    from runbook.engine.language.lint.signatures import SignatureContext

CODE = "RB056"
NAME = "nonlinear-regex"
LEVEL = "warning"


def check(context: Context) -> Iterator[Remark]:  # noqa: ARG001 -- a runbook's few patterns are read as they are
    """Say nothing of runbooks."""
    yield from ()


def check_signatures(context: SignatureContext) -> Iterator[Remark]:
    """Judge every pattern that compiles."""
    for found in context.patterns:
        reason = pattern.nonlinear(found.text) if pattern.problem(found.text) is None else None
        if reason is not None:
            message = f"this regular expression is slow on large logs: it holds {reason}"
            yield context.remark(found.path, message, "say what is looked for, in plain groups and classes")
