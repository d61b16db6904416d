"""Which manager looks after a daemon."""

from typing import Callable, List, Literal, Mapping

from runbook.modules.actions import Action
from runbook.modules.daemons import auto, docker, pidfile, runit, supervisor, systemd
from runbook.modules.daemons.processes import pattern
from runbook.modules.daemons.unit import Manager, Unit
from runbook.modules.declare import Absent, Failed, Invalid, Unclear
from runbook.modules.host import Host

ManagerName = Literal["auto", "systemd", "supervisor", "runit", "docker", "pidfile"]
MANAGERS: Mapping[str, Manager] = {
    "auto": auto,
    "systemd": systemd,
    "supervisor": supervisor,
    "runit": runit,
    "docker": docker,
    "pidfile": pidfile,
}


def manager(name: ManagerName) -> Manager:
    """Return the manager of that name."""
    return MANAGERS[name]


def owner(name: ManagerName, host: Host, unit: Unit) -> Manager:
    """Return the manager that looks after a unit.

    Raises:
        Failed: none that is here knows it.
        Absent: none is here.
    """
    return auto.own(host, unit) if name == "auto" else manager(name)


def check(name: ManagerName, unit: Unit, *, starts: bool = False) -> None:
    """Raise `Invalid` where a unit does not fit its manager; `starts` = it may have to be started."""
    if not unit.name:
        raise Invalid("`unit` is empty: write a unit's name, or the path of a pidfile")
    if unit.name.startswith("-"):
        raise Invalid(f"`{unit.name}` begins with a dash, which no unit's name does")
    if "\0" in unit.name:
        raise Invalid("`unit` holds a NUL, which no name does")
    if unit.match is not None:
        pattern(unit.match)
    manager(name).check(unit, starts=starts)


def planned(plan: Callable[[], List[Action]]) -> List[Action]:
    """Make a plan; a step that can't look has failed.

    Raises:
        Failed: what the plan needs can't be seen, or is not here.
    """
    try:
        return plan()
    except (Absent, Unclear) as error:
        raise Failed(str(error)) from error
