"""Asking a program a question: its answer within a time and a size, and nothing of it left behind."""

import os
import selectors
import signal
import subprocess
import time
from contextlib import suppress
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from runbook.modules import memory
from runbook.modules.declare import Unclear

LARGEST = 16 * 1024 * 1024  # bytes of output, of each kind
LINGERING = 0.2  # seconds for which output is awaited after its end: a child may hold the pipe open for ever


def ask(argv: Sequence[str], env: Mapping[str, str], cwd: Optional[str], timeout: float) -> Tuple[int, bytes, bytes]:
    """Run a program and return its exit code, its output and its error output.

    Raises:
        Unclear: it can't be started, prints without end, or does not end in time; it and its children are killed.
    """
    try:
        with memory.lifted():
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, cwd=cwd
            )
    except OSError as error:
        where = f" in {cwd}" if cwd and not os.path.isdir(cwd) else ""
        if isinstance(error, FileNotFoundError) and not where and "/" not in argv[0]:
            raise Unclear(f"the program `{argv[0]}` is not on the agent's PATH") from error
        raise Unclear(f"{argv[0]} can't be started{where}: {error.strerror}") from error
    except ValueError as error:
        raise Unclear(f"{argv[0]} can't be started: {error}") from error
    with process:
        try:
            return _answer(process, argv[0], timeout)
        except Unclear:
            _kill(process)
            raise


def _answer(process: "subprocess.Popen[bytes]", name: str, timeout: float) -> Tuple[int, bytes, bytes]:
    until = time.monotonic() + timeout
    read: Dict[int, bytearray] = {}
    with selectors.DefaultSelector() as selector:
        for pipe in (process.stdout, process.stderr):
            assert pipe is not None
            selector.register(pipe, selectors.EVENT_READ)
            read[pipe.fileno()] = bytearray()
        outputs = list(read.values())
        while selector.get_map():
            ended = process.poll() is not None
            rest = until - time.monotonic()
            if rest <= 0 and not ended:
                raise Unclear(f"{name} did not answer within {timeout:g} s")
            ready = selector.select(LINGERING if ended else min(rest, LINGERING))
            if ended and (not ready or rest <= 0):
                break
            for key, _ in ready:
                block = os.read(key.fd, 65536)
                read[key.fd] += block
                if not block:
                    selector.unregister(key.fileobj)
                if len(read[key.fd]) > LARGEST:
                    raise Unclear(f"{name} printed more than {LARGEST >> 20} MiB")
    try:
        code = process.wait(max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired as error:
        raise Unclear(f"{name} did not end within {timeout:g} s") from error
    return code, bytes(outputs[0]), bytes(outputs[1])


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """Kill a program with all that it started; what ran away from it is not found."""
    for pid in [*_below(process.pid), process.pid]:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def _below(pid: int) -> List[int]:
    found: List[int] = []
    with suppress(OSError), open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
        for child in children.read().split():
            found += [*_below(int(child)), int(child)]
    return found
