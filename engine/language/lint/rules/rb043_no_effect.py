"""A key that changes nothing where it stands.

## What it does
Finds guards of a recovery (`limit`, `cooldown`, `strategy`, `verify`, …) at a detector without `recover`, and at
`error` detectors what only looks at hosts have (`for`, `clear`, `within`, `verify`). A runbook that has only named
`error` detectors and no operation is told so too. Of operations: `prefer` without a pool, a pool of which the step
reads no `member`, and what the runbook's `fault_tolerance` leaves out. Of steps that no host carries out (`notify`,
`wait`, `fail`, `failover`): `delegate_to`, `become` and `become_user`.

## Why is this bad
Somebody believes in it.

## Example
```yaml
name: example
detectors:
  - name: server down
    http: http://127.0.0.1:8000/health
    when: status != 200
    cooldown: 5m
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
Safe where the key stands on a line of its own: the line is deleted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.language.structure import RUNBOOK_KEYS
from runbook.engine.language.taint import mentioned, reached
from runbook.engine.model import Edit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark
    from runbook.engine.model import Operation, Path

LEVELS = RUNBOOK_KEYS["fault_tolerance"]["enum"]
_OF_RECOVERIES = ("limit", "cooldown", "strategy", "verify", "mode", "max_age")
_TOLERANT = {"retry": "low", "fallback": "high", "redundancy": "critical"}  # the least `fault_tolerance`
_HERE = frozenset({"notify", "wait", "fail", "failover"})
_OF_LOOKS = ("for", "clear", "within", "verify", "match")

CODE = "RB043"
NAME = "no-effect"
LEVEL = "warning"


def check(context: Context) -> Iterator[Remark]:
    """Judge the keys that detectors have of their own."""
    for detector in context.detectors:
        given = context.within(detector.path)
        for key in _OF_RECOVERIES if not detector.recover else ():
            if isinstance(given, dict) and key in given:
                message = f"`{key}` is about a recovery, and `{detector.name}` has none"
                yield _superfluous(context, (*detector.path, key), message)
        for key in _OF_LOOKS if detector.probe == "error" else ():
            if isinstance(given, dict) and key in given and (detector.recover or key != "verify"):
                message = f"`{key}` is about looks at a host, and `{detector.name}` is about an operation's failure"
                yield _superfluous(context, (*detector.path, key), message)
        if detector.probe == "error" and not context.runbook.operations:
            message = f"`{detector.name}` never fires: this runbook has no operations that could fail"
            yield context.remark((*detector.path, "error"), message, "add the operation, or look at hosts", key=True)
    for operation in context.runbook.operations:
        yield from _of_operation(context, operation)
    for call in context.calls:
        given = context.within(call.step.path)
        if call.step.module in _HERE and isinstance(given, dict):
            for key in ("delegate_to", "become", "become_user"):
                if given.get(key):
                    message = f"`{call.step.module}` is carried out where runbook runs, whatever `{key}` says"
                    yield _superfluous(context, (*call.step.path, key), message)


def _of_operation(context: Context, operation: Operation) -> Iterator[Remark]:
    preset = context.runbook.fault_tolerance
    if operation.prefer is not None and operation.pool is None:
        yield _superfluous(context, (*operation.path, "prefer"), "`prefer` is about a pool, and there is none")
    read = reached(mentioned([operation.step.params, operation.step.when]), context.runbook)
    pool = context.runbook.pools.get(operation.pool or "")
    if pool is not None and "member" not in read and not any("host" in member for member in pool.members):
        message = f"nothing in `{operation.name}` reads `member`, so every member is asked the same"
        yield context.remark(
            (*operation.path, "pool"), message, "write what tells them apart: {{ member.… }}", key=True
        )
    for key, needed in _TOLERANT.items():
        given = context.within((*operation.path, key))
        if preset is not None and LEVELS.index(preset) < LEVELS.index(needed) and given not in (None, 1, []):
            yield _superfluous(context, (*operation.path, key), f"`fault_tolerance: {preset}` leaves `{key}` out")


def _superfluous(context: Context, path: Path, message: str) -> Remark:
    return context.remark(path, message, "delete it", key=True, fixes=whole_line(context, path))


def whole_line(context: Context, path: Path) -> list[Edit]:
    """Return the edit that deletes the key's line, where nothing else stands on it."""
    text = context.source.text
    start, _ = context.source.offset(context.source.span(path, key=True))
    value = context.source.span(path)
    _, end = context.source.offset(value)
    begin = max(text.rfind("\n", 0, start), text.rfind("\r", 0, start)) + 1
    stop = next((at for at in range(end, len(text)) if text[at] in "\r\n"), len(text))
    if value.line != value.end_line or text[begin:start].strip() or text[end:stop].strip():
        return []
    if text[stop : stop + 2] == "\r\n":
        return [Edit(begin, stop + 2, "")]
    return [Edit(begin, min(stop + 1, len(text)), "")]
