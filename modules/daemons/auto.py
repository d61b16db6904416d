"""Whoever looks after a daemon that a runbook only names: the first manager of the host that knows it."""

from typing import Iterator, List, Mapping, Optional, Tuple

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
    asked = _Asked(host, unit)
    if asked.known is not None:
        return asked.known[1]
    return Daemon("missing", alive=False, reason="; ".join([*(seen.reason for _, seen in asked.here), *asked.absent]))


def start(host: Host, unit: Unit) -> List[Action]:
    """Have it running."""
    return own(host, unit).start(host, unit)


def stop(host: Host, unit: Unit) -> List[Action]:
    """Have it stopped."""
    return own(host, unit).stop(host, unit)


def restart(host: Host, unit: Unit) -> List[Action]:
    """Restart it."""
    return own(host, unit).restart(host, unit)


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


class _Asked:
    """What the managers answered, up to the first that knows the unit.

    Raises:
        Absent: none of them is here.
    """

    def __init__(self, host: Host, unit: Unit) -> None:
        self.known: Optional[Tuple[Manager, Daemon]] = None
        self.here: List[Tuple[Manager, Daemon]] = []  # those that are here and do not know it
        self.absent: List[str] = []  # why the others are not
        for manager in _managers(unit):
            try:
                seen = manager.look(host, unit)
            except Absent as error:
                self.absent.append(str(error))
                continue
            if seen.state != "missing":
                self.known = manager, seen
                return
            self.here.append((manager, seen))
        if not self.here:
            raise Absent("; ".join(self.absent))


def own(host: Host, unit: Unit) -> Manager:
    """Return the manager that knows it, or that may be told of it all the same.

    Raises:
        Failed: none that is here does.
        Absent: none is here.
    """
    asked = _Asked(host, unit)
    first = asked.known[0] if asked.known is not None else asked.here[0][0]
    if asked.known is not None or first in (pidfile, systemd):  # systemd says which unit has a name like that
        return first
    raise Failed(f"no service manager of this host knows `{unit.name}`" + "".join(f"; {one}" for one in asked.absent))
