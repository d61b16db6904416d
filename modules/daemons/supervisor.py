"""Programs of supervisor, asked by its own XML-RPC interface, where its configuration says that it listens."""

import os
import re
from typing import Any, Dict, List, Mapping, Optional, Tuple

from runbook.modules.actions import Action, Do, Until
from runbook.modules.daemons.orphans import around
from runbook.modules.daemons.ourselves import spare
from runbook.modules.daemons.unit import Daemon, State, Steady, Unit
from runbook.modules.declare import Absent, Failed, Invalid, Unclear
from runbook.modules.host import Host

_NAME = re.compile(r"[^\s:*/]+(:[^\s:*/]+)?")
_USUAL = ("/etc/supervisord.conf", "/etc/supervisor/supervisord.conf")
_STATES: Mapping[str, State] = {
    "RUNNING": "running",
    "STARTING": "starting",
    "BACKOFF": "starting",  # it died too soon, and is tried again
    "STOPPING": "stopping",
    "STOPPED": "stopped",
    "EXITED": "stopped",
    "FATAL": "failed",
    "UNKNOWN": "failed",
}


def check(unit: Unit, *, starts: bool) -> None:  # noqa: ARG001 -- supervisor always knows how to start
    """Refuse what is no program's name, and what supervisor is never told."""
    if not _NAME.fullmatch(unit.name):
        raise Invalid(f"`{unit.name}` is no program of supervisor: write its name, or group:name")
    if unit.scope == "user":
        raise Invalid("`scope: user` is for systemd; give supervisor's `config` instead")
    for name in ("start", "stop", "cwd", "log"):
        if getattr(unit, name):
            raise Invalid(f"`{name}` is for pidfiles; supervisor has it in its configuration")


def look(host: Host, unit: Unit) -> Daemon:
    """Ask supervisor about the program."""
    info = _info(host, unit)
    if info is None:
        return Daemon("missing", alive=False, reason=f"supervisor knows no program {unit.name}")
    named = str(info.get("statename"))
    state = _STATES.get(named, "failed")
    status = int(info.get("exitstatus") or 0)
    if named == "EXITED" and status != 0:
        state = "failed"
    pid = int(info.get("pid") or 0) or None
    own, orphans = around(host, unit, pid)
    return Daemon(
        state,
        alive=pid is not None and state in ("running", "starting"),
        pid=pid,
        identity=(pid, info.get("start")),
        uptime=max(0.0, host.now() - float(info["start"])) if pid is not None and info.get("start") else None,
        exit_code=status if pid is None and status >= 0 and info.get("stop") else None,
        own=own,
        orphans=orphans,
        reason=str(info.get("spawnerr") or info.get("description") or named),
        ended=named in ("FATAL", "EXITED"),
    )


def start(host: Host, unit: Unit) -> List[Action]:
    """Start it when it is down."""
    state = _existing(host, unit).state
    if state in ("running", "starting"):
        return [] if state == "running" else [_active(host, unit)]
    return [_order(host, unit, "start", "startProcess"), _active(host, unit)]


def stop(host: Host, unit: Unit) -> List[Action]:
    """Stop it, and wait until supervisor calls it stopped."""
    seen = _existing(host, unit)
    if not seen.alive and seen.state != "starting":
        return []
    spare(host, unit.name, seen.pid)
    what = f"{unit.name} has stopped"
    return [
        _order(host, unit, "stop", "stopProcess"),
        Until(what, lambda: look(host, unit).state in ("stopped", "failed"), within=unit.within),
    ]


def restart(host: Host, unit: Unit) -> List[Action]:
    """Restart it, or start it when it is down."""
    if not _existing(host, unit).alive:
        return start(host, unit)
    return [*stop(host, unit), _order(host, unit, "start", "startProcess"), _active(host, unit)]


def _existing(host: Host, unit: Unit) -> Daemon:
    seen = look(host, unit)
    if seen.state == "missing":
        raise Failed(f"{seen.reason}: see `supervisorctl status`")
    return seen


def _order(host: Host, unit: Unit, verb: str, method: str) -> Do:
    """Plan to tell supervisor itself: its supervisorctl need not be on anybody's PATH."""
    server = _server(host, _config(host, unit))

    def tell(_hands: Any) -> None:
        from runbook.modules.daemons import supervisor_rpc  # what it imports costs an agent's start

        try:
            supervisor_rpc.order(*server, method, unit.name)
        except (Absent, Unclear) as error:
            raise Failed(str(error)) from error

    return Do(f"{verb} {unit.name}, by supervisor", tell)


def _active(host: Host, unit: Unit) -> Until:
    steady = Steady(host, lambda: look(host, unit), unit.settle, f"see supervisorctl tail {unit.name} stderr")
    return Until(f"{unit.name} is running and stays so for {unit.settle:g} s", steady, within=unit.within)


def _info(host: Host, unit: Unit) -> Optional[Dict[str, Any]]:
    """Return what supervisor says of a program, or None where it knows none of that name."""
    from runbook.modules.daemons import supervisor_rpc  # what it imports costs an agent's start

    url, user, password = _server(host, _config(host, unit))
    return supervisor_rpc.process_info(url, user, password, unit.name)


def _config(host: Host, unit: Unit) -> str:
    """Return the configuration that is named, or the first where supervisor itself looks."""
    if unit.config is not None:
        if not os.path.isfile(unit.config):
            raise Unclear(f"{unit.config} is not there: `config` is supervisor's configuration file")
        return unit.config
    program = host.which("supervisorctl")
    beside = os.path.dirname(os.path.dirname(program)) if program else ""
    near = (os.path.join(beside, "etc/supervisord.conf"), os.path.join(beside, "supervisord.conf")) if beside else ()
    found: Optional[str] = next((path for path in (*near, *_USUAL) if os.path.isfile(path)), None)
    if found is None:
        raise Absent("supervisor is not set up here: there is no supervisord.conf (`config` names one elsewhere)")
    return found


def _server(host: Host, config: str) -> Tuple[str, str, str]:
    """Return where supervisor listens, and as whom to ask."""
    import configparser

    parser = configparser.RawConfigParser(inline_comment_prefixes=(";",), strict=False)
    try:
        with open(config, encoding="utf-8", errors="replace") as file:
            parser.read_file(file)
    except (OSError, configparser.Error) as error:
        raise Unclear(f"{config} can't be read: {str(error).splitlines()[0]}") from error
    values: Dict[str, str] = {f"ENV_{name}": value for name, value in host.env.items()}
    values["here"] = os.path.dirname(os.path.abspath(config))
    found: Dict[str, str] = dict(parser["supervisorctl"]) if parser.has_section("supervisorctl") else {}

    def filled(name: str, default: str = "") -> str:
        return re.sub(r"%\((\w+)\)s", lambda match: values.get(match[1], match[0]), found.get(name, default))

    return filled("serverurl", "http://localhost:9001"), filled("username"), filled("password")
