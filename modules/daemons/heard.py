"""What can be heard of a daemon: the end of its main process, its control group, its pidfile."""

import os
from typing import Iterable, Iterator

from runbook.modules.daemons.unit import Unit
from runbook.modules.host import group_of
from runbook.modules.listening import sources
from runbook.modules.listening.processes import started
from runbook.modules.listening.sources import Source

_HIERARCHIES = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd")
_SLICE = "/system.slice"  # where a unit begins that does not say where


def sources_of(unit: Unit, manager: str, pids: Iterable[int]) -> Iterator[Source]:
    """Yield what a look at a daemon listens to.

    Args:
        unit: the daemon.
        manager: who looks after it, as the runbook says.
        pids: its main process, where it lives.
    """
    groups = [f"{_SLICE}/{unit.name}"]
    for pid in pids:
        at = started(pid)
        if at is not None:
            yield sources.process(pid, at)
            groups = [group_of(f"/proc/{pid}")]
    if unit.name.startswith("/"):
        yield sources.path(unit.name)
    elif manager in ("auto", "systemd"):
        for group in groups:
            yield from _group(unit, group)


def _group(unit: Unit, group: str) -> Iterator[Source]:
    """A unit's group tells when nothing runs in it any more, and goes when systemd has seen to that."""
    name = os.path.basename(group)
    if name.partition(".")[0] != unit.name.partition(".")[0]:
        return  # it belongs to another manager's unit, or to one of another name
    if "." not in name:
        group = f"{group}.service"
    for base in _HIERARCHIES:
        if os.path.isdir(os.path.dirname(base + group)):
            yield sources.path(base + group)
            yield sources.path(f"{base}{group}/cgroup.events")
