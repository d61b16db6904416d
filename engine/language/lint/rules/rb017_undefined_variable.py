"""A name that nothing defines where it is used.

## What it does
Holds every name in every template and condition of a step or var against what is known there: vars, secrets,
`incident`, `host`, `runbook`, `run`, and what earlier steps registered. `x is defined` and `x | default(…)` are fine.

## Why is this bad
Templates are strict: the step would fail when it is needed, with the host already ill.

## Example
```yaml
name: example
vars:
  unit: vllm
finally:
  - notify: "{{ unti }} is in service"
  - notify: "{{ unit }} is well"
```

## Use instead
```yaml
name: example
vars:
  unit: vllm
finally:
  - notify: "{{ unit }} is in service"
```

## Fix
None: the nearest name may not be the one that was meant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.language.lint import known
from runbook.engine.language.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from runbook.engine.language.lint.context import Context, Remark

CODE = "RB017"
NAME = "undefined-variable"
LEVEL = "error"


def check(context: Context) -> Iterator[Remark]:
    """Judge the names of everything that is not about a record's fields."""
    later = known.registered(context)
    for use in context.uses:
        names = use.known.names
        for mention in use.mentions:
            if mention.guarded or use.known.open:
                continue
            place = (mention.offset, mention.end)
            if mention.name in names:
                keys = names[mention.name]
                if keys is not None and mention.name != "incident" and mention.keys and mention.keys[0] not in keys:
                    hint = _hint(mention.keys[0], keys, f"there is {', '.join(sorted(keys)) or 'none'}")
                    yield context.remark_in(use, *place, f"`{mention.name}` has no `{mention.keys[0]}`", hint)
            elif use.fields is None and mention.name not in later and mention.name not in context.outside:
                hint = _hint(mention.name, names, f"define it: `vars: {{{mention.name}: …}}`") + _elsewhere(context)
                if mention.name in use.choices(use.opposites.get(mention.offset, "")):
                    hint = f"write '{mention.name}' in quotes"
                yield context.remark_in(use, *place, f"`{mention.name}` is not defined here", hint)


def _elsewhere(context: Context) -> str:
    """Say that an inventory may define a name, where the runbook is about its hosts and it is not at hand."""
    if context.hosts is not None:
        return "; the inventory does not define it either"
    return "" if context.runbook.hosts == "localhost" else "; if it is the inventory's, that is needed: -i INVENTORY"


def _hint(name: str, choices: Iterable[str], otherwise: str) -> str:
    near = nearest(name, choices)
    return f"did you mean {near}?" if near else otherwise
