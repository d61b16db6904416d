"""Where a watch stands: which of its hosts are this machine, where it writes, and what of homes and /tmp it names."""

from __future__ import annotations

import getpass
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.among import HERE
from runbook.engine.install import needs
from runbook.engine.install.needs import Need
from runbook.engine.install.sandbox import Ground, beneath, outermost
from runbook.engine.language import render, taint
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from runbook.engine.model import Runbook
    from runbook.engine.start import Request

HOMES: Final = ("/home", "/root", "/run/user")  # what ProtectHome hides
TMPS: Final = ("/tmp", "/var/tmp")  # noqa: S108 -- what PrivateTmp hides
_HOME: Final = re.compile(r"""(?:/home|/root|/run/user)\b[^\s"',\]})]*|~/[^\s"',\]})]*|\bscope:\s*user\b""")
_TMP: Final = re.compile(r"""(?:/var)?/tmp\b[^\s"',\]})]*""")
_SCRATCH: Final = "/run.scratch"  # in the place of a directory that each run makes, in /tmp
_CONTROLLER: Final = frozenset({"controller", HERE})


@frozen
class Watched:
    """What is to be watched: the runbooks with their hosts, and the files of the command line."""

    requests: tuple[Request, ...]
    reads: tuple[str, ...]  # files and directories that the watch must be able to read, absolute
    writes: tuple[str, ...] = ()  # directories that it writes in, beside its state directory
    programs: tuple[str, ...] = ()  # programs that it asks: an inventory, a vault's password
    settings: tuple[str, ...] = ()  # files of its configuration
    system: bool = True


def ground(watched: Watched) -> Ground:
    """Return what of this machine a watch is at.

    Raises:
        RenderError: a `writable` tree can't be made out.
    """
    local = [request for request in watched.requests if here(request)]
    wanted = [needs.of(request.runbook) for request in local]
    wanted += [{Need.EVERYTHING: (f"sudo (`become: {user}`)",)} for request in local for user in _becomes(request)]
    wanted += [{Need.EVERYTHING: (program,)} for program in watched.programs]
    if any(map(far, watched.requests)):
        wanted.append({Need.HOME: ("ssh",)})
    trees = {tree for request in local for tree in _trees(request)}
    texts = [text for request in local for text in _texts(request)]
    tmp = _named(_TMP, texts, [*watched.reads, *trees, *watched.writes], TMPS)
    home = _named(_HOME, texts, [*watched.reads, *watched.settings, *trees, *watched.writes], HOMES)
    writes = [*map(_present, [*trees, *watched.writes]), *(TMPS if tmp else ())]
    return Ground(needs.together(wanted), bool(local), outermost(writes), home=home, tmp=tmp, system=watched.system)


def here(request: Request) -> bool:
    """Tell whether some of a runbook's looks or steps are done on this machine."""
    delegated = {call.delegate_to for call in taint.calls(request.runbook)}
    return bool(_local(request) or delegated & _CONTROLLER)


def far(request: Request) -> bool:
    """Tell whether some of the hosts are others."""
    return len(_local(request)) < max(1, len(request.hosts))


def _local(request: Request) -> list[str]:
    if not request.hosts:
        return [HERE]
    return [host.name for host in request.hosts if "local" in str(host.settings.get("connection", "ssh")).split(".")]


def _becomes(request: Request) -> Iterator[str]:
    """Yield the users that something on this machine is done as, other than the one that the watch runs as."""
    me, runbook = getpass.getuser(), request.runbook
    said: list[tuple[bool | None, str | None]] = [(runbook.become, runbook.become_user)]
    said += [(each.become, each.become_user) for each in runbook.detectors]
    said += [(call.become, call.become_user) for call in taint.calls(runbook)]
    said += [request.users.get(name, (False, None)) for name in _local(request)]
    yield from sorted({user or "root" for become, user in said if become} - {me})


def _trees(request: Request) -> Iterator[str]:
    """Yield the trees in which steps may write on this machine."""
    about = {"id": "run", "scratch": _SCRATCH}
    hidden = dict.fromkeys(request.runbook.secrets, "***")
    for name, given in _vars(request):
        known = replace(request.runbook, vars={**given, **request.runbook.vars})
        for tree in render.writable(render.Scope(known, host=name, run=about, secrets=hidden)):
            if not beneath(tree, _SCRATCH):
                yield os.path.normpath(tree)


def _texts(request: Request) -> Iterator[str]:
    """Yield what may name a path of this machine."""
    for file in files(request.runbook):
        text = Path(file).read_text(encoding="utf-8", errors="replace")
        yield "\n".join(line.partition("#")[0] for line in text.splitlines())
    yield from _strings(request.runbook.vars)
    for _, given in _vars(request):
        yield from _strings(given)


def _vars(request: Request) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the hosts that are this machine, with what an inventory says of them."""
    known = {host.name: host.vars for host in request.hosts}
    for name in _local(request) or [HERE]:
        yield name, known.get(name, {})


def files(runbook: Runbook) -> list[str]:
    """Return the files that a runbook was loaded from, absolute."""
    found = dict.fromkeys([runbook.file, *(detector.origin for detector in runbook.detectors)])
    return [os.path.abspath(file) for file in found if file]  # noqa: PTH100 -- a link stays a link


def _strings(given: Any) -> Iterator[str]:
    if isinstance(given, str):
        yield given
    elif isinstance(given, dict):
        for value in given.values():
            yield from _strings(value)
    elif isinstance(given, list | tuple):
        for value in given:
            yield from _strings(value)


def _named(pattern: re.Pattern[str], texts: Sequence[str], paths: Iterable[str], below: tuple[str, ...]) -> str:
    """Return why a place must be seen: the first path that lies there; empty: nothing does."""
    for path in paths:
        real = os.path.realpath(path)
        if any(beneath(each, top) for each in (path, real) for top in below):
            return path
    found = (pattern.search(text) for text in texts)
    return next((match[0] for match in found if match), "")


def _present(tree: str) -> str:
    """Return what can be made writable now: a directory that is there, for a file its own; "/" at the worst."""
    while not os.path.isdir(tree):  # noqa: PTH112 -- text
        tree = os.path.dirname(tree)  # noqa: PTH120
    return tree
