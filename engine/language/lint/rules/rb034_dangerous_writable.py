"""A `writable` entry that is /, a home, or belongs to the system.

## What it does
Judges the entries of `writable`: `/`, the directories of the system, accounts' homes, relative paths, paths with
`..`, and paths made of what a host wrote.

## Why is this bad
An entry so wide protects nothing. The steps that need it are refused when they run.

## Example
```yaml
name: example
writable: [/var/lib]
finally:
  - notify: done
```

## Use instead
```yaml
name: example
writable: [/var/lib/llm]
finally:
  - notify: done
```

## Fix
None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.language.lint import known, places
from runbook.engine.language.taint import host_text, mentioned
from runbook.modules.acting.writable import homes, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark

CODE = "RB034"
NAME = "dangerous-writable"
LEVEL = "error"


def check(context: Context) -> Iterator[Remark]:
    """Judge every entry of `writable`."""
    scope = places.scope(context, sorted(known.registered(context)))
    for index, entry in enumerate(context.runbook.writable):
        where = ("writable", index)
        if host_text(mentioned(entry), context.runbook):
            yield context.remark(where, "what a host wrote can't say what is writable", "write the tree out")
            continue
        path = places.told(entry, scope)
        if path is None or path.startswith(places.MARK):
            continue
        reason = refusal(path, homes() | _USUAL)
        if reason is None and path.startswith("/home/") and path.strip("/").count("/") == 1:
            reason = f"{path} is an account's home; name a directory below it"
        if reason:
            yield context.remark(where, f"this can't be writable: {reason}", "name the smallest tree that is needed")


_USUAL = frozenset({"/root", "/home"})  # wherever lint runs, hosts have these
