"""A secret in a command line or a script.

## What it does
Finds `secrets.…`, and vars made of them, in the words of a `command` and in the script of `shell`.

## Why is this bad
Every user of the host can read the words of a running command (`ps`). Such a step is refused when it runs.

## Example
```yaml
name: example
secrets:
  token: {env: HF_TOKEN}
finally:
  - command: [hf, auth, login, --token, "{{ secrets.token }}"] # noqa: RB035
```

## Use instead
```yaml
name: example
secrets:
  token: {env: HF_TOKEN}
finally:
  - command: # noqa: RB035
      argv: [hf, auth, whoami]
      env: {HF_TOKEN: "{{ secrets.token }}"}
```

## Fix
None: which variable the program reads is its own affair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.language import params
from runbook.engine.language.taint import mentioned, secret
from runbook.modules.declare import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark

CODE = "RB032"
NAME = "exposed-secret"
LEVEL = "error"


def check(context: Context) -> Iterator[Remark]:
    """Judge scripts and command lines by the names in them."""
    for call in context.calls:
        fields = params.fields(call.cls) if call.cls is not None else {}
        for name, value in call.step.params.items():
            if name not in fields or fields[name].kind not in {Kind.ARGV, Kind.SCRIPT}:
                continue
            found = sorted(word for word in mentioned(value) if secret({word}, context.runbook))
            if found:
                what = "script" if fields[name].kind is Kind.SCRIPT else "command line"
                path = context.parameter(call.step.path, call.step.module, name)
                message = f"a secret would stand in a {what}, where every user of the host can read it"
                yield context.remark(path, message, "give it by `env`, or in a file", word=found[0])
