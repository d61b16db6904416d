"""Two detectors that look at the same thing and ask the same.

## What it does
Finds detectors with the probe, parameters, condition and guards of an earlier one.

## Why is this bad
Both fire together; one recovery runs and the other attaches to it, so that half of what the runbook says never
happens.

## Example
```yaml
name: example
detectors:
  - name: server down
    http: http://127.0.0.1:8000/health
    when: status != 200
  - name: server gone
    http: http://127.0.0.1:8000/health
    when: status != 200
```

## Use instead
```yaml
name: example
detectors:
  - name: server ill
    http: http://127.0.0.1:8000/health
    when: status >= 500
  - name: server gone
    http: http://127.0.0.1:8000/health
    when: status == 0
```

## Fix
None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark
    from runbook.engine.model import Detector

CODE = "RB041"
NAME = "duplicate-detector"
LEVEL = "warning"


def check(context: Context) -> Iterator[Remark]:
    """Compare each detector with those before it."""
    seen: list[tuple[str, object]] = []
    for detector in context.runbook.detectors:
        if detector.probe == "error":
            continue
        asked = _asked(detector)
        twin = next((name for name, other in seen if other == asked), None)
        if twin is not None and context.own(detector):
            message = f"`{detector.name}` asks the same as `{twin}`"
            yield context.remark((*detector.path, "name"), message, "put both recoveries into one of them")
        seen.append((detector.name, asked))


def _asked(detector: Detector) -> object:
    conditions = [getattr(found, "text", None) for found in (detector.when, detector.clear, detector.subject)]
    guards = (detector.match, detector.hold, detector.count, detector.within, detector.hosts, detector.severity)
    return (detector.probe, _plain(detector.params), detector.members, conditions, guards)


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return getattr(value, "text", value)
