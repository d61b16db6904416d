"""A destructive step that waits for nobody.

## What it does
Finds steps that can lose data (`clear_cache`, `shell`, …) under `mode: auto`, whether the step, the detector or the
runbook says so.

## Why is this bad
A wrong condition would delete by itself, at night, on every host.

## Example
```yaml
name: example
writable: [/srv/cache]
detectors:
  - name: disk full
    health: /srv
    when: disk_free < 50GB
    mode: auto
    limit: 3 per 1h
    recover:
      - clear_cache: {path: /srv/cache, older_than: 7d}
```

## Use instead
```yaml
name: example
writable: [/srv/cache]
detectors:
  - name: disk full
    health: /srv
    when: disk_free < 50GB
    mode: approve
    limit: 3 per 1h
    recover:
      - clear_cache: {path: /srv/cache, older_than: 7d}
```

## Fix
None. Where it is meant: `# noqa: RB036`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.model import Mode
from runbook.modules.declare import Impact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.calls import Call
    from runbook.engine.language.lint.context import Context, Remark
    from runbook.engine.model import Path

CODE = "RB036"
NAME = "destructive-auto"
LEVEL = "warning"


def check(context: Context) -> Iterator[Remark]:
    """Judge destructive steps by the mode that holds for them."""
    for call in context.calls:
        if call.cls is None or call.cls.impact is not Impact.DESTRUCTIVE or call.operation is not None:
            continue
        for path in _auto(context, call):
            message = f"{call.step.module} can lose data, and `mode: auto` lets it run without approval"
            yield context.remark(path, message, "write `mode: approve`, or accept it: `# noqa: RB036`")


def _auto(context: Context, call: Call) -> Iterator[Path]:
    step = call.step
    if step.mode is not None:
        if step.mode is Mode.AUTO:
            yield _written(context, (*step.path, "mode"), step.path)
        return
    for detector in call.detectors:
        if detector.mode is Mode.AUTO and context.own(detector):
            yield _written(context, (*detector.path, "mode"), ("mode",))


def _written(context: Context, path: Path, otherwise: Path) -> Path:
    return path if context.within(path) is not None else otherwise
