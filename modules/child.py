"""The agent's forked children: started with a pipe each, heard through it, killed with all that they started."""

import contextlib
import gc
import os
import select
import signal
import sys
import time
from typing import Any, Callable, Dict, List, Optional, Sequence

from runbook.modules import wire

Write = Callable[[bytes], None]
NEVER = float("inf")
_REAP = 0.5  # seconds
_undying: List[int] = []
kept: List[int] = []  # descriptors that every child keeps


class Child:
    """A process that does one thing for the agent and tells it what became of it."""

    def __init__(self, pid: int, answers: int, deadline: float, reader: Any = None) -> None:
        self.pid = pid
        self.answers = answers
        self.deadline = deadline  # on the monotonic clock
        self.heard = 0  # bytes that came at the last hearing
        self._reader = wire.Reader() if reader is None else reader

    def hear(self) -> Optional[List[Dict[str, Any]]]:
        """Return what it said by now; None when it has nothing more to say."""
        try:
            data = os.read(self.answers, 1 << 20)
        except BlockingIOError:
            return []
        self.heard = len(data)
        return list(self._reader.feed(data)) if data else None

    def end(self) -> int:
        """Reap it and return how it ended: an exit code, or a signal as a negative number.

        One that does not die (it hangs in the kernel, on a file server that is gone) is reaped later.
        """
        os.close(self.answers)
        patience, pause = time.monotonic() + _REAP, 0.0005
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > patience:
                _undying.append(self.pid)
                return -int(signal.SIGKILL)
            time.sleep(pause)
            pause = min(2 * pause, 0.02)  # on a busy machine it may have to wait for a processor to die on

    def runs(self) -> bool:
        """Tell whether it is at work, or would be if there were a processor for it: it waits for nothing else."""
        try:
            with open(f"/proc/{self.pid}/stat", "rb", buffering=0) as file:
                return file.read(512).rpartition(b") ")[2].startswith(b"R")
        except OSError:
            return False

    def kill(self) -> None:
        """Kill it and whatever it started that is still below it."""
        for pid in [self.pid, *descendants(self.pid)]:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def fork(work: Callable[[Write], None], deadline: float, keep: Sequence[int] = (), reader: Any = None) -> Child:
    """Start a child that does `work` in a session of its own, with no descriptor of the agent's but those in `keep`.

    What it says are frames, unless another `reader` puts it together.
    """
    reap()
    answers, theirs = os.pipe()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        os.close(theirs)
        os.set_blocking(answers, False)
        return Child(pid, answers, deadline, reader)
    code = 1
    try:
        gc.freeze()  # what was there before is not looked through, which would copy all of it
        gc.enable()
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        for name in os.listdir("/proc/self/fd"):
            if int(name) > 2 and int(name) not in {theirs, *keep, *kept}:
                with contextlib.suppress(OSError):  # the one that the listing itself went through
                    os.close(int(name))
        work(lambda data: _write(theirs, data))
        code = 0
    except BaseException:  # noqa: BLE001 -- nothing may escape into the agent's own loop
        import traceback

        with contextlib.suppress(OSError):
            traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stderr.flush()
        os._exit(code)


def reap() -> None:
    """Reap what has died at last."""
    for pid in list(_undying):
        if os.waitpid(pid, os.WNOHANG)[0]:
            _undying.remove(pid)


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


def poll(descriptors: List[int], writable: Optional[int], deadline: float) -> "tuple[List[int], bool]":
    """Wait until something can be read (or written), or the deadline is there."""
    poller = select.poll()
    for descriptor in descriptors:
        poller.register(descriptor, select.POLLIN)
    if writable is not None:
        poller.register(writable, select.POLLOUT)
    patience = None if deadline == NEVER else max(0.0, deadline - time.monotonic()) * 1000 + 1
    ready = [descriptor for descriptor, _ in poller.poll(patience)]
    return [descriptor for descriptor in ready if descriptor != writable], writable in ready
