"""A `clear` that holds while the fault is still there.

## What it does
Finds detectors whose `clear` and `when` can be true of the same record.

## Why is this bad
The incident is opened and ended by the same look, again and again, and each time a recovery begins.

## Example
```yaml
name: example
detectors:
  - name: disk full
    health: /srv
    when: disk_used_percent > 85
    clear: disk_used_percent < 90
```

## Use instead
```yaml
name: example
detectors:
  - name: disk full
    health: /srv
    when: disk_used_percent > 85
    clear: disk_used_percent < 80
```

## Fix
None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jinja2 import nodes

from runbook.engine.language import grammar
from runbook.engine.language.contradiction import impossible
from runbook.engine.language.lint import known
from runbook.engine.language.names import compared

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark

CODE = "RB024"
NAME = "weak-hysteresis"
LEVEL = "warning"


def check(context: Context) -> Iterator[Remark]:
    """Judge pairs of conditions that are plain comparisons of the same fields with literals."""
    for detector in context.detectors:
        if detector.when is None or detector.clear is None or detector.when.names != detector.clear.names:
            continue
        [fires], [clears] = known.trees(detector.when), known.trees(detector.clear)
        if not (_plain(fires) and _plain(clears)):
            continue
        typed = {name: field for name, field in (known.fields(context, detector) or {}).items() if field is not None}
        if impossible(_Both(fires, clears), typed) is None:  # type: ignore[arg-type]
            message = f"`{detector.name}` can fire and clear at the same look"
            yield context.remark((*detector.path, "clear"), message, "leave a gap between `when` and `clear`")


class _Both:
    """What holds when both conditions hold: each alternative of the one with each of the other."""

    template = False

    def __init__(self, one: nodes.Expr, other: nodes.Expr) -> None:
        pairs = [nodes.And(left, right) for left in _either(one) for right in _either(other)]
        whole: nodes.Expr = pairs[0]
        for pair in pairs[1:]:
            whole = nodes.Or(whole, pair)
        self.expressions = (whole,)


def _either(node: nodes.Expr) -> list[nodes.Expr]:
    return grammar.flat(node) if isinstance(node, nodes.Or) else [node]


def _plain(node: nodes.Expr) -> bool:
    if isinstance(node, nodes.And | nodes.Or):
        return all(_plain(part) for part in grammar.flat(node))
    return isinstance(node, nodes.Compare) and len(node.ops) == 1 and len(compared(node)) == 1
