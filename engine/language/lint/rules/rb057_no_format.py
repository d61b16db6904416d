"""A file whose content is judged, though nothing says what it should be.

## What it does
Finds conditions over `file` that mention `valid` or `reason` where the probe is given no `format`.

## Why is this bad
Without `format` the content is not read: `valid` is null for every file, so that `not valid` is always true.

## Example
```yaml
name: example
detectors:
  - name: config broken
    file: /srv/train/config.json
    when: not exists or not valid
```

## Use instead
```yaml
name: example
detectors:
  - name: config broken
    file: {path: /srv/train/config.json, format: json}
    when: not exists or not valid
```

## Fix
None: write `format`, one of json, yaml, toml, safetensors, zip, torch, sha256 and checkpoint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark

_OF_CONTENT = ("valid", "reason")

CODE = "RB057"
NAME = "no-format"
LEVEL = "error"


def check(context: Context) -> Iterator[Remark]:
    """Judge the conditions over records of `file`."""
    for use in context.uses:
        detector = use.detector
        if use.fields is None or detector is None or detector.probe != "file" or "format" in detector.params:
            continue
        for mention in use.mentions:
            if mention.name in _OF_CONTENT:
                message = f"`{mention.name}` says nothing without `format`: the content is not read"
                hint = "write `file: {path: …, format: json}`"
                yield context.remark_in(use, mention.offset, mention.end, message, hint)
