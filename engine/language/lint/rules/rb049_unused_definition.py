"""A recovery or secret that nothing uses.

## What it does
Finds recoveries that no detector names, and secrets that no template reads. A file without detectors and operations
is a library for `use`, and nothing is said about its recoveries.

## Why is this bad
A recovery that nobody calls is one that somebody believes to be there.

## Example
```yaml
name: example
secrets:
  hub_token: {env: HF_TOKEN}
finally:
  - notify: done
```

## Use instead
```yaml
name: example
secrets:
  hub_token: {env: HF_TOKEN}
writable: [/srv/llm]
finally:
  - edit_config: {path: /srv/llm/hub.json, set: {token: "{{ secrets.hub_token }}"}}
```

## Fix
None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark

CODE = "RB049"
NAME = "unused-definition"
LEVEL = "warning"


def check(context: Context) -> Iterator[Remark]:
    """Look for each definition's name where such names stand."""
    runbook = context.runbook
    usual = context.data.get("recover")
    wanted = {context.recovery_of(detector) for detector in context.detectors}
    wanted |= {usual} if isinstance(usual, str) else set()
    library = not runbook.detectors and not runbook.operations
    misspelt = any(isinstance(name, str) and name not in runbook.recoveries for name in wanted)
    for name in () if library or misspelt else context.recoveries:
        if name not in wanted:
            message = f"no detector uses the recovery `{name}`"
            yield context.remark(("recoveries", name), message, "delete it, or name it in a `recover:`", key=True)
    read = {
        mention.keys[0] if mention.keys else "*"
        for use in context.uses
        for mention in use.mentions
        if mention.name == "secrets"
    }
    given = context.data.get("secrets")
    for name in given if isinstance(given, dict) and "*" not in read else ():
        if name not in read:
            message = f"nothing reads the secret `{name}`"
            yield context.remark(("secrets", name), message, f"delete it, or use {{{{ secrets.{name} }}}}", key=True)
