"""A `restore` of what nothing in the runbook ever keeps.

## What it does
Finds `restore` steps of a snapshot that no `snapshot` step of the runbook takes: of that name where one is given, or of
anything at all. `from: undo` needs none, and neither does a plain `restore` beside steps that keep what they change,
such as `edit_config`.

## Why is this bad
It shows when it is needed: the step fails, since there is no snapshot, and what is broken stays so.

## Example
```yaml
name: example
writable: [/opt/serve]
limit: 3 per 1h
detectors:
  - name: configuration unreadable
    file: {path: /opt/serve/active.json, format: json}
    when: not valid
    recover: [{restore: {path: /opt/serve/active.json, name: good}}]
```

## Use instead
```yaml
name: example
writable: [/opt/serve]
limit: 3 per 1h
operations:
  - name: keep the good configuration
    snapshot: {path: /opt/serve/active.json, name: good}
    timeout: 5m
detectors:
  - name: configuration unreadable
    file: {path: /opt/serve/active.json, format: json}
    when: not valid
    recover: [{restore: {path: /opt/serve/active.json, name: good}}]
```

## Fix
None: when all is well is for a person to say. Where snapshots are taken by hand (`runbook run snapshot`), accept it:
`# noqa: RB070`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark
    from runbook.engine.model import StepCall

CODE = "RB070"
NAME = "restore-without-snapshot"
LEVEL = "warning"
_KEEPS = frozenset({"edit_config", "chown"})  # what they change, `restore` finds as it was


def check(context: Context) -> Iterator[Remark]:
    """Ask each `restore` of this file for its snapshot, which may be taken by a runbook that it uses."""
    steps = list(_steps(context))
    kept = [step.params for step in steps if step.module == "snapshot"]
    for call in context.calls:
        step, params = call.step, call.step.params
        if step.module != "restore" or params.get("from", "latest") != "latest":
            continue
        name = params.get("name")
        if name is None and (kept or any(each.module in _KEEPS for each in steps)):
            continue
        if name is not None and any(_may_be(name, each.get("name", "")) for each in kept):
            continue
        what = "a snapshot" if name is None else f"the snapshot `{name}`"
        hint = "let an operation take it while all is well: `snapshot: {path: …, name: …}`"
        yield context.remark(step.path, f"`restore` puts back {what}, and nothing here takes one", hint)


def _may_be(wanted: Any, given: Any) -> bool:
    """Tell whether two names are the same, or may become so."""
    return wanted == given or "{{" in f"{wanted}{given}"


def _steps(context: Context) -> Iterator[StepCall]:
    """Yield all steps of the runbook, with those of others that it uses."""
    runbook = context.runbook
    for operation in runbook.operations:
        yield from (operation.step, *operation.fallback)
    for detector in runbook.detectors:
        yield from (step for rung in detector.recover for step in rung.steps)
        yield from (*detector.cured, *detector.unhealed)
    for rungs in runbook.recoveries.values():
        yield from (step for rung in rungs for step in rung.steps)
    for pool in runbook.pools.values():
        yield from pool.switch
    yield from runbook.finally_
