"""A disruptive recovery without a `limit`.

## What it does
Finds detectors that restart, kill, run commands or worse, and have no `limit`, neither the detector nor the step.

## Why is this bad
A fault that the step does not cure becomes a restart loop.

## Example
```yaml
name: example
detectors:
  - name: server down
    http: http://127.0.0.1:8000/health
    when: status != 200
    recover:
      - restart_daemon: {unit: vllm}
```

## Use instead
```yaml
name: example
detectors:
  - name: server down
    http: http://127.0.0.1:8000/health
    when: status != 200
    limit: 3 per 1h
    recover:
      - restart_daemon: {unit: vllm}
```

## Fix
None: how often is enough depends on the service.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.language.lint.calls import step_class
from runbook.engine.model import Mode
from runbook.modules.declare import Impact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark

CODE = "RB037"
NAME = "no-limit"
LEVEL = "warning"


def check(context: Context) -> Iterator[Remark]:
    """Judge the recoveries of detectors; those of failed operations end with the attempts."""
    for detector in context.detectors:
        if detector.limit is not None or detector.probe == "error" or detector.mode is Mode.OBSERVE:
            continue
        for step in (step for rung in detector.recover for step in rung.steps):
            cls = step_class(step.module)
            if cls is None or cls.impact.rank < Impact.DISRUPTIVE.rank or step.limit is not None:
                continue
            message = f"nothing limits how often `{detector.name}` runs {step.module}"
            hint = "write `limit: 3 per 1h` beside its name, or at the top for every detector"
            yield context.remark((*detector.path, "recover"), message, hint, key=True)
            break
