"""A `for` that is shorter than the time between two looks.

## What it does
Compares `for` with `every`, the detector's or the runbook's (30s unless it says so).

## Why is this bad
A condition that was seen once is seen again only after `every`: a shorter `for` is not kept, and reads as if it were.

## Example
```yaml
name: example
every: 1m
detectors:
  - name: server down
    http: http://127.0.0.1:8000/health
    when: status != 200
    for: 20s
```

## Use instead
```yaml
name: example
every: 10s
detectors:
  - name: server down
    http: http://127.0.0.1:8000/health
    when: status != 200
    for: 20s
```

## Fix
None: either of the two may be wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.language.amounts import format_duration
from runbook.engine.language.lint.calls import probe_class

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark

CODE = "RB039"
NAME = "hold-under-interval"
LEVEL = "warning"


def check(context: Context) -> Iterator[Remark]:
    """Judge every hold by the interval that is its measure."""
    usual = context.runbook.every
    for detector in context.detectors:
        every = detector.every if detector.every is not None else usual
        cls = probe_class(detector.probe)
        if cls is not None and cls.heard:
            continue  # it is told when it begins, and when it is over
        if detector.hold and isinstance(every, (int, float)) and detector.hold < every:
            path = (*detector.path, "for")
            where = path if context.within(path) is not None else ("for",)
            hold, pause = format_duration(detector.hold), format_duration(every)
            message = f"`for` is {hold}, but the next look comes after {pause}"
            yield context.remark(where, message, "look more often (`every`), or hold for longer")
