"""Daemons that nobody looks after: a file names their process, and may lie about it."""

import os
import re
import stat
from dataclasses import replace
from typing import FrozenSet, List, NamedTuple, Optional, Tuple

from runbook.modules.acting import writable
from runbook.modules.actions import Action, Delete, Entry, Run, Signal, Target, Until
from runbook.modules.daemons.orphans import outside
from runbook.modules.daemons.processes import INIT, Table, pattern, permitted, shortened, table
from runbook.modules.daemons.unit import Daemon, Steady, Unit
from runbook.modules.declare import Failed, Invalid, Refused, Unclear
from runbook.modules.host import Host, Process

SLACK = 10.0  # seconds by which a process may be younger than the file that names it: clocks are set, btime is rounded
_TICKS = os.sysconf("SC_CLK_TCK")  # clock ticks a second in /proc/PID/stat
_LENGTH = 4096
_LINKS = 40  # on the way to a pidfile, as many as the kernel follows
_TRIES = 5  # readings of a pidfile that is replaced at the same time


class Pidfile(NamedTuple):
    """What a pidfile says, and whom it has to be believed."""

    pid: Optional[int]
    written: float
    writers: FrozenSet[int]  # users who could have written it: its owner, and those of the links that lead to it


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
    named = found.pid
    if named is None:
        return Daemon("stale", alive=False, orphans=_orphans(host, unit, seen, None), reason="its pidfile names no pid")
    if named not in seen.by_pid:
        seen = table(host, anew=True)  # a look before this one may have taken the picture before it started
    process = seen.by_pid.get(named)
    if process is None:
        _visible(host, seen, named)
        orphans = _orphans(host, unit, seen, named, left_by=found)
        return Daemon("stale", alive=False, orphans=orphans, reason=f"process {named} is gone")
    if process.zombie:
        orphans = _orphans(host, unit, seen, named, left_by=found)
        reason = f"process {named} is dead, but its parent {process.parent} has not taken note of it"
        return Daemon("zombie", alive=False, pid=named, orphans=orphans, reason=reason)
    stranger = _stranger(host, unit, process, found)
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
    if not unit.start:
        raise Failed(f"{unit.name} does not say how to start the daemon: add `start: [program, argument, …]`")
    if "/" not in unit.start[0] and host.which(unit.start[0]) is None:
        raise Failed(f"`start`: the program `{unit.start[0]}` is not on the agent's PATH")
    what = f"{unit.name} names a living process that stays for {unit.settle:g} s"
    if not discarded and os.path.lexists(unit.name):
        what += " (its old pidfile was left in place, because it does not lie in `writable`)"
    advice = f"see {unit.log}" if unit.log else "give it a `log` to see why"
    before = _read(unit.name) if not discarded else None
    steady = Steady(host, lambda: _started(host, unit, before), unit.settle, advice)
    begin = Run(unit.start, cwd=unit.cwd, detach=True, log=unit.log)
    return [*discarded, begin, Until(what, steady, within=unit.within)]


def _started(host: Host, unit: Unit, before: Optional[Pidfile]) -> Daemon:
    """Look at a daemon that was begun: a new pidfile of a dead process, or no trace at all, is its end."""
    daemon = look(host, unit)
    if daemon.alive:
        return daemon
    written = _read(unit.name)
    if written is not None and written.pid is not None and written != before:
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
    signal = Signal(targets, grace=unit.grace, tree=True)
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


def _read(path: str) -> Optional[Pidfile]:
    """Return what a pidfile says; None without a file.

    Raises:
        Unclear: it can't be read, or is no file.
    """
    for _ in range(_TRIES):
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
        authors = writers(path, about)
        if authors is not None:
            number = re.match(rb"\s*(\d{1,10})\b", first)  # PostgreSQL writes more lines below
            pid = int(number[1]) if number else 0
            return Pidfile(pid if pid > INIT else None, about.st_mtime, authors)
    raise Unclear(f"{path} is replaced again and again while it is read")


def writers(path: str, about: os.stat_result) -> Optional[FrozenSet[int]]:
    """Return who could have made a path lead to this file; None when it leads to another one by now."""
    owners = {about.st_uid}
    here, links = "/", 0
    ahead = path.split("/")[::-1]
    try:
        while ahead:
            here = os.path.normpath(os.path.join(here, ahead.pop()))
            if not stat.S_ISLNK((seen := os.lstat(here)).st_mode):
                continue
            owners.add(seen.st_uid)
            ahead += os.readlink(here).split("/")[::-1]
            here = "/" if ahead[-1] == "" else os.path.dirname(here)
            links += 1
            if links > _LINKS:
                return None
        seen = os.lstat(here)
    except OSError:
        return None
    return frozenset(owners) if (seen.st_dev, seen.st_ino) == (about.st_dev, about.st_ino) else None


def _forger(host: Host, process: Process, writers: FrozenSet[int]) -> Optional[int]:
    """Return a user who could have written the pidfile and has no business with the process; root always has."""
    return min(writers - {0, host.uid(), process.uid}, default=None)


def _stranger(host: Host, unit: Unit, process: Process, found: Pidfile) -> str:
    """Why a living process is not the one that the pidfile meant; empty when it is."""
    forger = _forger(host, process, found.writers)
    if forger is not None:
        about = f"process {process.pid}, which runs as uid {process.uid}"
        return f"the pidfile is not believed about {about}: uid {forger} could have written it"
    if unit.match is not None and not pattern(unit.match).search(process.command):
        return f"process {process.pid} is another one now ({shortened(process)})"
    if _began(host, process) > found.written + SLACK:
        return f"process {process.pid} is younger than the pidfile, so it is another one ({shortened(process)})"
    return ""


def _began(host: Host, process: Process) -> float:
    return host.boot_time() + process.started / _TICKS


def _visible(host: Host, seen: Table, pid: int) -> None:
    """Raise `Unclear` where the kernel hides other users' processes: such a pid may well be alive."""
    if INIT not in seen.by_pid and host.uid() != 0:
        raise Unclear(f"process {pid} can't be seen: /proc hides other users' processes here; set `become: true`")


def _orphans(
    host: Host,
    unit: Unit,
    seen: Table,
    main: Optional[int],
    own: "Optional[set[int]]" = None,
    left_by: Optional[Pidfile] = None,
) -> Tuple[Process, ...]:
    """Return what matches outside the daemon, and what is left of the session of a dead one."""
    candidates = {one.pid: one for one in (seen.matching(pattern(unit.match)) if unit.match is not None else ())}
    if left_by is not None:
        candidates.update({one.pid: one for one in _left(host, unit, seen, left_by)})
    mine = {*(own or ()), *(seen.ancestors(main) if main is not None else ())}
    return tuple(outside(host, seen, mine, sorted(candidates.values(), key=lambda one: one.pid)))


def _left(host: Host, unit: Unit, seen: Table, found: Pidfile) -> List[Process]:
    """Return the session of a dead daemon, as far as it is surely its own: numbers are given out again."""
    leader = seen.by_pid.get(found.pid or 0)
    latest = found.written + SLACK
    held = leader is not None and _began(host, leader) <= latest  # a zombie keeps its number, and so its session
    regex = pattern(unit.match) if unit.match is not None else None
    members = (seen.by_pid[pid] for pid in seen.session(found.pid or 0) - {found.pid})
    return [
        one
        for one in members
        if not one.zombie
        and (held or _began(host, one) <= latest)
        and (regex is None or regex.search(one.command))
        and _forger(host, one, found.writers) is None
    ]
