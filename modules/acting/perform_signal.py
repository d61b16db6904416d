"""Carrying out Signal and Until: processes held by pidfds so that none is mistaken, and waiting by looking."""

import os
import select
import signal
import time
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Set, Tuple

from runbook.modules.acting.hands import Hands, counted
from runbook.modules.actions import Signal, Target, Until
from runbook.modules.declare import Failed, Refused, Unclear

_AFTER_KILL = 5.0  # seconds for a process to go after KILL
_ENDING = {"TERM", "INT", "QUIT", "KILL", "ABRT"}  # signals after which a process is expected to end


def pidfd(pid: int) -> Optional[int]:
    """Return a descriptor that names a process for good; None when it is gone, or the kernel has none."""
    try:
        return os.pidfd_open(pid)
    except (OSError, AttributeError):  # gone, or a kernel before 5.3
        return None


class _Held:
    """A process that was found to be the one that is meant, by a pidfd where the kernel has them."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.pidfd = pidfd(target.pid)
        if self.gone:  # only now, when the number can't pass to another process under our eyes
            self.close()

    @property
    def gone(self) -> bool:
        """It ended; a zombie has ended too."""
        seen = _stat(self.target.pid)
        return seen is None or seen["started"] != self.target.started or seen["state"] in {"Z", "X"}

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


def signal_all(hands: Hands, action: Signal, doing: bool) -> Tuple[str, bool]:
    """Signal processes, wait for their end, kill what stays."""
    word = action.signal.upper()
    word = word.removeprefix("SIG")
    try:
        number = signal.Signals[f"SIG{word}"]
    except KeyError as error:
        raise Failed(f"no signal {action.signal!r}") from error
    ours = _ancestors()
    for target in action.targets:
        if target.pid <= 1 or target.pid in ours:
            whose = "init" if target.pid <= 1 else "this step's own process or one that it runs under"
            raise Refused(f"pid {target.pid} is {whose}; it is not signalled")
    what = f"{word} to {_named(action.targets)}"
    held = [_Held(target) for target in action.targets]
    try:
        there = [process for process in held if not process.gone]
        if not doing:
            return what, bool(there)
        for process in there:
            hands.touched = process.send(number) or hands.touched
        if word not in _ENDING and not action.kill:
            return what, bool(there)
        left = _await(there, action.grace, hands)
        if left and action.kill:
            what += f", KILL to {_named([process.target for process in left])}"
            for process in left:
                process.send(signal.SIGKILL)
            left = _await(left, _AFTER_KILL, hands)
        if left:
            asked = "KILL" if action.kill else word
            raise Failed(f"still there after {asked}: {_named([process.target for process in left])}")
        return what, bool(there)
    finally:
        for process in held:
            process.close()


def _await(processes: Iterable[_Held], seconds: float, hands: Hands) -> List[_Held]:
    """Return those that are still there when the time is over."""
    deadline = time.monotonic() + seconds
    left = [process for process in processes if not process.gone]
    while left and (rest := deadline - time.monotonic()) > 0:
        hands.progress(f"waiting for the end of {_named([process.target for process in left])}")
        poller = select.poll()
        known = [process.pidfd for process in left if process.pidfd is not None]
        for held in known:
            poller.register(held, select.POLLIN)
        poller.poll(min(rest, 1.0 if len(known) == len(left) else 0.05) * 1000 + 1)
        left = [process for process in left if not process.gone]
    return left


def _named(targets: Sequence[Target]) -> str:
    if len(targets) > 5:
        return counted(len(targets), "process", "processes")
    return ", ".join(f"{target.name} ({target.pid})" if target.name else str(target.pid) for target in targets)


def _stat(pid: int) -> Optional[Mapping[str, Any]]:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    found: Dict[str, Any] = {"state": fields[0].decode(), "parent": int(fields[1]), "started": int(fields[19])}
    return found


def _ancestors() -> Set[int]:
    found: Set[int] = set()
    pid = os.getpid()
    while pid > 0 and pid not in found:
        found.add(pid)
        seen = _stat(pid)
        pid = 0 if seen is None else seen["parent"]
    return found


def until(hands: Hands, action: Until, doing: bool) -> Tuple[str, bool]:
    """Look again and again until it holds."""
    if not doing:
        return action.what, False
    deadline = time.monotonic() + action.within
    while True:
        reason = ""
        try:
            if action.holds():
                return action.what, False
        except Unclear as error:
            reason = f" ({error})"
        rest = deadline - time.monotonic()
        if rest <= 0:
            raise Failed(f"did not see that {action.what} within {action.within:g} s{reason}")
        hands.progress(f"waiting until {action.what}")
        time.sleep(min(rest, action.every))
