"""Units of systemd, the system's own or a user's."""

import re
from typing import Collection, Dict, List, Mapping, Optional, Sequence, Tuple

from runbook.modules.actions import Action, Run, Until
from runbook.modules.daemons.orphans import outside
from runbook.modules.daemons.ourselves import spare
from runbook.modules.daemons.processes import Table, pattern, table
from runbook.modules.daemons.unit import Daemon, Scope, State, Steady, Unit
from runbook.modules.declare import UNSEEN, Absent, Failed, Invalid, Refused, Unclear
from runbook.modules.host import Completed, Host, Process

_NAME = re.compile(r"[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@-]*")
_ASKED = (
    "LoadState,ActiveState,SubState,Type,Result,MainPID,ControlPID,NRestarts,ExecMainCode,ExecMainStatus,"
    "ExecMainStartTimestampMonotonic,ActiveEnterTimestampMonotonic,InactiveExitTimestampMonotonic,ControlGroup,"
    "ConditionResult"
)
_POWER = re.compile(
    r"(systemd-)?(soft-reboot|reboot|poweroff|halt|kexec|exit|shutdown|umount|final|rescue|emergency|sleep|suspend"
    r"|hibernate|hybrid-sleep|suspend-then-hibernate|ctrl-alt-del|runlevel[016])\.(target|service)"
)
_STATES: Mapping[str, State] = {
    "active": "running",
    "reloading": "running",
    "refreshing": "running",
    "activating": "starting",
    "deactivating": "stopping",
    "failed": "failed",
}  # every other: stopped
_EXITED = "1"  # ExecMainCode: it ended by itself (CLD_EXITED); 2 and 3: by a signal


def check(unit: Unit, *, starts: bool) -> None:  # noqa: ARG001 -- systemd always knows how to start
    """Refuse what is no unit's name, and what systemd is never told."""
    if unit.name.startswith("/"):
        raise Invalid(f"{unit.name} is a path, so a pidfile: leave out `manager`, or write `manager: pidfile`")
    if not _NAME.fullmatch(unit.name):
        raise Invalid(f"`{unit.name}` is no unit's name: write letters, digits and `:_.@-`, as in vllm or vllm@1")
    for name in ("start", "stop", "cwd", "log"):
        if getattr(unit, name):
            raise Invalid(f"`{name}` is for pidfiles; systemd has it in the unit's own file")


def look(host: Host, unit: Unit) -> Daemon:
    """Ask systemd about the unit; look at processes only where they can tell more."""
    seen = _properties(host, unit)
    state = _state(seen)
    main = int(seen.get("MainPID") or 0)
    control = int(seen.get("ControlPID") or 0)
    alive = state == "running" or bool(main) or (state == "starting" and bool(control))
    own, orphans = _around(host, unit, seen.get("ControlGroup", ""), main, alive=alive)
    return Daemon(
        state,
        alive,
        pid=main or None,
        identity=(main, seen.get("ExecMainStartTimestampMonotonic"), seen.get("ActiveEnterTimestampMonotonic")),
        restarts=int(seen["NRestarts"]) if seen.get("NRestarts", "").isdigit() else UNSEEN,
        uptime=_uptime(host, seen, main) if alive else None,
        exit_code=_exit_code(seen, main),
        own=own,
        orphans=tuple(orphans),
        reason=_reason(seen),
        group=seen.get("ControlGroup", ""),
        ended=state == "failed" or (state == "stopped" and seen.get("ConditionResult") == "no"),
    )


def start(host: Host, unit: Unit) -> List[Action]:
    """Start it when it is down; wait for a start that another began."""
    _no_power(unit)
    seen = _existing(host, unit)
    if _state(seen) == "running":
        return []
    if _others_start(host, unit, seen):
        return [_active(host, unit)]
    return [*_reset(host, unit, seen), _order(host, unit, "start"), *_awaited(host, unit, seen)]


def stop(host: Host, unit: Unit) -> List[Action]:
    """Stop it, whatever it does, and wait until systemd calls it stopped."""
    seen = _existing(host, unit)
    if _state(seen) in {"stopped", "failed"}:
        return []
    _spare(host, unit, seen)
    what = f"{unit.name} has stopped"
    return [
        _order(host, unit, "stop"),
        Until(what, lambda: look(host, unit).state in {"stopped", "failed"}, within=unit.within),
    ]


