"""An `error` detector that an earlier one leaves nothing to.

## What it does
Finds `error` detectors whose every pattern is found by the patterns of one earlier `error` detector for the same
operations. The first match in the file wins.

## Why is this bad
Its recovery never runs: the earlier detector takes every failure that it is about.

## Example
```yaml
name: example
operations:
  - name: say hello
    notify: hello
detectors:
  - name: any timeout
    error: '(?i)timeout'
    retry: {attempts: 3}
  - name: gateway timeout
    error: 'Gateway Timeout'
    retry: {attempts: 9}
```

## Use instead
```yaml
name: example
operations:
  - name: say hello
    notify: hello
detectors:
  - name: gateway timeout
    error: 'Gateway Timeout'
    retry: {attempts: 9}
  - name: any timeout
    error: '(?i)timeout'
    retry: {attempts: 3}
```

## Fix
None: moving a detector changes which of them wins.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runbook.engine.language.lint import pattern

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark
    from runbook.engine.model import ErrorMatch

_SPECIAL = re.compile(r"[\\^$.|?*+()\[\]{}]")

CODE = "RB040"
NAME = "shadowed-detector"
LEVEL = "error"


def check(context: Context) -> Iterator[Remark]:
    """Compare each `error` detector with those before it."""
    earlier: list[tuple[str, ErrorMatch]] = []
    for detector in context.runbook.detectors:
        match = detector.error
        if match is None:
            continue
        if context.own(detector):
            shadow = next((name for name, other in earlier if _covers(other, match)), None)
            if shadow is not None:
                message = f"`{detector.name}` never fires: `{shadow}` stands before it and matches all of its failures"
                yield context.remark((*detector.path, "error"), message, "move it before the wider one", key=True)
        earlier.append((detector.name, match))


def _covers(wide: ErrorMatch, narrow: ErrorMatch) -> bool:
    if wide.during and not (narrow.during and set(narrow.during) <= set(wide.during)):
        return False
    if wide.signatures is not None:
        others = narrow.patterns or narrow.exit_codes or not narrow.signatures
        return not others and set(narrow.signatures or ()) <= set(wide.signatures)
    if not wide.patterns and not wide.exit_codes:
        return True
    if narrow.signatures is not None:
        return False  # what they match can't be listed
    if wide.exit_codes:
        return (wide.patterns, set(wide.exit_codes)) == (narrow.patterns, set(narrow.exit_codes))
    return bool(narrow.patterns) and all(_found(wide.patterns, text) for text in narrow.patterns)


def _found(patterns: tuple[str, ...], text: str) -> bool:
    if text in patterns:
        return True
    loose = text.startswith("(?i)")
    plain = text.removeprefix("(?i)")
    wanted = plain.split("|")
    if any(_SPECIAL.search(part) or not part for part in wanted):
        return False  # what it matches can't be listed
    return all(any(_finds(pattern_text, part, loose=loose) for pattern_text in patterns) for part in wanted)


def _finds(wide: str, text: str, *, loose: bool) -> bool:
    if pattern.problem(wide) is not None or pattern.explosion(wide) is not None or len(text) > 1000:
        return False
    compiled = re.compile(wide)
    if loose and not compiled.flags & re.IGNORECASE:
        return False
    return compiled.search(text) is not None
