"""Carrying out Run, Signal and Until: programs in sessions of their own, signals through pidfds, waiting by looking."""

import contextlib
import os
import select
import shlex
import signal
import subprocess
import time
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Set, Tuple

from runbook.modules.actions import Run, Signal, Target, Until
from runbook.modules.declare import Failed, Refused, Unclear
from runbook.modules.hands import Hands, counted

_GRACE = 2.0  # seconds between TERM and KILL for a program whose time is over
_AFTER_KILL = 5.0
_SHOWN = 300  # characters of a command line in a report
_ENDING = {"TERM", "INT", "QUIT", "KILL", "ABRT"}  # signals after which a process is expected to end


def shown(argv: Sequence[str]) -> str:
    """Return a command line as a person would type it."""
    line = " ".join(shlex.quote(word) for word in argv)
    return line if len(line) <= _SHOWN else line[:_SHOWN] + " …"


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
    ended = _pidfd(program.pid)
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
        hands.progress(hands.output.last_line())
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


class _Held:
    """A process that was found to be the one that is meant, by a pidfd where the kernel has them."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.pidfd = _pidfd(target.pid)
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
        for pidfd in known:
            poller.register(pidfd, select.POLLIN)
        poller.poll(min(rest, 1.0 if len(known) == len(left) else 0.05) * 1000 + 1)
        left = [process for process in left if not process.gone]
    return left


def _named(targets: Sequence[Target]) -> str:
    if len(targets) > 5:
        return counted(len(targets), "process", "processes")
    return ", ".join(f"{target.name} ({target.pid})" if target.name else str(target.pid) for target in targets)


def _pidfd(pid: int) -> Optional[int]:
    try:
        return os.pidfd_open(pid)
    except (OSError, AttributeError):  # gone, or a kernel before 5.3
        return None


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
