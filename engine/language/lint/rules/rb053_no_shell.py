"""A command that is written for a shell, where there is none.

## What it does
Finds commands, written as one line, in which `|`, `>`, `<`, `&&`, `;`, `$NAME` or `*` stands outside of quotes.

## Why is this bad
`command` starts the program itself: `command: ps | wc` gives `ps` the words `|` and `wc`, and no shell resolves them.

## Example
```yaml
name: example
finally:
  - command: logger -- $HOME # noqa: RB035
```

## Use instead
```yaml
name: example
finally:
  - command: logger -- '$HOME' # noqa: RB035
```

## Fix
None: `shell` takes a script, and quotes or a list of words say that the word is meant as it stands.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runbook.engine.language.lint import commands
from runbook.engine.language.lint.calls import probe_class
from runbook.engine.language.params import fields
from runbook.modules.declare import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark
    from runbook.engine.model import Path

_SILENT = re.compile(r"\{\{.*?\}\}|\\.|'[^']*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_SHELL = re.compile(r"(?<!\S)(?:\|\|?|&&?|;|[0-9]?(?:>>?|<<?)\S*)(?!\S)|;(?!\S)|\$[A-Za-z_({][\w({]*|\*")

CODE = "RB053"
NAME = "no-shell"
LEVEL = "warning"


def check(context: Context) -> Iterator[Remark]:
    """Judge the command lines of steps and probes."""
    for path in _lines(context):
        line = context.within(path)
        if not isinstance(line, str):
            continue
        found = _SHELL.search(_SILENT.sub(lambda quoted: "x" * len(quoted[0]), line))
        if found:
            start, _ = context.source.offset(context.source.inside(path, found.start()))
            span = context.source.stretch(start, start + len(found[0]))
            message = f"without a shell, `{found[0]}` is passed to the program as it stands"
            yield context.remark_at(span, message, "use `shell`, or put it in quotes if it is meant so")


def _lines(context: Context) -> Iterator[Path]:
    for given in commands.parameters(context):
        if given.kind is Kind.ARGV:
            yield given.path
    for detector in context.detectors:
        cls = probe_class(detector.probe)
        known = fields(cls) if cls is not None else {}
        for name in detector.params:
            if name in known and known[name].kind is Kind.ARGV:
                yield context.parameter(detector.path, detector.probe, name)
