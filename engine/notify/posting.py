"""A message on its way: the process that sends it, and what becomes of each channel."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_LARGEST = 1 << 20  # bytes of answers that are read


class Posting:
    """One message, sent by a process of its own.

    Args:
        order: title, body and severity.
        channels: the addresses, by the channel's name.
        timeout: seconds after which what has not been taken counts as not sent.
    """

    def __init__(self, order: Mapping[str, str], channels: Mapping[str, Sequence[str]], timeout: float) -> None:
        self._waiting = set(channels)
        self._timeout = timeout
        self._until = time.monotonic() + timeout
        self._read = b""
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "runbook.engine.notify.post"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps({**order, "channels": channels}).encode())
            self._process.stdin.close()

    @property
    def over(self) -> bool:
        """Every channel has its end."""
        return not self._waiting

    def results(self, *, wait: bool = False) -> Iterator[tuple[str, str]]:
        """Yield (a channel, why it was not told) of those that ended; an empty reason: it was told.

        Args:
            wait: for all of them, but no longer than the message may take.
        """
        assert self._process.stdout is not None
        while self._waiting:
            ended = self._hear()
            yield from self._answers()
            rest = self._until - time.monotonic()
            if self._waiting and (ended or rest <= 0):
                why = "its process ended" if ended else f"it did not answer within {self._timeout:g} s"
                left, self._waiting = sorted(self._waiting), set()
                yield from ((channel, why) for channel in left)
            if not self._waiting or not wait:
                break
            select.select([self._process.stdout], [], [], rest)
        if not self._waiting:
            self._end()

    def _hear(self) -> bool:
        """Take what was said; true when nothing more can come."""
        assert self._process.stdout is not None
        while len(self._read) < _LARGEST:
            try:
                data = os.read(self._process.stdout.fileno(), 1 << 16)
            except BlockingIOError:
                return False
            if not data:
                return True
            self._read += data
        return True

    def _answers(self) -> Iterator[tuple[str, str]]:
        *lines, self._read = self._read.split(b"\n")
        for line in lines:
            answer: dict[str, Any] = {}
            with contextlib.suppress(ValueError):
                answer = json.loads(line)
            channel = answer.get("channel")
            if channel in self._waiting:
                self._waiting.remove(channel)
                yield channel, "" if answer.get("sent") else str(answer.get("reason") or "it was not taken")

    def _end(self) -> None:
        if self._process.stdout is not None and not self._process.stdout.closed:
            self._process.stdout.close()
            if self._process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
