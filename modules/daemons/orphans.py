"""Which processes are orphans: of a daemon's kind, but outside it, and with nobody else who looks after them."""

import re
from typing import Collection, Dict, FrozenSet, List, Optional, Sequence, Tuple

from runbook.modules.actions import Target
from runbook.modules.daemons.processes import INIT, Table, pattern, permitted, shortened, table
from runbook.modules.daemons.unit import Unit
from runbook.modules.declare import Unclear
from runbook.modules.host import Host, Process

# Groups of container runtimes and of batch systems: their processes are theirs, whatever their command line says.
_CONTAINER = re.compile(r"(^|/)[^/]*(docker|libpod|crio|containerd|kubepods|lxc|machine\.slice|slurm)[^/]*(/[^/]*)?")
_SERVICE = re.compile(r"/(?!user@)[^/]+\.service$")


def outside(host: Host, table: Table, own: Collection[int], candidates: Sequence[Process]) -> List[Process]:
    """Return the candidates that are neither the daemon's own, nor ours, nor another service's or container's."""
    found = [one for one in candidates if one.pid not in own and one.pid not in table.ours]
    if not found:
        return []
    here = table.by_pid.get(host.pid())
    found = ours(here, found)
    kept: Dict[str, Optional[Collection[int]]] = {}
    for one in found:
        if _SERVICE.search(one.cgroup) and one.cgroup not in kept:
            kept[one.cgroup] = _kept(host, table, one.cgroup)
    return [one for one in found if not _belongs(one, kept)]


def around(host: Host, unit: Unit, main: Optional[int]) -> "Tuple[FrozenSet[int], Tuple[Process, ...]]":
    """Return a daemon's own processes and its orphans: what matches outside it; nothing where it has no `match`."""
    if unit.match is None:
        return frozenset([main] if main else []), ()
    seen = table(host)
    own = seen.tree([main]) if main else set()
    above = seen.ancestors(main) if main else ()
    found = outside(host, seen, {*own, *above}, seen.matching(pattern(unit.match)))
    return frozenset(own), tuple(sorted(found, key=lambda one: one.pid))


def parentless(table: Table, candidates: Sequence[Process]) -> List[Process]:
    """Return the candidates whose parent is gone: they belong to init, or to a user's service manager."""
    return [one for one in candidates if one.parent == INIT or _reaper(table.by_pid.get(one.parent))]


def targets(host: Host, table: Table, own: Collection[int], orphans: Sequence[Process]) -> List[Target]:
    """Return the orphans with all that descends from them, as targets; those that we may signal.

    Raises:
        Failed: all of them belong to other users.
    """
    pids = sorted(table.tree(one.pid for one in permitted(host, orphans)) - set(own) - table.ours - {INIT})
    doomed = [table.by_pid[pid] for pid in pids if pid in table.by_pid and not table.by_pid[pid].zombie]
    return [Target(one.pid, one.started, shortened(one)) for one in permitted(host, doomed)]


def _kept(host: Host, table: Table, cgroup: str) -> Optional[Collection[int]]:
    """Return what another service looks after, its main process and what descends from it; None = all of the group.

    A group may also hold what nobody looks after: what a cron job or a watchdog left behind when it ended.
    """
    if host.which("systemctl") is None:
        return ()  # a container that sees its host's names: no service manager is here
    if "/user@" in cgroup:
        return None
    try:
        done = host.run("systemctl", "show", "--property=MainPID", "--", cgroup.rpartition("/")[2])
    except Unclear:
        return None
    main = done.stdout.strip().partition("=")[2]
    return table.tree([int(main)]) if done.exit_code == 0 and main.isdigit() and main != "0" else None


def _belongs(process: Process, kept: Dict[str, Optional[Collection[int]]]) -> bool:
    if process.cgroup not in kept:
        return False
    pids = kept[process.cgroup]
    return pids is None or process.pid in pids


def ours(here: Optional[Process], found: Sequence[Process]) -> List[Process]:
    """Leave out what runs in another container, or batch job, than we do: it has somebody who looks after it."""
    container = _container(here.cgroup if here else "")
    return [one for one in found if _container(one.cgroup) == container]


def _container(cgroup: str) -> str:
    found = _CONTAINER.search(cgroup)
    return cgroup[: found.end()] if found else ""


def _reaper(parent: Optional[Process]) -> bool:
    """Whether a process takes in orphans: a user's systemd, or none that can be seen."""
    return parent is None or (parent.argv[0].endswith("systemd") and "--user" in parent.argv)
