"""Processes held by pidfds so that none is mistaken for another, and what they start while they are being ended."""

import os
import signal
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Set

from runbook.modules.actions import Target
from runbook.modules.declare import Failed


class Stat(NamedTuple):
    """What /proc/PID/stat says of a process."""

    state: str
    parent: int
    session: int
    started: int  # clock ticks since boot


def stat(pid: int) -> Optional[Stat]:
    """Return what the kernel says of a process; None when there is none of that number."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return Stat(fields[0].decode(), int(fields[1]), int(fields[3]), int(fields[19]))


def pidfd(pid: int) -> Optional[int]:
    """Return a descriptor that names a process for good; None when it is gone, or the kernel has none."""
    try:
        return os.pidfd_open(pid)
    except (OSError, AttributeError):  # gone, or a kernel before 5.3
        return None


def ancestors() -> Set[int]:
    """Return this process and all that it runs under."""
    found: Set[int] = set()
    pid = os.getpid()
    while pid > 0 and pid not in found:
        found.add(pid)
        seen = stat(pid)
        pid = 0 if seen is None else seen.parent
    return found


class Held:
    """A process that was found to be the one that is meant, by a pidfd where the kernel has them."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.pidfd = pidfd(target.pid)
        seen = stat(target.pid)
        self.leads = seen is not None and seen.started == target.started and seen.session == target.pid
        if self.gone:  # only now, when the number can't pass to another process under our eyes
            self.close()

    @property
    def gone(self) -> bool:
        """It ended; a zombie has ended too."""
        seen = stat(self.target.pid)
        return seen is None or seen.started != self.target.started or seen.state in {"Z", "X"}

    @property
    def state(self) -> str:
        """As in /proc/PID/stat: T is stopped, D hangs in the kernel, where no signal reaches it; empty when gone."""
        seen = stat(self.target.pid)
        return seen.state if seen is not None and seen.started == self.target.started else ""

    def send(self, number: int) -> bool:
        """Signal it; false when it is gone."""
        try:
            if self.gone:
                return False
            if self.pidfd is not None:
                signal.pidfd_send_signal(self.pidfd, number)
            else:
                os.kill(self.target.pid, number)
        except ProcessLookupError:
            return False
        except PermissionError as error:
            raise Failed(f"pid {self.target.pid} ({self.target.name or '?'}): not ours to signal") from error
        return True

    def close(self) -> None:
        """Let go of it."""
        if self.pidfd is not None:
            os.close(self.pidfd)
            self.pidfd = None


class Family:
    """Processes, and what descends from them or lies in a session that one of them leads."""

    def __init__(self, held: Sequence[Held], *, grows: bool) -> None:
        self.held: List[Held] = list(held)
        self._grows = grows
        self._known: Dict[int, int] = {one.target.pid: one.target.started for one in held}
        self._sessions = {one.target.pid: one.target.started for one in held if one.leads}
        self._ours = ancestors()

    def left(self) -> List[Held]:
        """Return those that are still there."""
        return [one for one in self.held if not one.gone]

    def grown(self) -> List[Held]:
        """Hold what they have started since, and return it; nothing where only they are meant."""
        found: List[Held] = []
        seen = {pid: about for pid in _pids() if (about := stat(pid)) is not None} if self._grows else {}
        while born := [pid for pid, about in seen.items() if self._belongs(pid, about, seen)]:
            found += [self._hold(pid, seen[pid]) for pid in born]
        return found

    def _belongs(self, pid: int, about: Stat, seen: "Dict[int, Stat]") -> bool:
        if pid in self._known and self._known[pid] == about.started:
            return False
        if about.state in {"Z", "X"} or pid <= 1 or pid in self._ours or not _permitted(pid):
            return False
        parent = seen.get(about.parent)
        if parent is not None and self._known.get(about.parent) == parent.started:
            return True
        begun = self._sessions.get(about.session)
        leader = seen.get(about.session)  # a session's number stays taken while one of its processes lives
        return begun is not None and (leader is None or leader.started == begun) and about.started >= begun

    def _hold(self, pid: int, about: Stat) -> Held:
        self._known[pid] = about.started
        held = Held(Target(pid, about.started, _command(pid)))
        if held.leads:
            self._sessions[pid] = about.started
        self.held.append(held)
        return held

    def close(self) -> None:
        """Let go of all."""
        for one in self.held:
            one.close()


def _pids() -> Iterable[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _permitted(pid: int) -> bool:
    try:
        return os.geteuid() in {0, os.stat(f"/proc/{pid}").st_uid}
    except OSError:
        return False


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""
