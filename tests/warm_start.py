"""The command line in a process of its own, forked from one that has imported it: most of a short command is imports.

What runs is what `python -m runbook` runs, with the same arguments, directory, environment, pipes and exit code. What
the command line is as a program (its imports, its interpreter, signals at its start) is tested by starting it.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NoReturn

_INTERPRETER = ("PYTHON", "LC_", "LANG", "LD_", "TZ")  # variables that are read when an interpreter starts
_LARGEST = 1 << 17  # bytes of a request


def run(words: Sequence[str], *, cwd: Path, env: Mapping[str, str], timeout: float) -> subprocess.CompletedProcess[str]:
    """Do as `subprocess.run([sys.executable, "-m", "runbook", *words], capture_output=True, text=True, …)` does.

    Raises:
        subprocess.TimeoutExpired: it took longer, and was killed.
    """
    argv = [sys.executable, "-m", "runbook", *words]
    if not _alike(env):
        return subprocess.run(
            argv, cwd=cwd, env=dict(env), capture_output=True, text=True, timeout=timeout, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    request = json.dumps({"words": list(words), "cwd": str(cwd), "env": dict(env)}).encode()
    with contextlib.ExitStack() as ends, selectors.DefaultSelector() as waiting:
        written: dict[str, bytearray] = {}
        sent = []
        for name in ("out", "err", "fate"):
            reader, writer = os.pipe()
            ends.callback(os.close, reader)
            sent.append(writer)
            written[name] = bytearray()
            waiting.register(reader, selectors.EVENT_READ, name)
        try:
            socket.send_fds(_server(), [request], sent)
        finally:
            for writer in sent:
                os.close(writer)
        deadline = time.monotonic() + timeout
        while waiting.get_map():
            for key, _ in waiting.select(max(0.0, deadline - time.monotonic())):
                more = os.read(key.fd, 1 << 16)
                written[key.data] += more
                if not more:
                    waiting.unregister(key.fd)
            if time.monotonic() >= deadline and waiting.get_map():
                os.kill(int(written["fate"].split()[0]), signal.SIGKILL)
                raise subprocess.TimeoutExpired(argv, timeout, bytes(written["out"]), bytes(written["err"]))
    code = os.waitstatus_to_exitcode(int(written["fate"].split()[1]))
    return subprocess.CompletedProcess(argv, code, _text(written["out"]), _text(written["err"]))


def _alike(env: Mapping[str, str]) -> bool:
    """Whether an interpreter would start in this environment as ours did."""
    return all(env.get(name) == os.environ.get(name) for name in {*env, *os.environ} if name.startswith(_INTERPRETER))


def _text(written: bytearray) -> str:
    return written.decode().replace("\r\n", "\n").replace("\r", "\n")


@cache
def _server() -> socket.socket:
    """Return the way to this process's server, which ends when this process does."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, __file__, str(theirs.fileno())], pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
        )
    atexit.register(process.wait)
    atexit.register(ours.close)
    return ours


def _serve(requests: socket.socket) -> None:
    """Fork for each request; another process stays with it and tells its pid and how it ended."""
    from runbook.engine import among, start  # noqa: F401 -- for those that are forked
    from runbook.engine.cli import _commands, apply, drill, test  # noqa: F401
    from runbook.engine.fleet import packages  # noqa: F401
    from runbook.engine.language.lint import catalogue
    from runbook.engine.report import reporter, text  # noqa: F401

    catalogue.rules()
    gc.collect()
    gc.freeze()
    while True:
        data, given, _, _ = socket.recv_fds(requests, _LARGEST, 3)
        if not data:
            return
        out, err, fate = given
        if os.fork() == 0:
            requests.close()
            pid = os.fork()
            if pid == 0:
                os.close(fate)
                _become(json.loads(data), out, err)
            os.write(fate, b"%d " % pid)
            os.close(out)
            os.close(err)
            os.write(fate, b"%d" % os.waitpid(pid, 0)[1])
            os._exit(0)
        for descriptor in given:
            os.close(descriptor)
        for _ in _dead():
            pass


def _dead() -> Iterator[int]:
    """Reap what has ended."""
    with contextlib.suppress(ChildProcessError):
        while (pid := os.waitpid(-1, os.WNOHANG)[0]) != 0:
            yield pid


def _become(request: dict, out: int, err: int) -> NoReturn:
    """Be the process that was asked for."""
    for descriptor, target in ((out, 1), (err, 2)):
        os.dup2(descriptor, target)
        os.close(descriptor)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = ["runbook", *request["words"]]
    sys.path[0] = request["cwd"]
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8")  # noqa: SIM115
    sys.stdout = sys.__stdout__ = open(1, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(2, "w", 1, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
    from runbook.engine import cli

    code = 1
    try:
        cli.main()
    except SystemExit as ended:
        code = ended.code
    except BaseException:  # noqa: BLE001 -- as an interpreter tells it
        traceback.print_exc()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
