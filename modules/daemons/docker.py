"""Containers of Docker, or of what answers to its name."""

import json
import re
from typing import Any, Dict, List, Mapping, Optional

from runbook.modules.actions import Action, Run, Until
from runbook.modules.daemons.unit import Daemon, State, Steady, Unit
from runbook.modules.declare import Absent, Failed, Invalid, Unclear
from runbook.modules.host import Host

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_STATES: Mapping[str, State] = {
    "running": "running",
    "restarting": "starting",
    "paused": "stopped",
    "created": "stopped",
    "exited": "stopped",
    "removing": "stopping",
    "dead": "failed",
}
_NOBODY = ("Cannot connect to the Docker daemon", "Is the docker daemon running", "connection refused")
_SIGNALLED = 128  # what a shell, and Docker after it, adds to the number of the signal that ended a program


def check(unit: Unit, *, starts: bool) -> None:  # noqa: ARG001 -- docker always knows how to start
    """Refuse what is no container's name, and what docker is never told."""
    if not _NAME.fullmatch(unit.name):
        raise Invalid(f"`{unit.name}` is no container: write its name or id")
    if unit.match is not None:
        raise Invalid("`match` is not for containers: what runs in one belongs to it")
    if unit.scope == "user":
        raise Invalid("`scope: user` is for systemd")
    for name in ("start", "stop", "cwd", "log", "config"):
        if getattr(unit, name):
            raise Invalid(f"`{name}` is not for docker: the container itself has it")


def look(host: Host, unit: Unit) -> Daemon:
    """Ask docker about the container."""
    found = _inspected(host, unit)
    if found is None:
        return Daemon("missing", alive=False, reason=f"docker knows no container {unit.name}")
    state: Dict[str, Any] = found.get("State") or {}
    status = str(state.get("Status") or "")
    code, pid = int(state.get("ExitCode") or 0), int(state.get("Pid") or 0) or None
    known = _STATES.get(status, "failed")
    if status == "exited" and code != 0:
        known = "failed"
    ill = (state.get("Health") or {}).get("Status") == "unhealthy"
    return Daemon(
        known,
        alive=status == "running",
        pid=pid,
        identity=(found.get("Id"), state.get("StartedAt")),
        restarts=int(found.get("RestartCount") or 0),
        uptime=_uptime(host, str(state.get("StartedAt") or "")) if status == "running" else None,
        exit_code=None if status in ("running", "created", "paused") else _exit_code(code),
        own=frozenset([pid]) if pid else frozenset(),
        reason=_reason(status, state, ill=ill),
        ended=status in ("exited", "dead"),
    )


def start(host: Host, unit: Unit) -> List[Action]:
    """Start it, or let it go on where it is paused."""
    status = _status(host, unit)
    if status == "running":
        return []
    return [Run(("docker", "unpause" if status == "paused" else "start", unit.name)), _active(host, unit)]


def stop(host: Host, unit: Unit) -> List[Action]:
    """Stop it."""
    if _status(host, unit) not in ("running", "restarting", "paused"):
        return []
    what = f"{unit.name} has stopped"
    order = Run(("docker", "stop", f"--time={max(1, round(unit.grace))}", unit.name))
    return [order, Until(what, lambda: not look(host, unit).alive, within=unit.within)]


def restart(host: Host, unit: Unit) -> List[Action]:
    """Restart it, or start it when it is down."""
    _status(host, unit)
    return [Run(("docker", "restart", f"--time={max(1, round(unit.grace))}", unit.name)), _active(host, unit)]


def signal(host: Host, unit: Unit, name: str, *, ends: bool) -> List[Action]:
    """Signal its main process, by Docker itself: its pid may be another machine's."""
    if _status(host, unit) != "running":
        return []
    order = Run(("docker", "kill", f"--signal={name}", unit.name))
    what = f"{unit.name} has ended"
    return [order, Until(what, lambda: not look(host, unit).alive, within=unit.grace)] if ends else [order]


def _status(host: Host, unit: Unit) -> str:
    found = _inspected(host, unit)
    if found is None:
        raise Failed(f"docker knows no container {unit.name}: see `docker ps -a`")
    return str((found.get("State") or {}).get("Status") or "")


def _active(host: Host, unit: Unit) -> Until:
    steady = Steady(host, lambda: look(host, unit), unit.settle, f"see docker logs {unit.name}")
    return Until(f"{unit.name} runs and stays so for {unit.settle:g} s", steady, within=unit.within)


def _inspected(host: Host, unit: Unit) -> Optional[Dict[str, Any]]:
    if host.which("docker") is None:
        raise Absent("docker is not installed here")
    done = host.run("docker", "inspect", "--type=container", "--format={{json .}}", unit.name)
    said = " ".join(done.stderr.split())
    if done.exit_code != 0:
        if "No such" in said:
            return None
        if any(words in said for words in _NOBODY):
            raise Absent(f"docker is not running here: {said[:200]}")
        raise Unclear(f"docker did not answer: {said[:300] or f'exit code {done.exit_code}'}")
    try:
        found = json.loads(done.stdout)
    except ValueError as error:
        raise Unclear(f"docker's answer is no JSON: {error}") from error
    return found if isinstance(found, dict) else None


def _exit_code(code: int) -> int:
    return _SIGNALLED - code if _SIGNALLED < code < _SIGNALLED + 32 else code


def _uptime(host: Host, started: str) -> Optional[float]:
    from datetime import datetime, timezone

    found = re.match(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?Z", started)
    if found is None:
        return None
    began = datetime.fromisoformat(found[1]).replace(tzinfo=timezone.utc).timestamp() + float(found[2] or 0)
    return max(0.0, host.now() - began)


def _reason(status: str, state: Mapping[str, Any], *, ill: bool) -> str:
    parts = [status]
    if state.get("OOMKilled"):
        parts.append("it ran out of its memory limit")
    if state.get("Error"):
        parts.append(str(state["Error"]))
    if status in ("exited", "dead"):
        parts.append(f"exit code {state.get('ExitCode')}")
    if ill:
        parts.append("its health check fails")
    return ", ".join(parts)
