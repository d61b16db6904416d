"""Correlations that are members of each other.

## What it does
Follows the members of `all`, `any` and `sequence` and finds circles.

## Why is this bad
Each of them waits for the other, so that none can ever hold.

## Example
```yaml
name: example
detectors:
  - name: server down
    http: http://127.0.0.1:8000/health
    when: status != 200
  - name: outage
    all: [server down, disaster]
    within: 5m
  - name: disaster
    any: [outage, server down]
```

## Use instead
```yaml
name: example
detectors:
  - name: server down
    http: http://127.0.0.1:8000/health
    when: status != 200
  - name: disk full
    health: /srv
    when: disk_free < 50GB
  - name: disaster
    all: [server down, disk full]
    within: 5m
```

## Fix
None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runbook.engine.language.lint.context import Context, Remark

CODE = "RB042"
NAME = "correlation-cycle"
LEVEL = "error"


def check(context: Context) -> Iterator[Remark]:
    """Follow the members of every correlation of this file."""
    members = {detector.name: detector.members for detector in context.runbook.detectors}
    told: set[frozenset[str]] = set()
    for detector in context.detectors:
        circle = _circle(detector.name, members)
        if len(circle) > 1 and frozenset(circle) not in told:
            told.add(frozenset(circle))
            way = " → ".join([*circle, detector.name])
            path = (*detector.path, detector.probe)
            yield context.remark(path, f"these detectors wait for each other: {way}", "take one out", word=circle[1])


def _circle(start: str, members: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the shortest way from a detector back to itself, or nothing."""
    ways = [[start]]
    seen = {start}
    while ways:
        way = ways.pop(0)
        for name in members.get(way[-1], ()):
            if name == start:
                return way
            if name not in seen:
                seen.add(name)
                ways.append([*way, name])
    return []