def restart(host: Host, unit: Unit) -> List[Action]:
    """Restart it, or start it when it is down; a start that another began just now is awaited, not cut short."""
    _no_power(unit)
    seen = _existing(host, unit)
    if _others_start(host, unit, seen):
        return [_active(host, unit)]
    _spare(host, unit, seen)
    return [*_reset(host, unit, seen), _order(host, unit, "restart"), *_awaited(host, unit, seen)]


def _no_power(unit: Unit) -> None:
    """To start one of these units is to take the host away, and its name may be what somebody wrote on the host."""
    if _POWER.fullmatch(unit.name):
        raise Refused(f"{unit.name} is no daemon: starting it would take the host away; there is the step `reboot`")


def _spare(host: Host, unit: Unit, seen: Mapping[str, str]) -> None:
    """A unit that ends its main process alone, as sshd's does, leaves us alive in its group."""
    group, main = seen.get("ControlGroup", ""), int(seen.get("MainPID") or 0) or None
    try:
        spare(host, unit.name, main, group)
    except Refused:
        kills = _systemctl(host, unit.scope, "show", "--property=KillMode", "--", unit.name).stdout.strip()
        if kills not in ("KillMode=process", "KillMode=none"):
            raise


def _order(host: Host, unit: Unit, verb: str) -> Run:
    scope = ("--user",) if unit.scope == "user" else ()
    env = {"XDG_RUNTIME_DIR": _runtime(host)} if scope else {}
    return Run(("systemctl", *scope, "--no-ask-password", verb, "--", unit.name), env=env)


def _reset(host: Host, unit: Unit, seen: Mapping[str, str]) -> List[Action]:
    """A unit that failed too often is not started again before its failures are forgotten."""
    return [_order(host, unit, "reset-failed")] if _state(seen) == "failed" else []


def _awaited(host: Host, unit: Unit, seen: Mapping[str, str]) -> List[Action]:
    """A oneshot's start is its whole run: systemctl waits for it, and it is not active afterwards."""
    return [] if seen.get("Type") == "oneshot" else [_active(host, unit)]


def _active(host: Host, unit: Unit) -> Until:
    advice = f"see journalctl {'--user ' if unit.scope == 'user' else ''}-u {unit.name}"
    steady = Steady(host, lambda: look(host, unit), unit.settle, advice)
    return Until(f"{unit.name} is active and stays so for {unit.settle:g} s", steady, within=unit.within)


def _others_start(host: Host, unit: Unit, seen: Mapping[str, str]) -> bool:
    """Whether a start is under way that may still end well: one that began less than `within` ago.

    Waiting between two of systemd's own restarts (auto-restart) is no start.
    """
    if _state(seen) != "starting" or seen.get("SubState", "").startswith("auto-restart"):
        return False
    return _since(host, seen.get("InactiveExitTimestampMonotonic", "0")) < unit.within


def _existing(host: Host, unit: Unit) -> Mapping[str, str]:
    """Return what systemd says of a unit that can be started and stopped.

    Raises:
        Failed: there is none of that name, it is masked, or its file does not load.
    """
    seen = _properties(host, unit)
    if _state(seen) == "missing":
        near = _nearest(host, unit)
        raise Failed(f"there is no unit {unit.name}" + (f"; did you mean {near}?" if near else ""))
    if seen.get("LoadState") == "masked":
        raise Failed(f"{unit.name} is masked, so that nobody starts it; allow it with `systemctl unmask {unit.name}`")
    if seen.get("LoadState") in {"error", "bad-setting"}:
        raise Failed(f"the file of {unit.name} does not load; see `systemd-analyze verify {_full(unit.name)}`")
    return seen


def _nearest(host: Host, unit: Unit) -> Optional[str]:
    import difflib  # costs an agent's start, and only a typo needs it

    known = set()
    for listing in (("list-unit-files",), ("list-units", "--all")):
        done = _systemctl(host, unit.scope, *listing, "--no-legend", "--plain", "--no-pager")
        known |= {line.split()[0] for line in done.stdout.split("\n") if line.split()}
    shorter = {name.removesuffix(".service") for name in known}
    return next(iter(difflib.get_close_matches(unit.name, sorted(shorter), n=1, cutoff=0.6)), None)


