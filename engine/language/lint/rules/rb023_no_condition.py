"""A detector that fires at every look.

## What it does
Finds detectors of states (health, file, http, a process, …) without a `when`, or with one that is always true.
Detectors of events (a log line, a failed attempt) need none: the event is the fault. So is an alert.

## Why is this bad
Every look finds a record, so the recovery would run again and again on a healthy host.

## Example
```yaml
name: example
detectors:
  - name: server down
    http: http://127.0.0.1:8000/health
```

## Use instead
```yaml
name: example
detectors:
  - name: server down
    http: http://127.0.0.1:8000/health
    when: status != 200
```

## Fix
None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jinja2 import nodes

from runbook.engine.language.faults import CORRELATIONS
from runbook.engine.language.lint import known
from runbook.engine.language.lint.calls import probe_class

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark

CODE = "RB023"
NAME = "no-condition"
LEVEL = "error"


def check(context: Context) -> Iterator[Remark]:
    """Judge detectors of states."""
    for detector in context.detectors:
        cls = probe_class(detector.probe)
        if cls is None or cls.events or cls.heard or detector.probe in CORRELATIONS:
            continue  # a correlation is about its members' incidents, and holds while they do
        if detector.when is None:
            if context.within((*detector.path, "when")) is not None:
                continue  # there is one, and it does not parse
            fields = ", ".join(known.fields(context, detector) or {})
            hint = f"say what is wrong, over {fields}"
            message = f"`{detector.name}` has no `when`, so it fires at every look"
            yield context.remark((*detector.path, detector.probe), message, hint, key=True)
        elif any(isinstance(tree, nodes.Const) and tree.value for tree in known.trees(detector.when)):
            message = f"this is always true, so `{detector.name}` fires at every look"
            yield context.remark((*detector.path, "when"), message, "say what is wrong, over the record's fields")
