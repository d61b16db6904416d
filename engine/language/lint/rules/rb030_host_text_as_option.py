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

from runbook.engine.language import params
from runbook.engine.language.lint.rules.rb029_host_text_as_code import culprits
from runbook.modules.declare import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runbook.engine.language.lint.calls import Call
    from runbook.engine.language.lint.context import Context, Remark

CODE = "RB030"
NAME = "host-text-as-option"
LEVEL = "warning"


def check(context: Context) -> Iterator[Remark]:
    """Judge the words of command lines behind the program."""
    for call in context.calls:
        fields = params.fields(call.cls) if call.cls is not None else {}
        for name, value in call.step.params.items():
            if name in fields and fields[name].kind is Kind.ARGV and isinstance(value, (list, tuple)):
                path = context.parameter(call.step.path, call.step.module, name)
                for found in _bare(context, call, value):
                    message = f"what a host wrote ({found}) could be read as an option"
                    yield context.remark(path, message, "put the word -- before it", word=found)


def _bare(context: Context, call: Call, words: Sequence[object]) -> Iterator[str]:
    for index, word in enumerate(words):
        if word == "--":
            return
        found = culprits(context, call, word)
        first = getattr(word, "parts", ("",))[0]
        literal = first if isinstance(first, str) else ""
        if index and found and not literal.strip("-"):
            yield found[0]