def _properties(host: Host, unit: Unit) -> Dict[str, str]:
    done = _systemctl(host, unit.scope, "show", f"--property={_ASKED}", "--", unit.name)
    if done.exit_code != 0:
        raise _silent(done, unit.scope)
    pairs = (line.partition("=") for line in done.stdout.split("\n"))
    return {name: value for name, _, value in pairs}


def _systemctl(host: Host, scope: Scope, *words: str) -> Completed:
    if host.which("systemctl") is None:
        raise Absent("systemd is not running here: there is no systemctl")
    if scope == "user":
        return host.run("systemctl", "--user", *words, env={"XDG_RUNTIME_DIR": _runtime(host)})
    return host.run("systemctl", *words)


def _runtime(host: Host) -> str:
    """Where a user's systemd listens: cron and plain ssh commands are not told."""
    return host.env.get("XDG_RUNTIME_DIR") or f"/run/user/{host.uid()}"


def _silent(done: Completed, scope: Scope) -> Exception:
    """Return why systemctl gave no answer: nobody is there to ask (Absent), or asking failed (Unclear)."""
    said = " ".join(done.stderr.split())
    nobody = ("not been booted with systemd", "No such file or directory", "No medium found", "Host is down")
    if any(words in said for words in nobody):
        whose = "no systemd of this user is running here (`loginctl enable-linger` keeps one)"
        return Absent(whose if scope == "user" else "systemd is not running here")
    return Unclear(f"systemctl did not answer: {said or f'exit code {done.exit_code}'}")


def _state(seen: Mapping[str, str]) -> State:
    active = seen.get("ActiveState", "")
    if seen.get("LoadState") == "not-found" and active == "inactive":
        return "missing"
    return _STATES.get(active, "stopped")


def _exit_code(seen: Mapping[str, str], main: int) -> Optional[int]:
    code, status = seen.get("ExecMainCode", "0"), seen.get("ExecMainStatus", "")
    if main or code == "0" or not status.isdigit():
        return None
    return int(status) if code == _EXITED else -int(status)


def _uptime(host: Host, seen: Mapping[str, str], main: int) -> Optional[float]:
    stamp = seen.get("ExecMainStartTimestampMonotonic" if main else "ActiveEnterTimestampMonotonic", "0")
    return _since(host, stamp) if stamp.isdigit() and stamp != "0" else None


def _since(host: Host, stamp: str) -> float:
    """Seconds since one of systemd's monotonic stamps, which count microseconds from the start of the machine."""
    return max(0.0, host.now() - host.boot_time() - int(stamp or 0) / 1e6)


def _reason(seen: Mapping[str, str]) -> str:
    code = _exit_code(seen, 0)
    how = "" if code is None else f", signal {-code}" if code < 0 else f", exit code {code}"
    if seen.get("ActiveState") == "inactive" and seen.get("ConditionResult") == "no":
        return "a Condition of its unit file does not hold"
    return f"{seen.get('ActiveState', '?')} ({seen.get('SubState', '?')}), result {seen.get('Result', '?')}{how}"


def _around(
    host: Host, unit: Unit, group: str, main: int, *, alive: bool
) -> Tuple["frozenset[int]", Sequence[Process]]:
    """Return the unit's own processes and its orphans: what matches outside it, and what its last run left in it."""
    if unit.match is None and (alive or not group):
        return frozenset(), ()
    seen = table(host)
    members = [one for one in seen.by_pid.values() if group and _within(one.cgroup, group)]
    own: Collection[int] = {one.pid for one in members} | seen.tree([main] if main else []) if alive else set()
    candidates = seen.matching(pattern(unit.match)) if unit.match is not None else []
    left = [] if alive else [one for one in members if not one.zombie and one.pid not in seen.ours]
    others = outside(host, seen, {*own, *(one.pid for one in left), *_above(seen, main)}, candidates)
    return frozenset(own), sorted([*left, *others], key=lambda one: one.pid)


def _above(seen: Table, main: int) -> Sequence[int]:
    return seen.ancestors(main) if main else ()


def _within(cgroup: str, group: str) -> bool:
    return cgroup == group or cgroup.startswith(group + "/")


def _full(name: str) -> str:
    return name if "." in name else f"{name}.service"
