r"""What a host wrote as a part of a script, a pattern, or the name of a program.

## What it does
Finds `incident`, the fields of records, errors and registered results, and vars made of them, in the script of
`shell`, in a regular expression, in place of a program, and in code that is handed to an interpreter (`bash -c`). It
judges by name, so that no filter can launder what a host wrote.

## Why is this bad
Whoever can write a line into a log could run commands on the host. Such a step is refused when it runs, so the fault
would not be healed either.

## Example
```yaml
name: example
detectors:
  - name: out of memory
    log: {paths: [/var/log/vllm.log], patterns: ['(?P<unit>\w{1,32}): out of memory']}
    limit: 3 per 1h
    verify: {for: 1m, within: 5m}
    recover:
      - shell: 'logger "out of memory: {{ incident.unit }}"' # noqa: RB035
```

## Use instead
```yaml
name: example
detectors:
  - name: out of memory
    log: {paths: [/var/log/vllm.log], patterns: ['(?P<unit>\w{1,32}): out of memory']}
    limit: 3 per 1h
    verify: {for: 1m, within: 5m}
    recover:
      - shell: # noqa: RB035
          script: 'logger "out of memory: $UNIT"'
          env: {UNIT: "{{ incident.unit }}"}
```

## Fix
None: `env` has to be written by hand.
"""

from __future__ import annotations

import os.path
import re
from typing import TYPE_CHECKING

from runbook.engine.language import params
from runbook.engine.language.lint import known
from runbook.engine.language.taint import host_text, mentioned
from runbook.modules.declare import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runbook.engine.language.lint.calls import Call
    from runbook.engine.language.lint.context import Context, Remark
    from runbook.engine.model import Path

_INTERPRETER = re.compile(r"(ba|da|z|k|a|fi|tc|c)?sh|busybox|python[0-9.]*|perl|ruby|node|php|lua|su|env|[gm]?awk|sed")
_CODE = re.compile(r"-[A-Za-z]*[ceESr]|--(command|eval|execute|expression|split-string|run)")
_JOINING = frozenset({"ssh", "watch", "eval"})  # they hand their words to a shell

CODE = "RB029"
NAME = "host-text-as-code"
LEVEL = "error"


def check(context: Context) -> Iterator[Remark]:
    """Judge scripts, patterns and command lines by the names in them."""
    for call in context.calls:
        fields = params.fields(call.cls) if call.cls is not None else {}
        for name, value in call.step.params.items():
            kind = fields[name].kind if name in fields else None
            path = context.parameter(call.step.path, call.step.module, name)
            if kind in {Kind.SCRIPT, Kind.REGEX} and (found := culprits(context, call, value)):
                what = "a script" if kind is Kind.SCRIPT else "a regular expression"
                hint = "write the pattern out"
                if kind is Kind.SCRIPT:
                    hint = 'write "$NAME" and give it by `env: {NAME: …}`'
                message = f"what a host wrote ({found[0]}) would be a part of {what}"
                yield context.remark(path, message, hint, word=found[0])
            elif kind is Kind.ARGV and isinstance(value, (list, tuple)):
                yield from _command(context, call, value, path)


def _command(context: Context, call: Call, words: Sequence[object], path: Path) -> Iterator[Remark]:
    before: list[str] = []
    for word in words:
        found = culprits(context, call, word)
        if found and not before:
            yield context.remark(path, f"what a host wrote ({found[0]}) would be the program", word=found[0])
        elif found and _is_code(before):
            message = f"what a host wrote ({found[0]}) would be code for {before[0]}"
            hint = 'use `shell`, write "$NAME" in its script, and give it by `env: {NAME: …}`'
            yield context.remark(path, message, hint, word=found[0])
        before.append(word if isinstance(word, str) else "")


def _is_code(before: Sequence[str]) -> bool:
    programs = [os.path.basename(word) for word in before]  # noqa: PTH119 -- text, not looked up
    if programs[0] in _JOINING:
        return True
    return bool(_CODE.fullmatch(before[-1])) and any(map(_INTERPRETER.fullmatch, programs[:-1]))


def culprits(context: Context, call: Call, value: object) -> list[str]:
    """Return the names in a value that stand for what a host wrote."""
    fields: set[str] = set()
    for detector in call.detectors:
        if detector.probe == "error":
            fields |= set(known.fields(context, detector) or {})
    return sorted(name for name in mentioned(value) if host_text({name}, context.runbook, fields))
