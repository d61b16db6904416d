"""A host or group that is not there, or a pattern that can't be judged where it stands.

## What it does
Reads the patterns of `hosts:`, of the runbook and of its detectors. With an inventory (`runbook lint -i INVENTORY`)
every host and group in them must be in it, and so must the hosts of `delegate_to` and of a pool's members. A
detector's `hosts:` is asked of each host by itself, so it has no subscripts.

## Why is this bad
A detector for a group that does not exist looks at nothing, for ever, and says that all is well.

## Example
```yaml
name: example
hosts: gpu
detectors:
  - name: scheduler down
    hosts: login[0]
    port: 6817
    when: not open
```

## Use instead
```yaml
name: example
hosts: gpu
detectors:
  - name: scheduler down
    hosts: login01
    port: 6817
    when: not open
```

## Fix
None: which host was meant is for a person to say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runbook.engine.errors import UserError
from runbook.engine.language import host_pattern

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark
    from runbook.engine.language.lint.outside import Astray
    from runbook.engine.model import Path

CODE = "RB069"
NAME = "host-pattern"
LEVEL = "error"
_ELSEWHERE = frozenset({"controller", "localhost"})  # what `delegate_to` may say without an inventory


def check(context: Context) -> Iterator[Remark]:
    """Judge each pattern, and each host that a step or a member names."""
    if isinstance(context.data.get("hosts"), str):
        yield from _pattern(context, ("hosts",), context.runbook.hosts, subscripts=True)
    for detector in context.detectors:
        if detector.hosts is not None:
            yield from _pattern(context, (*detector.path, "hosts"), detector.hosts, subscripts=False)
    for call in context.calls:
        if call.step.delegate_to:
            yield from _host(context, (*call.step.path, "delegate_to"), call.step.delegate_to)
    pools = context.data.get("pools")
    for pool in context.runbook.pools.values():
        if isinstance(pools, dict) and pool.name in pools:
            for number, member in enumerate(pool.members):
                yield from _host(context, ("pools", pool.name, "members", number, "host"), member.get("host"))


def _pattern(context: Context, path: Path, pattern: str, *, subscripts: bool) -> Iterator[Remark]:
    if "{{" in pattern:
        return
    for term in host_pattern.terms(pattern):
        try:
            host_pattern.readable(term)
        except UserError as error:
            yield context.remark(path, error.what, error.mend, word=term)
            return
        if not subscripts and host_pattern.subscript(term):
            hint = "name the host, or make it a group of the inventory"
            yield context.remark(path, f"`{term}`: a detector's `hosts` has no subscripts", hint, word=term)
            return
    if context.hosts is not None and not (pattern == "localhost" and path == ("hosts",)):
        for one in context.hosts.astray(pattern):
            yield _remark(context, path, one)


def _host(context: Context, path: Path, name: Any) -> Iterator[Remark]:
    if context.hosts is None or not isinstance(name, str) or "{{" in name or name in _ELSEWHERE:
        return
    one = context.hosts.stranger(name)
    if one is not None:
        yield _remark(context, path, one)


def _remark(context: Context, path: Path, one: Astray) -> Remark:
    return context.remark(path, one.message, one.hint, word=one.word)
