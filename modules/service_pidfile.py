"""Daemons that nobody looks after: a file names their process, and may lie about it."""

import os
import re
import stat
from dataclasses import replace
from typing import List, Optional, Tuple

from runbook.modules import writable
from runbook.modules.actions import Action, Delete, Entry, Run, Signal, Target, Until
from runbook.modules.declare import Failed, Invalid, Refused, Unclear
from runbook.modules.host import Host, Process
from runbook.modules.orphans import outside
from runbook.modules.processes import INIT, Table, pattern, permitted, shortened, table
from runbook.modules.unit import Daemon, Steady, Unit

SLACK = 10.0  # seconds by which a process may be younger than the file that names it: clocks are set, btime is rounded
_TICKS = os.sysconf("SC_CLK_TCK")  # clock ticks a second in /proc/PID/stat
_LENGTH = 4096


def check(unit: Unit, *, starts: bool) -> None:
    """A path, and a way to start what it names."""
    if not unit.name.startswith("/"):
        raise Invalid(f"`{unit.name}` is no pidfile: write its absolute path")
    if unit.scope == "user":
        raise Invalid("`scope: user` is for systemd; a pidfile has no scope")
    if starts and not unit.start:
        raise Invalid(f"{unit.name} does not say how to start the daemon: add `start: [program, argument, …]`")


def look(host: Host, unit: Unit) -> Daemon:
    """Read the pidfile and judge whether the process that it names is the daemon."""
    found = _read(unit.name)
    seen = table(host)
    if found is None:
        return Daemon("stopped", alive=False, orphans=_orphans(host, unit, seen, None), reason="it has no pidfile")
    named, written = found
    if named is None:
        return Daemon("stale", alive=False, orphans=_orphans(host, unit, seen, None), reason="its pidfile names no pid")
    process = seen.by_pid.get(named)
    if process is None:
        _visible(host, seen, named)
        orphans = _orphans(host, unit, seen, named)
        return Daemon("stale", alive=False, orphans=orphans, reason=f"process {named} is gone")
    if process.zombie:
        orphans = _orphans(host, unit, seen, named)
        reason = f"process {named} is dead, but its parent {process.parent} has not taken note of it"
        return Daemon("zombie", alive=False, pid=named, orphans=orphans, reason=reason)
    stranger = _stranger(host, unit, process, written)
    if stranger:
        return Daemon("stale", alive=False, orphans=_orphans(host, unit, seen, None), reason=stranger)
    own = seen.tree([named]) | (seen.session(named) if process.session == named else set())
    return Daemon(
        "running",
        alive=True,
        pid=named,
        identity=(named, process.started),
        uptime=max(0.0, host.now() - _began(host, process)),
        own=frozenset(own),
        orphans=_orphans(host, unit, seen, named, own),
    )


def start(host: Host, unit: Unit) -> List[Action]:
    """Start it when it is down, without the stale pidfile that would keep it from starting."""
    daemon = look(host, unit)
    return [] if daemon.alive else _start(host, unit, _discard(host, unit))


def stop(host: Host, unit: Unit) -> List[Action]:
    """End its whole tree, and remove what its pidfile says."""
    daemon = look(host, unit)
    return [*_end(host, unit, daemon), *_discard(host, unit)] if daemon.alive else []


def restart(host: Host, unit: Unit) -> List[Action]:
    """End its whole tree when it lives, then start it."""
    daemon = look(host, unit)
    return [*(_end(host, unit, daemon) if daemon.alive else []), *_start(host, unit, _discard(host, unit))]


def _start(host: Host, unit: Unit, discarded: List[Action]) -> List[Action]:
    if "/" not in unit.start[0] and host.which(unit.start[0]) is None:
        raise Failed(f"`start`: there is no program {unit.start[0]} on the agent's PATH")
    what = f"{unit.name} names a living process that stays for {unit.settle:g} s"
    if not discarded and os.path.lexists(unit.name):
        what += " (its old pidfile was left in place, because it does not lie in `writable`)"
    advice = f"see {unit.log}" if unit.log else "give it a `log` to see why"
    before = _read(unit.name) if not discarded else None
    steady = Steady(host, lambda: _started(host, unit, before), unit.settle, advice)
    begin = Run(unit.start, cwd=unit.cwd, detach=True, log=unit.log)
    return [*discarded, begin, Until(what, steady, within=unit.within)]


