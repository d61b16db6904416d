"""The agent's forked children: started with a pipe each, heard through it, killed with all that they started."""

import contextlib
import os
import select
import signal
import sys
import time
import traceback
from typing import Any, Callable, Dict, List, Optional

from runbook.modules import wire

Write = Callable[[bytes], None]


class Child:
    """A process that does one thing for the agent and tells it what became of it."""

    def __init__(self, pid: int, answers: int, deadline: float) -> None:
        self.pid = pid
        self.answers = answers
        self.deadline = deadline  # on the monotonic clock
        self._reader = wire.Reader()

    def hear(self) -> Optional[List[Dict[str, Any]]]:
        """Return what it said by now; None when it has nothing more to say."""
        try:
            data = os.read(self.answers, 1 << 20)
        except BlockingIOError:
            return []
        return self._reader.feed(data) if data else None

    def end(self) -> int:
        """Reap it and return how it ended, as `os.waitstatus_to_exitcode` says it."""
        os.close(self.answers)
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)

    def kill(self) -> None:
        """Kill it and whatever it started that is still below it."""
        for pid in [self.pid, *descendants(self.pid)]:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def fork(work: Callable[[Write], None], deadline: float, leave: List[int]) -> Child:
    """Start a child that does `work` in a session of its own and without the descriptors in `leave`."""
    answers, theirs = os.pipe()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        os.close(theirs)
        os.set_blocking(answers, False)
        return Child(pid, answers, deadline)
    code = 1
    try:
        os.setsid()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        for descriptor in [*leave, answers]:
            os.close(descriptor)
        work(lambda data: _write(theirs, data))
        code = 0
    except BaseException:  # noqa: BLE001 -- nothing may escape into the agent's own loop
        with contextlib.suppress(OSError):
            traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stderr.flush()
        os._exit(code)


def _write(descriptor: int, data: bytes) -> None:
    """Tell the agent; when it is gone, what matters is in the ledger."""
    rest = memoryview(data)
    with contextlib.suppress(BrokenPipeError):
        while rest:
            rest = rest[os.write(descriptor, rest) :]


def descendants(ancestor: int) -> List[int]:
    """Return the processes below one, by what /proc says at this moment."""
    children: Dict[int, List[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{name}/stat", "rb") as file:
                children.setdefault(int(file.read().rpartition(b")")[2].split()[1]), []).append(int(name))
    found: List[int] = []
    ahead = [ancestor]
    while ahead:
        below = children.get(ahead.pop(), [])
        found += below
        ahead += below
    return found


def poll(descriptors: List[int], writable: Optional[int], deadline: Optional[float]) -> "tuple[List[int], bool]":
    """Wait until something can be read (or written), or the deadline is there."""
    poller = select.poll()
    for descriptor in descriptors:
        poller.register(descriptor, select.POLLIN)
    if writable is not None:
        poller.register(writable, select.POLLOUT)
    patience = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000 + 1
    ready = [descriptor for descriptor, _ in poller.poll(patience)]
    return [descriptor for descriptor in ready if descriptor != writable], writable in ready
