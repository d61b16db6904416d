"""A part of the language that this version does not carry out.

## What it does
Finds keys that are valid and that this version would ignore. Also steps, probes, parameters and managers that a later
version brings: they are no slips of the pen.

## Why is this bad
A guard or a fallback that is ignored in silence is worse than none.

## Example
```yaml
name: example
detectors:
  - name: failed jobs
    slurm:
    when: state == 'FAILED'
```

## Use instead
```yaml
name: example
detectors:
  - name: failed jobs
    command: sacct -n -X -s F
    when: stdout != ''
```

## Fix
None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark

_LATER = "a later version will carry it out; until then, leave it out"

CODE = "RB050"
NAME = "not-yet"
LEVEL = "error"


def check(context: Context) -> Iterator[Remark]:
    """Walk over the keys of the whole file."""
    secrets = context.data.get("secrets")
    for name, given in secrets.items() if isinstance(secrets, dict) else ():
        if isinstance(given, dict) and "keyring" in given:
            path = ("secrets", name, "keyring")
            yield context.remark(path, "this version does not carry out `keyring` yet", _LATER, key=True)
