"""What can be heard of a daemon: the end of its main process, its control group, its pidfile."""

import os
from typing import Iterable, Iterator

from runbook.modules.daemons.unit import Unit
from runbook.modules.listening import sources
from runbook.modules.listening.processes import started
from runbook.modules.listening.sources import Source

_HIERARCHIES = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd")
_SLICE = "/system.slice"  # where a unit of the system begins that says nothing else


def sources_of(unit: Unit, manager: str, pids: Iterable[int], group: str) -> Iterator[Source]:
    """Yield what a look at a daemon listens to.

    Args:
        unit: the daemon.
        manager: who looks after it, as the runbook says.
        pids: its main process, where it lives.
        group: the control group in which systemd had it when it was seen last; empty where it was not.
    """
    for pid in pids:
        at = started(pid)
        if at is not None:
            yield sources.process(pid, at)
    if unit.name.startswith("/"):
        yield sources.path(unit.name)
    elif manager in ("auto", "systemd"):
        yield from _group(group or f"{_SLICE}/{unit.name if '.' in unit.name else f'{unit.name}.service'}")


def _group(group: str) -> Iterator[Source]:
    """A unit's group tells when nothing runs in it any more, goes when systemd has seen to that, and comes again."""
    for base in _HIERARCHIES:
        if os.path.isdir(os.path.dirname(base + group)):
            yield sources.path(base + group)
            yield sources.path(f"{base}{group}/cgroup.events")
