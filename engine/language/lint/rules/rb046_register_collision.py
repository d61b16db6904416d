"""A `register` that takes a name which means something else.

## What it does
Finds results that are registered under the name of a var, of a word of the language (`incident`, `host`, `secrets`,
…), or, in the recovery of an `error` detector, of a field.

## Why is this bad
From that step on the name means the result; whoever reads the runbook takes it for the var.

## Example
```yaml
name: example
vars:
  port: 8000
writable: [/srv/llm]
finally:
  - edit_config: {path: /srv/llm/serve.json, set: {port: "{{ port }}"}}
    register: port
  - notify: "{{ port.changed }}"
```

## Use instead
```yaml
name: example
vars:
  port: 8000
writable: [/srv/llm]
finally:
  - edit_config: {path: /srv/llm/serve.json, set: {port: "{{ port }}"}}
    register: edited
  - notify: "{{ edited.changed }}"
```

## Fix
None: every place that uses it has to follow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.language.lint import known

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.calls import Call
    from runbook.engine.language.lint.context import Context, Remark

CODE = "RB046"
NAME = "register-collision"
LEVEL = "error"


def check(context: Context) -> Iterator[Remark]:
    """Judge the names that steps register."""
    for call in context.calls:
        name = call.step.register
        if name is None:
            continue
        what = _taken(context, call, name)
        if what:
            message = f"`{name}` is {what} already"
            yield context.remark((*call.step.path, "register"), message, "register it under another name")


def _taken(context: Context, call: Call, name: str) -> str:
    if name in known.RESERVED or name == "error":
        return "a word of the language"
    if name in context.runbook.vars:
        return "a var"
    for detector in call.detectors:
        if detector.probe == "error" and name in (known.fields(context, detector) or {}):
            return "a field of the failure"
    return ""
