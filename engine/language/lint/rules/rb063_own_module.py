"""A module of your own that would not work.

## What it does
Reads the steps and probes in `runbook_modules/` without running them, and finds what keeps one from being a module: a
syntax error, a class that is missing or bears another name, a parameter whose type no runbook can write, a default or
an impact that is not there as a plain value, an example that does not fit. As warnings: what Python 3.9 can't read,
what a host may lack, what nobody will see.

## Why is this bad
It would fail on the host, in the middle of a recovery.

## Example
```yaml
name: example
writable: [/srv/llm]
operations:
  - name: open the gate
    open_gate: /srv/llm/open
    timeout: 1m
```
```python
# runbook_modules/steps/open_gate.py
from dataclasses import dataclass

from runbook.modules.actions import Write
from runbook.modules.declare import Impact, Path, Step


@dataclass(frozen=True)
class OpenGate(Step):
    '''Write a file that opens the gate.

    Example:
        - open_gate: /srv/llm/open
    '''

    impact = Impact.LOW
    writes = ("path",)

    path: Path  # the file

    def paln(self, host):
        return [Write(self.path, b"open")]
```

## Use instead
```yaml
name: example
writable: [/srv/llm]
operations:
  - name: open the gate
    open_gate: /srv/llm/open
    timeout: 1m
```
```python
# runbook_modules/steps/open_gate.py
from dataclasses import dataclass

from runbook.modules.actions import Write
from runbook.modules.declare import Impact, Path, Step


@dataclass(frozen=True)
class OpenGate(Step):
    '''Write a file that opens the gate.

    Example:
        - open_gate: /srv/llm/open
    '''

    impact = Impact.LOW
    writes = ("path",)

    path: Path  # the file

    def plan(self, host):
        return [Write(self.path, b"open")]
```

## Fix
None.
"""

CODE = "RB063"
NAME = "own-module"
LEVEL = "error"
