"""The paths that steps would touch, as far as they can be told from the file, and whether they are writable.

What is known only when the runbook runs (an incident, a host's name, the scratch directory) stands in a path as a
mark, such as ⟨incident.path⟩: two paths that begin with the same mark begin with the same directory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from runbook.engine.errors import RenderError
from runbook.engine.language.scope import Scope, value
from runbook.modules.acting.writable import plain
from runbook.modules.declare import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runbook.engine.language.lint.context import Context

MARK = "⟨"
_SCRATCH = "/⟨run.scratch⟩"


class _Later(Mapping[str, Any]):
    """What an incident, a result or a pool's member will hold: a mark for each of its keys."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __getitem__(self, key: str) -> str:
        return _SCRATCH if (self.name, key) == ("run", "scratch") else f"{MARK}{self.name}.{key}⟩"

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 1  # it is not empty


def scope(context: Context, names: Sequence[str] = ()) -> Scope:
    """Return a scope in which everything has a value, if only a mark."""
    made = Scope(context.runbook, host=f"{MARK}host⟩", run=_Later("run"), secrets=_Later("secrets"))
    for name in ("incident", "member", "from", "to", "error", *names):
        if name not in context.runbook.vars:
            made[name] = _Later(name)
    return made


def told(given: Any, known: Scope) -> str | None:
    """Return a path with its templates filled in, or None where it can't be told."""
    try:
        found = value(given, known)
    except RenderError:
        return None
    return found if isinstance(found, str) else None


def outside(path: str, writable: Sequence[str | None]) -> str | None:
    """Return why a step may not touch a path, or None where it may, or where that can't be told."""
    head, mark, _ = path.replace(_SCRATCH, "/run.scratch").partition(MARK)
    if not head:
        return None  # all of it comes later
    try:
        wanted = plain(path.replace(_SCRATCH, "/run.scratch"))
    except Refused as refused:
        return str(refused).replace("/run.scratch", "{{ run.scratch }}")
    if not writable:
        return "nothing is writable"
    for entry in writable:
        if entry is None or _may_cover(entry.replace(_SCRATCH, "/run.scratch"), wanted, head if mark else wanted):
            return None
    listed = ", ".join(str(entry) for entry in writable).replace(_SCRATCH, "{{ run.scratch }}")
    return f"{path.replace(_SCRATCH, '{{ run.scratch }}')} lies outside of what is writable ({listed})"


def _may_cover(entry: str, wanted: str, head: str) -> bool:
    tree, mark, _ = entry.partition(MARK)
    if mark:  # where the entry lies is known from its beginning only
        return wanted.startswith(tree) or tree.startswith(head)
    tree = entry.rstrip("/") or "/"
    if wanted == tree or wanted.startswith(tree.rstrip("/") + "/"):
        return True
    return wanted != head and tree.startswith(head)  # the rest, which comes later, may lead into it
