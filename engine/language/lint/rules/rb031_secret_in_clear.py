"""A password or token that stands in the file.

## What it does
Finds tokens by their shape (Hugging Face, GitHub, OpenAI, AWS, Slack, private keys, passwords in URLs), and values
behind keys such as `password` or `api_key`, in comments too.

## Why is this bad
Runbooks are kept in version control and read by many; what was committed once has to be replaced.

## Example
```yaml
name: example
vars:
  token: c0rrect-horse-battery
finally:
  - notify: "{{ token }}"
```

## Use instead
```yaml
name: example
secrets:
  token: {env: HUB_TOKEN}
finally:
  - notify: "{{ secrets.token }}"
```

## Fix
None: the secret has to be moved to the environment, a file or a keyring, and replaced by a new one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from runbook.modules.evidence.shapes import TOKENS

if TYPE_CHECKING:
    from runbook.engine.language.lint.context import Context, Remark
    from runbook.engine.model import Path

_SHAPES = re.compile(rf"{TOKENS}|-----BEGIN (?:[A-Z]{{2,10}} )?PRIVATE KEY-----")
_URL = re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@\"'{}]{1,64}:([^\s/@\"'{}$]{3,128})@")
_KEY = re.compile(
    r"(?:.*[_-])?(?:password|passwd|passphrase|pwd|token|api_?key|secret|secret_?key|access_?key|private_?key"
    r"|client_?secret|credentials?)",
    re.IGNORECASE,
)
_ELSEWHERE = re.compile(r"\{\{|^\$|^/|^~|^<|^\*+$|^env:|^file:|^vault:")  # where it is read from, or none at all

CODE = "RB031"
NAME = "secret-in-clear"
LEVEL = "error"
NEEDS_RUNBOOK = False


def check(context: Context) -> Iterator[Remark]:
    """Search the text, comments included, and the values behind telling keys."""
    text = context.source.text
    seen = set()
    for shape, group in ((_SHAPES, 0), (_URL, 1)):
        for found in shape.finditer(text):
            span = context.source.stretch(found.start(group), found.end(group))
            seen.add(span.line)
            yield context.remark_at(span, "a secret stands here in clear", _HINT)
    for key, path in _named(context.data, ()):
        span = context.at(path)
        if span.line not in seen:
            yield context.remark_at(span, f"`{key}` stands here in clear", _HINT)


def _named(value: Any, path: Path) -> Iterator[tuple[str, Path]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if isinstance(key, str) and isinstance(item, str) and _KEY.fullmatch(key) and _telling(item):
                yield key, (*path, key)
            else:
                yield from _named(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _named(item, (*path, index))


def _telling(value: str) -> bool:
    return len(value) >= 4 and not any(letter.isspace() for letter in value) and not _ELSEWHERE.search(value)


_HINT = "read it with `secrets: {NAME: {env: …}}`, write {{ secrets.NAME }}, and replace it: it is known now"
