"""A recovery from an event, without a word on how its cure is seen.

## What it does
Finds detectors of events (`log`) with `recover` and without `verify: {detector: …}` or `verify: {for: …}`.

## Why is this bad
A log line does not go away when the fault is cured, so nothing would tell a cure from a failure.

## Example
```yaml
name: example
detectors:
  - name: engine dead
    log: {paths: [/var/log/vllm.log], patterns: ['EngineDeadError']}
    limit: 3 per 1h
    recover:
      - restart_daemon: {unit: vllm}
```

## Use instead
```yaml
name: example
detectors:
  - name: engine dead
    log: {paths: [/var/log/vllm.log], patterns: ['EngineDeadError']}
    limit: 3 per 1h
    verify: {for: 1m, within: 5m}
    recover:
      - restart_daemon: {unit: vllm}
```

## Fix
None: what shows the cure is for a person to say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.language.lint.calls import probe_class

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark

CODE = "RB038"
NAME = "event-without-verify"
LEVEL = "error"


def check(context: Context) -> Iterator[Remark]:
    """Judge detectors of events; an operation's failure is cured when the operation succeeds."""
    for detector in context.detectors:
        cls = probe_class(detector.probe)
        if cls is None or not cls.events or detector.probe == "error" or not detector.recover:
            continue
        if detector.verify.detector is None and not detector.verify.hold:
            path = (*detector.path, "verify" if detector.verify.given else "recover")
            message = f"`{detector.name}` is about an event: nothing says how its cure is seen"
            hint = "name what to look at, `verify: {detector: …}`, or its silence, `verify: {for: 1m, within: 5m}`"
            yield context.remark(path, message, hint, key=True)
