"""Whoever looks after a daemon that a runbook only names: the first manager of the host that knows it."""

from typing import Iterator, List, Mapping

from runbook.modules.actions import Action
from runbook.modules.daemons import docker, pidfile, runit, supervisor, systemd
from runbook.modules.daemons.unit import Daemon, Manager, Unit
from runbook.modules.declare import Absent, Failed, Invalid
from runbook.modules.host import Host

_BY_NAME: Mapping[str, Manager] = {"systemd": systemd, "supervisor": supervisor, "runit": runit, "docker": docker}


def check(unit: Unit, *, starts: bool) -> None:
    """Refuse what no manager can be told."""
    if unit.name.startswith("/"):
        # A directory of runit needs no `start`, and only the host knows which it is.
        pidfile.check(unit, starts=starts and unit.name.endswith(".pid"))
        return
    (supervisor if unit.config is not None else systemd).check(unit, starts=starts)


def look(host: Host, unit: Unit) -> Daemon:
    """Ask the managers one after the other; where none knows it, the first that is here says that it is missing."""
    here: List[str] = []
    absent: List[str] = []
    for manager in _managers(unit):
        try:
            seen = manager.look(host, unit)
        except Absent as error:
            absent.append(str(error))
            continue
        if seen.state != "missing":
            return seen
        here.append(seen.reason)
    if not here:
        raise Absent("; ".join(absent))
    return Daemon("missing", alive=False, reason="; ".join([*here, *absent]))


def start(host: Host, unit: Unit) -> List[Action]:
    """Have it running."""
    return _own(host, unit).start(host, unit)


def stop(host: Host, unit: Unit) -> List[Action]:
    """Have it stopped."""
    return _own(host, unit).stop(host, unit)


def restart(host: Host, unit: Unit) -> List[Action]:
    """Restart it."""
    return _own(host, unit).restart(host, unit)


def _managers(unit: Unit) -> Iterator[Manager]:
    if unit.name.startswith("/"):
        yield runit if runit.service(unit.name) else pidfile
        return
    if unit.config is not None:
        yield supervisor
        return
    for manager in _BY_NAME.values():
        try:
            manager.check(unit, starts=False)
        except Invalid:
            continue  # no name of this manager's
        yield manager


def _own(host: Host, unit: Unit) -> Manager:
    """Return the manager that knows it.

    Raises:
        Failed: none that is here does.
        Absent: none is here.
    """
    here: List[Manager] = []
    absent: List[str] = []
    for manager in _managers(unit):
        try:
            seen = manager.look(host, unit)
        except Absent as error:
            absent.append(str(error))
            continue
        if seen.state != "missing" or manager is pidfile:
            return manager
        here.append(manager)
    if not here:
        raise Absent("; ".join(absent))
    if here[0] is systemd:
        return systemd  # it says which unit has a name like that
    raise Failed(f"no service manager of this host knows `{unit.name}`" + "".join(f"; {one}" for one in absent))
