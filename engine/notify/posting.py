"""A run's messages on their way: the process that sends them, and what becomes of each."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import runbook

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_HOME = str(Path(runbook.__file__).parents[1])  # where the package lies, should nobody else find it
_GONE = "the process that sends it ended"


class Posting:
    """The process, from the first message to the last answer.

    Args:
        timeout: seconds after which what a channel has not taken counts as not sent.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._waiting: dict[tuple[int, str], float] = {}  # by message and channel: until when
        self._failed: list[tuple[int, str, str]] = []
        self._number = 0
        self._read = b""

    def send(self, order: Mapping[str, str], channels: Mapping[str, Sequence[str]]) -> int:
        """Begin to send a message: title, body and severity, to addresses by channel; return its number."""
        self._number += 1
        line = json.dumps({**order, "number": self._number, "channels": channels}).encode() + b"\n"
        try:
            if self._process is None:
                self._process = self._started()
            assert self._process.stdin is not None
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except OSError as error:
            why = _GONE if isinstance(error, BrokenPipeError) else f"it can't be sent: {error.strerror}"
            self._failed += [(self._number, channel, why) for channel in channels]
        else:
            until = time.monotonic() + self._timeout
            self._waiting.update({(self._number, channel): until for channel in channels})
        return self._number

    def results(self, *, wait: bool = False) -> Iterator[tuple[int, str, str]]:
        """Yield (a message, a channel, why it was not told) of those that ended; an empty reason: it was told.

        Args:
            wait: for all of them, but for none longer than a message may take.
        """
        yield from self._failed
        self._failed.clear()
        while self._waiting:
            ended = self._hear()
            yield from self._answers()
            now = time.monotonic()
            for (number, channel), until in list(self._waiting.items()):
                if ended or now >= until:
                    del self._waiting[number, channel]
                    yield number, channel, _GONE if ended else f"it did not answer within {self._timeout:g} s"
            if not wait or not self._waiting:
                return
            assert self._process is not None
            assert self._process.stdout is not None
            select.select([self._process.stdout], [], [], max(0.0, min(self._waiting.values()) - now))

    def close(self) -> None:
        """End the process; what it has not sent by now is not sent."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.stdout.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def _started(self) -> subprocess.Popen[bytes]:
        """Start it in a session of its own: a run that is killed leaves what it has begun to say to its end."""
        process = subprocess.Popen(  # noqa: S603 -- ourselves
            [sys.executable, "-P", "-m", "runbook.engine.notify.post", str(self._timeout)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (_HOME, os.environ.get("PYTHONPATH"))))},
            start_new_session=True,
        )
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        return process

    def _hear(self) -> bool:
        """Take what was said; true when nothing more can come."""
        assert self._process is not None
        assert self._process.stdout is not None
        while True:
            try:
                data = os.read(self._process.stdout.fileno(), 1 << 16)
            except BlockingIOError:
                return False
            if not data:
                return True
            self._read += data

    def _answers(self) -> Iterator[tuple[int, str, str]]:
        *lines, self._read = self._read.split(b"\n")
        for line in lines:
            answer: dict[str, Any] = json.loads(line)
            number, channel = int(answer["number"]), str(answer["channel"])
            if self._waiting.pop((number, channel), None) is not None:
                yield number, channel, "" if answer["sent"] else str(answer["reason"])
