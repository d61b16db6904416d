"""Running a program of an inventory: for a limited time, with limited output, and with all that it started."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Final

from runbook.engine.errors import UserError
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_BYTES: Final = 64 << 20
_MAX_WORDS: Final = 1 << 16  # of what it says on stderr
_PIECE: Final = 1 << 20
_running: set[int] = set()  # their process groups


class NoProgram(UserError):
    """The file is marked executable, but is no program: it may be an inventory itself."""


@frozen
class Said:
    """What a program wrote, and the code that it ended with; negative: the signal."""

    code: int
    out: bytes
    words: str


def run(command: Sequence[str], deadline: float) -> Said:
    """Run a program to its end.

    Args:
        command: the program and its arguments.
        deadline: by `time.monotonic`.

    Raises:
        NoProgram: the file can't be executed.
        UserError: it takes too long, or writes too much.
    """
    try:
        process = subprocess.Popen(  # noqa: S603 -- the inventory that was named
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise NoProgram(f"this program can't be run: {reason}", where=command[0],
                        mend="check its first line (#!) and its mode") from None  # fmt: skip
    _running.add(process.pid)
    try:
        out, words = _heard(process, command, deadline)
        code = process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise _late(command) from None
    finally:
        _end(process)
    return Said(code, out, words.decode("utf-8", "replace"))


def end_all() -> None:
    """End those that run, from another thread: whoever waits for one is told that it was killed."""
    for group in tuple(_running):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


def _heard(process: subprocess.Popen[bytes], command: Sequence[str], deadline: float) -> tuple[bytes, bytes]:
    """Read both streams until both are closed."""
    out, words = bytearray(), bytearray()
    heard = 0
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, out)  # type: ignore[arg-type]
        selector.register(process.stderr, selectors.EVENT_READ, words)  # type: ignore[arg-type]
        while selector.get_map():
            left = deadline - time.monotonic()
            ready = selector.select(left) if left > 0 else []
            if not ready:
                raise _late(command)
            for key, _ in ready:
                piece = os.read(key.fd, _PIECE)
                if not piece:
                    selector.unregister(key.fileobj)
                heard += len(piece)
                if heard > MAX_BYTES:
                    raise UserError(f"this program wrote more than {MAX_BYTES >> 20} MiB", where=command[0],
                                    mend=f"look at what it prints: {' '.join(command)}")  # fmt: skip
                key.data.extend(piece if key.data is out else piece[: _MAX_WORDS - len(words)])
    return bytes(out), bytes(words)


def _late(command: Sequence[str]) -> UserError:
    return UserError("this program did not end within its time", where=command[0],
                     mend=f"run it by hand: {' '.join(command)}")  # fmt: skip


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what still runs, with all that it started."""
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()
    _running.discard(process.pid)
    if process.returncode is None:  # not waited for yet, so that the number is still its own
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
