"""Candidates by GNU grep, which every Linux distribution but the smallest has: one process, fed block by block."""

import os
import select
import shutil
import subprocess
import tempfile
import weakref
from typing import Iterator, List, Sequence

from runbook.modules.logs.engines.lines import Finder, LineEngine
from runbook.modules.logs.patterns import Pattern

_END = b"\x01end of block\x01"  # a line that grep always tells, so that we know that it has read the block
_PIECE = 64 * 1024


def made(patterns: Sequence[Pattern]) -> LineEngine:
    """Return the engine for these patterns.

    Raises:
        ImportError: there is no GNU grep.
    """
    grep = shutil.which("grep")
    if grep is None or b"GNU grep" not in _version(grep):
        raise ImportError("there is no GNU grep")

    def finder(texts: Sequence[bytes]) -> Finder:
        return _Grep(grep, texts).lines

    return LineEngine("grep", patterns, finder)


def _version(grep: str) -> bytes:
    done = subprocess.run([grep, "--version"], stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=10)
    return done.stdout


class _Grep:
    """A grep that waits for blocks. It begins with the first one, and anew in a process that was forked."""

    def __init__(self, grep: str, texts: Sequence[bytes]) -> None:
        self._grep = grep
        self._texts = b"\n".join([*texts, _END]) + b"\n"
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._told = 0  # bytes that it was given before the block

    def lines(self, text: bytes) -> Iterator[int]:
        """Return where the lines begin that match; if grep dies, all of them."""
        try:
            return iter(self._lines(text))
        except OSError:
            self._process = None
            return _all(text)

    def _lines(self, text: bytes) -> List[int]:
        process = self._running()
        if not text.endswith(b"\n"):
            text += b"\n"
        out = self._exchange(process, text.lower() + _END + b"\n")
        starts: List[int] = []
        at = 0
        while True:
            colon = out.find(b":", at)
            start = int(out[at:colon]) - self._told
            if start >= len(text):
                break
            starts.append(start)
            at = colon + 1 + text.find(b"\n", start) - start + 1
        self._told += len(text) + len(_END) + 1
        return starts

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None or self._owner != os.getpid():
            with tempfile.TemporaryFile() as file:
                file.write(self._texts)
                file.flush()
                self._process = subprocess.Popen(
                    [self._grep, "-a", "-b", "-F", "--line-buffered", "-f", f"/dev/fd/{file.fileno()}"],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                    env={"LC_ALL": "C", "PATH": os.defpath}, pass_fds=[file.fileno()], bufsize=0,
                )  # fmt: skip
                self._owner, self._told = os.getpid(), 0
                self._exchange(self._process, _END + b"\n")  # it has read its expressions then
                self._told = len(_END) + 1
            weakref.finalize(self, _end, self._process, self._owner)
        return self._process

    def _exchange(self, process: "subprocess.Popen[bytes]", given: bytes) -> bytes:
        """Write a block, read what is told of it."""
        assert process.stdin is not None
        assert process.stdout is not None
        into, out = process.stdin.fileno(), process.stdout.fileno()
        os.set_blocking(into, False)
        told = bytearray()
        left = memoryview(given)
        while not told.endswith(b":" + _END + b"\n"):
            readable, writable, _ = select.select([out], [into] if left else [], [])
            if writable:
                try:
                    left = left[os.write(into, left[:_PIECE]) :]
                except BlockingIOError:
                    continue
            if readable:
                piece = os.read(out, _PIECE)
                if not piece:
                    raise BrokenPipeError("grep ended")
                told += piece
        return bytes(told)


def _all(text: bytes) -> Iterator[int]:
    at = 0
    while at < len(text):
        yield at
        at = text.find(b"\n", at) + 1
        if not at:
            return


def _end(process: "subprocess.Popen[bytes]", owner: int) -> None:
    if owner == os.getpid():
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        process.wait()
