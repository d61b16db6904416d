"""A question that may take too long, asked in a process of its own that is ended in time (invariant 6)."""

from __future__ import annotations

import os
import select
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def within(seconds: float, question: Callable[[], bool]) -> bool | None:
    """Return the answer, or None where it did not come in time.

    Args:
        seconds: how long the answer may take.
        question: pure; runs in a forked copy of this process, since `re` holds the interpreter's lock.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        answer = b"?"
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds + 1.0)  # it holds our locks, and must not outlive us
        try:
            answer = b"1" if question() else b"0"
        finally:
            os.write(writer, answer)
            os._exit(0)
    os.close(writer)
    try:
        ready, _, _ = select.select([reader], [], [], seconds)
        answer = os.read(reader, 1) if ready else b""
    finally:
        os.close(reader)
        if not ready:
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return {b"1": True, b"0": False}.get(answer)
