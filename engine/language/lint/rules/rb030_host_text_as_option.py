r"""What a host wrote as an argument, without a `--` before it.

## What it does
Finds words of a `command` that begin with what a host wrote and have no `--` before them.

## Why is this bad
A name such as `--force` would be an option. The step is refused in that case, and the fault stays.

## Example
```yaml
name: example
detectors:
  - name: out of memory
    log: {paths: [/var/log/vllm.log], patterns: ['(?P<unit>\w{1,32}): out of memory']}
    limit: 3 per 1h
    verify: {for: 1m, within: 5m}
    recover:
      - command: [logger, "{{ incident.unit }}"] # noqa: RB035
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
      - command: [logger, --, "{{ incident.unit }}"] # noqa: RB035
```

## Fix
None: not every program knows `--`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.language.lint import commands
from runbook.modules.declare import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark

CODE = "RB030"
NAME = "host-text-as-option"
LEVEL = "warning"


def check(context: Context) -> Iterator[Remark]:
    """Judge the words of command lines behind the program."""
    for given in commands.parameters(context):
        if given.kind is Kind.ARGV and commands.culprits(context, given.call, given.value):
            for word in commands.words(context, given):
                if not (word.reading.peril or word.prefix.strip("-") or word.reading.ended(word.before)):
                    message = f"what a host wrote ({word.culprit}) could be read as an option"
                    yield context.remark(given.path, message, "put the word -- before it", word=word.culprit)
