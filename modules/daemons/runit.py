"""Services of runit: directories that a `runsv` looks after."""

import os
import re
from typing import List, Mapping, Optional

from runbook.modules.actions import Action, Run, Until
from runbook.modules.daemons.orphans import around
from runbook.modules.daemons.ourselves import spare
from runbook.modules.daemons.unit import Daemon, State, Steady, Unit
from runbook.modules.declare import Absent, Failed, Invalid, Unclear
from runbook.modules.host import Host

_NAME = re.compile(r"[A-Za-z0-9_.@+:-]+")
_SEARCHED = ("/etc/service", "/service", "/var/service", "/etc/sv/runit")
_STATUS = re.compile(
    r"^(?P<state>run|down|finish): [^\n]*?: (?:\(pid (?P<pid>\d+)\) )?(?P<since>\d+)s(?P<more>[^\n;]*)"
)
_STATES: Mapping[str, State] = {"run": "running", "down": "stopped", "finish": "stopping"}


def check(unit: Unit, *, starts: bool) -> None:  # noqa: ARG001 -- runit always knows how to start
    """Refuse what is neither a service's name nor its directory, and what runit is never told."""
    if not unit.name.startswith("/") and not _NAME.fullmatch(unit.name):
        raise Invalid(f"`{unit.name}` is no service of runit: write its name, or its directory")
    if unit.scope == "user":
        raise Invalid("`scope: user` is for systemd; give a user's service by its directory")
    for name in ("start", "stop", "cwd", "log", "config"):
        if getattr(unit, name):
            raise Invalid(f"`{name}` is not for runit: the service's own `run` has it")


def service(path: str) -> bool:
    """Tell whether a directory is one that runit looks after."""
    return os.path.isdir(os.path.join(path, "supervise")) or os.access(os.path.join(path, "run"), os.X_OK)


def look(host: Host, unit: Unit) -> Daemon:
    """Ask runit about the service."""
    if host.which("sv") is None:
        raise Absent("runit is not installed here: there is no sv")
    path = _path(host, unit)
    if path is None:
        return Daemon("missing", alive=False, reason=f"runit has no service {unit.name}")
    done = host.run("sv", "status", path)
    said = done.stdout.strip()
    found = _STATUS.match(said)
    if found is None:
        if "runsv not running" in said or "supervise/ok" in said:
            return Daemon("stopped", alive=False, reason=f"no runsv looks after {path}: is runsvdir running?")
        raise Unclear(f"sv did not answer: {(said or done.stderr.strip() or f'exit code {done.exit_code}')[:300]}")
    pid = int(found["pid"]) if found["pid"] and found["state"] == "run" else None
    state = _STATES[found["state"]]
    more = found["more"]
    if state == "stopped" and "want up" in more:
        state = "starting"  # it ended, and is started again within a second
    paused = state == "running" and "paused" in more
    own, orphans = around(host, unit, pid)
    return Daemon(
        "stopped" if paused else state,
        alive=pid is not None,
        pid=pid,
        identity=(pid,),
        uptime=float(found["since"]) if pid is not None else None,
        own=own,
        orphans=orphans,
        reason=said.splitlines()[0][:300],
    )


def start(host: Host, unit: Unit) -> List[Action]:
    """Have it up, and kept up."""
    seen = _existing(host, unit)
    return [] if seen.state == "running" else [_order(host, unit, "up"), _active(host, unit)]


def stop(host: Host, unit: Unit) -> List[Action]:
    """Have it down, and kept down."""
    seen = _existing(host, unit)
    if seen.state == "stopped":
        return []
    spare(host, unit.name, seen.pid)
    what = f"{unit.name} has stopped"
    return [_order(host, unit, "down"), Until(what, lambda: not look(host, unit).alive, within=unit.within)]


def restart(host: Host, unit: Unit) -> List[Action]:
    """Restart it, or start it when it is down."""
    seen = _existing(host, unit)
    spare(host, unit.name, seen.pid)
    return [_order(host, unit, "restart" if seen.alive else "up"), _active(host, unit)]


def _existing(host: Host, unit: Unit) -> Daemon:
    seen = look(host, unit)
    if seen.state == "missing" or "runsv" in seen.reason:
        raise Failed(seen.reason)
    return seen


def _order(host: Host, unit: Unit, verb: str) -> Run:
    return Run(("sv", verb, _path(host, unit) or unit.name))


def _active(host: Host, unit: Unit) -> Until:
    steady = Steady(host, lambda: look(host, unit), unit.settle, "see the service's log, or its `run`")
    return Until(f"{unit.name} is up and stays so for {unit.settle:g} s", steady, within=unit.within)


def _path(host: Host, unit: Unit) -> Optional[str]:
    """Return the service's directory."""
    if unit.name.startswith("/"):
        return unit.name if os.path.isdir(unit.name) else None
    folders = [host.env["SVDIR"]] if host.env.get("SVDIR") else list(_SEARCHED)
    return next((path for path in (os.path.join(folder, unit.name) for folder in folders) if service(path)), None)
