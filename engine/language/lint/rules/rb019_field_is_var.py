"""A field and a var of the same name.

## What it does
Finds conditions that use a name which is both a field of the records and a var (or a registered name).

## Why is this bad
Which of the two is meant can't be seen, and a field that a later version adds would silently take the place of the
var.

## Example
```yaml
name: example
vars:
  status: 200
detectors:
  - name: server down
    http: http://127.0.0.1:8000/health
    when: status != 200
finally:
  - notify: expected {{ status }}
```

## Use instead
```yaml
name: example
vars:
  expected: 200
detectors:
  - name: server down
    http: http://127.0.0.1:8000/health
    when: status != expected
```

## Fix
None: renaming the var changes what `-e` has to be given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark

CODE = "RB019"
NAME = "field-is-var"
LEVEL = "error"


def check(context: Context) -> Iterator[Remark]:
    """Judge the names that conditions over records use."""
    taken = set(context.runbook.vars)
    for use in context.uses:
        for mention in use.mentions if use.fields else ():
            if mention.name in taken and mention.name in (use.fields or ()):
                message = f"`{mention.name}` is a field of these records and a var"
                yield context.remark_in(use, mention.offset, mention.end, message, "give the var another name")
