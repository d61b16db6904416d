r"""What a host wrote as a part of a script, a pattern, or the name of a program.

## What it does
Finds `incident`, the fields of records, errors and registered results, and vars made of them, in the script of
`shell`, in a regular expression or a pattern of names, in place of a program, in code that is handed to an interpreter
(`bash -c`, `awk`, `ssh`, also behind `timeout` or `sudo`), on the standard input of one, and in variables such as
`LD_PRELOAD`. It judges by name, so that no filter can launder what a host wrote.

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

from collections.abc import Mapping
from typing import TYPE_CHECKING

from runbook.engine.language.lint import commands
from runbook.engine.language.lint.commands import culprits
from runbook.modules.declare import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.commands import Given
    from runbook.engine.language.lint.context import Context, Remark

_PATTERNS = {Kind.REGEX: "a regular expression", Kind.GLOB: "a pattern of names"}

CODE = "RB029"
NAME = "host-text-as-code"
LEVEL = "error"


def check(context: Context) -> Iterator[Remark]:
    """Judge scripts, patterns, command lines and environments by the names in them."""
    for given in commands.parameters(context):
        found = culprits(context, given.call, given.value)
        if not found:
            continue
        if given.kind is Kind.SCRIPT:
            message = f"what a host wrote ({found[0]}) would be a part of a script"
            hint = 'write "$NAME" and give it by `env: {NAME: …}`'
            yield context.remark(given.path, message, hint, word=found[0])
        elif given.kind in _PATTERNS:
            message = f"what a host wrote ({found[0]}) would be a part of {_PATTERNS[given.kind]}"
            yield context.remark(given.path, message, "write the pattern out", word=found[0])
        elif given.kind is Kind.ARGV:
            yield from _words(context, given)
        elif given.name == "env" and isinstance(given.value, Mapping):
            yield from _environment(context, given)
        elif given.name == "stdin" and commands.reads_code(context, given):
            message = f"what a host wrote ({found[0]}) would be code for the program that reads it"
            yield context.remark(given.path, message, "use `shell`, and give it by `env: {NAME: …}`", word=found[0])


def _words(context: Context, given: Given) -> Iterator[Remark]:
    for word in commands.words(context, given):
        if word.reading.peril:
            hint = 'use `shell`, write "$NAME" in its script, and give it by `env: {NAME: …}`' if word.before else ""
            message = f"what a host wrote ({word.culprit}) {word.reading.peril}"
            yield context.remark(given.path, message, hint, word=word.culprit)


def _environment(context: Context, given: Given) -> Iterator[Remark]:
    for variable, value in given.value.items():
        found = culprits(context, given.call, value)
        if found and commands.loads_code(variable):
            message = f"what a host wrote ({found[0]}) in {variable} would be code for what reads it"
            yield context.remark(given.path, message, "give it by a variable of your own name", word=found[0])
