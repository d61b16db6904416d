"""A module of your own that would not work.

## What it does
Reads the steps and probes in `runbook_modules/` without running them, and finds what keeps one from being a module: a
syntax error, a class that is missing or bears another name, a parameter whose type no runbook can write, a default or an
impact that is not there as a plain value, an example that does not fit. As warnings: what Python 3.9 can't read, what a
host may lack, what nobody will see.

## Why is this bad
It would fail on the host, in the middle of a recovery.

## Example
```yaml
name: example
writable: [/srv/llm]
operations:
  - name: stop the scheduler
    raise_flag: /srv/llm/drain
    timeout: 1m
```
```python runbook_modules/steps/raise_flag.py
from dataclasses import dataclass

from runbook.modules.actions import Write
from runbook.modules.declare import Impact, Path, Step


@dataclass(frozen=True)
class RaiseFlag(Step):
    '''Write a file that stops the scheduler.

    Example:
        - raise_flag: /srv/llm/drain
    '''

    impact = Impact.LOW
    writes = ("path",)

    path: Path  # the file

    def paln(self, host):
        return [Write(self.path, b"drain")]
```

## Use instead
```yaml
name: example
writable: [/srv/llm]
operations:
  - name: stop the scheduler
    raise_flag: /srv/llm/drain
    timeout: 1m
```
```python runbook_modules/steps/raise_flag.py
from dataclasses import dataclass

from runbook.modules.actions import Write
from runbook.modules.declare import Impact, Path, Step


@dataclass(frozen=True)
class RaiseFlag(Step):
    '''Write a file that stops the scheduler.

    Example:
        - raise_flag: /srv/llm/drain
    '''

    impact = Impact.LOW
    writes = ("path",)

    path: Path  # the file

    def plan(self, host):
        return [Write(self.path, b"drain")]
```

## Fix
None.
"""

CODE = "RB063"
NAME = "own-module"
LEVEL = "error"
