"""A name that no entry of the catalogue bears.

## What it does
Finds names in `signatures:`, and patterns of names such as `cuda.*`, that mean nothing in the catalogue: that of
runbook, with your own files. Also names in `causes` of such files, and a catalogue that can't be read.

## Why is this bad
The detector would never fire.

## Example
```yaml
name: example
detectors:
  - name: gpu errors
    log: {paths: [/var/log/kern.log], signatures: [kmsg.xod]}
```

## Use instead
```yaml
name: example
detectors:
  - name: gpu errors
    log: {paths: [/var/log/kern.log], signatures: [kmsg.xid]}
```

## Fix
None: the nearest name may not be the one that was meant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark
    from runbook.engine.language.lint.signatures import SignatureContext
    from runbook.engine.model import Path

CODE = "RB054"
NAME = "unknown-signature"
LEVEL = "error"


def check(context: Context) -> Iterator[Remark]:
    """Look up what detectors name."""
    for detector in context.detectors:
        if "signatures" in detector.params:
            path = context.parameter(detector.path, detector.probe, "signatures")
            yield from _looked_up(context, detector.params["signatures"], path)
    for call in context.calls:
        for probe, given in (call.step.params.get("probe") or {}).items() if call.step.module == "wait_for" else ():
            if isinstance(given, dict) and "signatures" in given:
                start = context.parameter(call.step.path, call.step.module, "probe")
                yield from _looked_up(context, given["signatures"], context.parameter(start, probe, "signatures"))


def check_signatures(context: SignatureContext) -> Iterator[Remark]:
    """Look up what other signatures an entry names."""
    for entry in context.entries:
        for glob, path in entry.texts("causes"):
            if not context.names(glob.partition(":")[0]):  # `id:variant` is one kind of it alone
                message, hint = context.unknown(glob)
                yield context.remark(path, message, hint)


def _looked_up(context: Context, given: object, path: Path) -> Iterator[Remark]:
    from runbook.engine.language import chosen, signatures

    globs = chosen.names(given) or ()
    listed = isinstance(context.within(path), list)
    for number, glob in enumerate(globs):
        at = (*path, number) if listed else path
        try:
            signatures.catalogue().chosen([glob])
        except UserError as error:
            yield context.remark(at, chosen.said(error), error.mend)
