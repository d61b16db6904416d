"""Carrying out Run: programs in sessions of their own, ended as a group, or left running behind us."""

import contextlib
import os
import select
import shlex
import signal
import subprocess
import time
from typing import Any, Sequence, Tuple

from runbook.modules import cut
from runbook.modules.acting.hands import Hands
from runbook.modules.acting.held import pidfd
from runbook.modules.actions import Run
from runbook.modules.declare import Failed, Refused

_GRACE = 2.0  # seconds between TERM and KILL for a program whose time is over
_SHOWN = 300  # characters of a command line in a report


def shown(argv: Sequence[str]) -> str:
    """Return a command line as a person would type it."""
    line = " ".join(shlex.quote(word) for word in argv)
    return line if len(line) <= _SHOWN else cut.start(line, _SHOWN) + " …"


def run(hands: Hands, action: Run, doing: bool) -> Tuple[str, bool]:
    """Run a program to its end, or start it and leave it running."""
    what = shown(action.argv)
    if action.detach:
        return _detach(hands, action, what, doing)
    if not doing:
        return what, True
    with _started(action, subprocess.PIPE, hands) as program:
        try:
            _listen(program, hands, (action.stdin or "").encode("utf-8", "surrogateescape"))
        except BaseException:
            _stop(program)
            _drain(program, hands)
            raise
    hands.exit_code = program.returncode
    if program.returncode not in action.ok_codes:
        last = hands.output.last_line()
        raise Failed(f"{action.argv[0]}: {_how(program.returncode)}{': ' + last if last else ''}")
    return what, True


def _started(action: Run, output: Any, hands: Hands) -> "subprocess.Popen[bytes]":
    if not action.argv:
        raise Failed("an empty command")
    try:
        program = subprocess.Popen(
            action.argv,
            stdin=subprocess.DEVNULL if action.stdin is None else subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT if output is subprocess.PIPE else output,
            env={**os.environ, **action.env},
            cwd=action.cwd,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        where = f" in {action.cwd}" if action.cwd and not os.path.isdir(action.cwd) else ""
        if isinstance(error, FileNotFoundError) and not where and "/" not in action.argv[0]:
            raise Failed(f"the program `{action.argv[0]}` is not on the agent's PATH") from error
        reason = getattr(error, "strerror", None) or str(error)
        raise Failed(f"{action.argv[0]} can't be started{where}: {reason}") from error
    hands.touched = True
    return program


def _listen(program: "subprocess.Popen[bytes]", hands: Hands, stdin: bytes) -> None:
    """Feed and hear a program until it ends. What it leaves running may keep the pipe open: that is not waited for."""
    assert program.stdout is not None
    os.set_blocking(program.stdout.fileno(), False)
    rest = memoryview(stdin)
    poller = select.poll()
    poller.register(program.stdout, select.POLLIN)
    ended = pidfd(program.pid)
    if ended is not None:
        poller.register(ended, select.POLLIN)
    if program.stdin is not None:
        os.set_blocking(program.stdin.fileno(), False)
        poller.register(program.stdin, select.POLLOUT)
    try:
        while program.poll() is None:
            ready = {descriptor for descriptor, _ in poller.poll(None if ended is not None else 20)}
            if program.stdin is not None and not program.stdin.closed and program.stdin.fileno() in ready:
                try:
                    rest = rest[os.write(program.stdin.fileno(), rest) :] if rest else rest
                except BlockingIOError:
                    continue
                except BrokenPipeError:
                    rest = memoryview(b"")
                if not rest:
                    poller.unregister(program.stdin)
                    program.stdin.close()
            if program.stdout.fileno() in ready and not _hear(program, hands):
                poller.unregister(program.stdout)
                if ended is None:
                    program.wait()
    finally:
        if ended is not None:
            os.close(ended)
    _drain(program, hands)


def _hear(program: "subprocess.Popen[bytes]", hands: Hands) -> bool:
    """Take what was printed; false when nothing more can come."""
    assert program.stdout is not None
    try:
        data = os.read(program.stdout.fileno(), 1 << 16)
    except BlockingIOError:
        return True
    if data:
        hands.output.add(data)
        hands.progress(hands.output.last_line(ended=True))
    return bool(data)


def _drain(program: "subprocess.Popen[bytes]", hands: Hands) -> None:
    assert program.stdout is not None
    patience = time.monotonic() + 1.0  # what it left running may go on printing
    while time.monotonic() < patience:
        try:
            data = os.read(program.stdout.fileno(), 1 << 16)
        except (BlockingIOError, ValueError):
            return
        if not data:
            return
        hands.output.add(data)


def _stop(program: "subprocess.Popen[bytes]") -> None:
    """End a program with its whole group: TERM, and KILL for what does not listen."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(program.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            program.wait(_GRACE)
        os.killpg(program.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        program.wait(_GRACE)


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"ended by signal {-code} ({signal.Signals(-code).name})"
    except ValueError:
        return f"ended by signal {-code}"


def _detach(hands: Hands, action: Run, what: str, doing: bool) -> Tuple[str, bool]:
    """Start a program that outlives the step, the agent and the connection."""
    log = None if action.log is None else hands.open(action.log)
    if not doing:
        return f"start {what}", True
    output = os.open(os.devnull, os.O_WRONLY) if log is None else _log(*log)
    told, tell = os.pipe()
    between = os.fork()  # its end leaves the program to init
    if not between:
        try:
            program = _started(action, output, hands)
            if program.stdin is not None:
                program.stdin.write((action.stdin or "").encode())
                program.stdin.close()
            os.write(tell, str(program.pid).encode())
        except BaseException as error:  # noqa: BLE001 -- told to the step, which raises it again
            os.write(tell, f"!{error}".encode("utf-8", "replace")[:4000])
        finally:
            os._exit(0)
    os.close(tell)
    os.close(output)
    answer = os.read(told, 4096).decode("utf-8", "replace")
    os.close(told)
    os.waitpid(between, 0)
    if not answer.isdigit():
        raise Failed(answer[1:] or f"{action.argv[0]} can't be started")
    hands.touched = True
    hands.data["pid"] = int(answer)
    return f"start {what} (pid {answer})", True


def _log(tree: Any, relative: str) -> int:
    parent, name = tree.parent(relative)
    if not name:
        raise Refused(f"{tree.root}: a log must be a file below it")
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    descriptor: int = os.open(name, flags, 0o640, dir_fd=parent)
    tree.same_mount(descriptor, relative)
    seen = os.fstat(descriptor)
    if seen.st_nlink > 1 or not os.path.isfile(f"/proc/self/fd/{descriptor}"):
        os.close(descriptor)
        raise Refused(f"{tree.root}/{relative}: not a file of its own (another kind, or several hard links)")
    os.set_blocking(descriptor, True)
    return descriptor
