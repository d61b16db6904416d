"""Running a build tool: what it prints goes to the log and to the step, and it ends with all that it started.

Build tools start each compiler in a process group of its own, so a signal to the group is not enough: whatever lies
below this process goes, and orphans come back to it to be seen.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import time
from typing import Mapping, Optional, Sequence

from runbook.modules import child
from runbook.modules.acting.hands import Hands
from runbook.modules.declare import Failed

_SET_CHILD_SUBREAPER, _SET_PDEATHSIG = 36, 1
_GRACE = 3.0  # seconds between TERM and KILL
_LINGERING = 0.5  # seconds for which output is awaited after the tool's end
_BLOCK = 1 << 16


def run(hands: Hands, argv: Sequence[str], cwd: str, env: Mapping[str, str], log: int, keep: Sequence[int] = ()) -> int:
    """Run a program to its end and return its exit code; negative: the signal that ended it.

    Args:
        hands: gets its output and its progress.
        argv: the program.
        cwd: where it works.
        env: added to the environment.
        log: a descriptor that gets everything that it prints.
        keep: descriptors that it holds open as well, such as a lock.

    Raises:
        Failed: it can't be started.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def bound() -> None:
        libc.prctl(_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)  # killed without a word, this process leaves nothing

    try:
        program = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **env},
            cwd=cwd,
            start_new_session=True,
            pass_fds=tuple(keep),
            preexec_fn=bound,  # noqa: PLW1509 -- this process has one thread
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        where = f" in {cwd}" if not os.path.isdir(cwd) else ""
        raise Failed(f"{argv[0]} can't be started{where}: {reason}") from error
    try:
        _listen(program, hands, log)
        return program.wait()
    except BaseException:
        signal.setitimer(signal.ITIMER_REAL, 0.0)  # its time is over once; ending it takes some of its own
        _end(program)
        raise
    finally:
        if program.stdout is not None:
            program.stdout.close()


def _listen(program: "subprocess.Popen[bytes]", hands: Hands, log: int) -> None:
    assert program.stdout is not None
    pipe = program.stdout.fileno()
    os.set_blocking(pipe, False)
    poller = select.poll()
    poller.register(pipe, select.POLLIN)
    patience = None
    while patience is None or time.monotonic() < patience:
        if patience is None and program.poll() is not None:
            patience = time.monotonic() + _LINGERING
        if not poller.poll(100):
            continue
        try:
            data = os.read(pipe, _BLOCK)
        except BlockingIOError:
            continue
        if not data:
            return
        _keep(log, data)
        hands.output.add(data)
        line = hands.output.last_line(ended=True)
        hands.share = _share(line)
        hands.progress(line)


def _share(line: str) -> Optional[float]:
    """Return how far a build is, by `[12/340]` of ninja or `[ 42%]` of make, from 0 to 1."""
    if not line.startswith("["):
        return None
    inside = line[1 : max(line.find("]"), 1)].strip()
    done, slash, whole = inside.partition("/")
    if slash and done.isdigit() and whole.isdigit() and int(whole):
        return min(1.0, int(done) / int(whole))
    return int(inside[:-1]) / 100 if inside.endswith("%") and inside[:-1].isdigit() else None


def _keep(log: int, data: bytes) -> None:
    """Write to the log; a full disk is told by the build itself, and does not end it."""
    rest = memoryview(data)
    with contextlib.suppress(OSError):
        while rest:
            rest = rest[os.write(log, rest) :]


def _end(program: "subprocess.Popen[bytes]") -> None:
    """End a program and all that it started: TERM, and KILL for what does not listen."""
    own = os.getpid()
    until = time.monotonic() + _GRACE
    _signal(child.descendants(own), signal.SIGTERM)
    while time.monotonic() < until and _living(own):
        time.sleep(0.02)
    until = time.monotonic() + _GRACE
    while time.monotonic() < until and _living(own):
        _signal(child.descendants(own), signal.SIGKILL)  # again: one may have started another meanwhile
        time.sleep(0.02)
    with contextlib.suppress(subprocess.TimeoutExpired):
        program.wait(_GRACE)


def _living(own: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    return bool(child.descendants(own))


def _signal(pids: Sequence[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
