"""A part of the language that this version does not carry out.

## What it does
Finds keys that are valid and that this version would ignore: other hosts, other users, keyrings. Also steps, probes,
parameters and managers that a later version brings: they are no slips of the pen.

## Why is this bad
A guard or a fallback that is ignored in silence is worse than none.

## Example
```yaml
name: example
become: true
finally:
  - notify: done
```

## Use instead
```yaml
name: example
finally:
  - notify: done
```

## Fix
None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runbook.engine.language.lint.context import Context, Remark
    from runbook.engine.model import Path

_LATER = "a later version will carry it out; until then, leave it out"
_ANYWHERE = ("become", "become_user")
_DETECTOR = ("become", "become_user")
_STEP = ("delegate_to", "become", "become_user")
_HERE = ("localhost", ["localhost"])

CODE = "RB050"
NAME = "not-yet"
LEVEL = "error"


def check(context: Context) -> Iterator[Remark]:
    """Walk over the keys of the whole file."""
    data = context.data
    for path in _given(data, (), _ANYWHERE):
        yield _not_yet(context, path)
    if data.get("hosts", "localhost") not in _HERE:
        yield _not_yet(context, ("hosts",))
    secrets = data.get("secrets")
    for name, given in secrets.items() if isinstance(secrets, dict) else ():
        if isinstance(given, dict) and "keyring" in given:
            yield _not_yet(context, ("secrets", name, "keyring"))
    for path, operation in _items(data, "operations"):
        for found in _given(operation, path, _STEP):
            yield _not_yet(context, found)
    for path, detector in _items(data, "detectors"):
        for found in _given(detector, path, _DETECTOR):
            yield _not_yet(context, found)
    for path in _blocks(context):
        for found in _given(context.within(path), path, _STEP):
            yield _not_yet(context, found)
    for call in context.calls:
        for found in _given(context.within(call.step.path), call.step.path, _STEP):
            if call.operation is None or call.place == "fallback":
                yield _not_yet(context, found)


def _not_yet(context: Context, path: Path) -> Remark:
    return context.remark(path, f"this version does not carry out {_name(context, path)} yet", _LATER, key=True)


def _name(context: Context, path: Path) -> str:
    value = context.within(path)
    if isinstance(value, bool):
        return f"`{path[-1]}: {str(value).lower()}`"
    return f"`{path[-1]}: {value}`" if isinstance(value, str | int) else f"`{path[-1]}`"


def _given(data: object, path: Path, keys: tuple[str, ...]) -> Iterator[Path]:
    """Yield the keys that are there and say something."""
    for key in keys:
        if isinstance(data, dict) and (data.get(key) is True or data.get(key) not in (False, None, 1, [], {})):
            yield (*path, key)


def _items(data: Mapping[str, object], key: str) -> Iterator[tuple[Path, object]]:
    listed = data.get(key)
    for index, item in enumerate(listed if isinstance(listed, list) else ()):
        yield (key, index), item


def _blocks(context: Context) -> Iterator[Path]:
    """Yield the rungs of this file that are blocks, whose keys hold for each step in them."""
    for detector in context.detectors:
        rungs = () if context.recovery_of(detector) is not None else detector.recover
        yield from (rung.path for rung in rungs if "block" in (context.within(rung.path) or ()))
    for rungs in context.recoveries.values():
        yield from (rung.path for rung in rungs if "block" in (context.within(rung.path) or ()))