def _started(host: Host, unit: Unit, before: Optional[Tuple[Optional[int], float]]) -> Daemon:
    """Look at a daemon that was begun: a new pidfile of a dead process, or no trace at all, is its end."""
    daemon = look(host, unit)
    if daemon.alive:
        return daemon
    written = _read(unit.name)
    if written is not None and written[0] is not None and written != before:
        return replace(daemon, ended=True)
    if unit.match is None:
        return daemon  # whatever is being started may look like anything
    seen = table(host)
    begun = seen.matching(pattern(unit.match)) or [one for one in seen.strangers() if _launches(one.argv, unit.start)]
    return daemon if begun else replace(daemon, ended=True, reason="nothing of it is left")


def _launches(argv: Tuple[str, ...], start: Tuple[str, ...]) -> bool:
    """Whether a process is the start command: itself, run by an interpreter, or what `env` or `nice` became."""
    shorter = min(len(argv), len(start))
    return argv[-shorter:] == start[-shorter:]


def _end(host: Host, unit: Unit, daemon: Daemon) -> List[Action]:
    """Signal the main process and its tree; a `stop` command gets its `grace` before that."""
    seen = table(host)
    main = seen.by_pid.get(daemon.pid or 0)
    if main is None:
        return []  # it ended while we looked
    permitted(host, [main])
    pids = [main.pid, *sorted(daemon.own - {main.pid} - seen.ours - {INIT})]
    doomed = [seen.by_pid[pid] for pid in pids if pid in seen.by_pid and not seen.by_pid[pid].zombie]
    targets = tuple(Target(one.pid, one.started, shortened(one)) for one in permitted(host, doomed))
    signal = Signal(targets, grace=unit.grace)
    if not unit.stop:
        return [signal]
    return [Run(unit.stop, cwd=unit.cwd), _asked(host, unit, targets[0]), signal]


def _asked(host: Host, unit: Unit, main: Target) -> Until:
    """Wait for a daemon that was asked to stop; what is left after its grace is for the signals that follow."""
    until = host.now() + unit.grace

    def over() -> bool:
        still = {one.pid: one for one in host.processes()}.get(main.pid)
        return host.now() >= until or still is None or still.zombie or still.started != main.started

    return Until("the time to stop by itself is over", over, within=unit.grace + 5.0)


def _discard(host: Host, unit: Unit) -> List[Action]:
    """Delete the pidfile where the runbook lets us; elsewhere it stays."""
    try:
        writable.covering(unit.name, host.writable)
        seen = os.lstat(unit.name)
    except (Refused, OSError):
        return []
    directory, name = os.path.split(unit.name)
    return [Delete(directory, (Entry(name, seen.st_dev, seen.st_ino, seen.st_size),))]


def _read(path: str) -> Optional[Tuple[Optional[int], float]]:
    """Return the pid that a file names (None: none) and when it was written; None without a file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unclear(f"{path} can't be read: {error.strerror}") from error
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise Unclear(f"{path} is not a file, so it is no pidfile")
        first = os.read(descriptor, _LENGTH)
    finally:
        os.close(descriptor)
    number = re.match(rb"\s*(\d{1,10})\b", first)  # PostgreSQL writes more lines below
    pid = int(number[1]) if number else 0
    return (pid if pid > INIT else None, about.st_mtime)


def _stranger(host: Host, unit: Unit, process: Process, written: float) -> str:
    """Why a living process is not the one that the pidfile meant; empty when it is."""
    if unit.match is not None and not pattern(unit.match).search(process.command):
        return f"process {process.pid} is another one now ({shortened(process)})"
    if _began(host, process) > written + SLACK:
        return f"process {process.pid} is younger than the pidfile, so it is another one ({shortened(process)})"
    return ""


def _began(host: Host, process: Process) -> float:
    return host.boot_time() + process.started / _TICKS


def _visible(host: Host, seen: Table, pid: int) -> None:
    """Raise `Unclear` where the kernel hides other users' processes: such a pid may well be alive."""
    if INIT not in seen.by_pid and host.uid() != 0:
        raise Unclear(f"process {pid} can't be seen: /proc hides other users' processes here; set `become: true`")


def _orphans(
    host: Host, unit: Unit, seen: Table, main: Optional[int], own: "Optional[set[int]]" = None
) -> Tuple[Process, ...]:
    """Return what matches outside the daemon, and what is left of the session of a dead one."""
    candidates = {one.pid: one for one in (seen.matching(pattern(unit.match)) if unit.match is not None else ())}
    if main is not None and own is None:
        left = (seen.by_pid[pid] for pid in seen.session(main) - {main})
        candidates.update({one.pid: one for one in left if not one.zombie})
    mine = {*(own or ()), *(seen.ancestors(main) if main is not None else ())}
    return tuple(outside(host, seen, mine, sorted(candidates.values(), key=lambda one: one.pid)))
