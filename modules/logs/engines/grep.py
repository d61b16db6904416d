"""Candidates by GNU grep, which every Linux distribution but the smallest has: two processes, fed block by block."""

import contextlib
import os
import select
import shutil
import subprocess
import tempfile
import weakref
from typing import Iterable, Iterator, List, Optional, Sequence

from runbook.modules.logs.engines.lines import Finder, LineEngine, Wanted
from runbook.modules.logs.patterns import Pattern

_PIECE = 64 * 1024


def made(patterns: Sequence[Pattern]) -> LineEngine:
    """Return the engine for these patterns.

    Raises:
        ImportError: there is no GNU grep.
    """
    grep = shutil.which("grep")
    if grep is None or b"GNU grep" not in _version(grep):
        raise ImportError("there is no GNU grep")
    program = grep

    def finder(wanted: Wanted) -> Finder:
        given = (("-F", wanted.cased), ("-iF", wanted.folded), ("-E", wanted.outlines))
        return _Greps([_Grep(program, kind, expressions) for kind, expressions in given if expressions]).lines

    return LineEngine("grep", patterns, finder)


def _version(grep: str) -> bytes:
    done = subprocess.run([grep, "--version"], stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=10)
    return done.stdout


class _Greps:
    """Several that are given the same blocks; they work at the same time."""

    def __init__(self, greps: Sequence["_Grep"]) -> None:
        self._greps = greps

    def lines(self, text: bytes) -> Iterable[int]:
        """Return where the lines begin that match; if a grep dies, all of them."""
        block = text if text.endswith(b"\n") else text + b"\n"
        try:
            for grep in self._greps:
                grep.start()
                grep.give(block)
            waiting = set(self._greps)
            while waiting:
                into = {grep.input(): grep for grep in waiting if grep.left}
                readable, writable, _ = select.select(waiting, into, [])
                for pipe in writable:
                    into[pipe].write()
                waiting -= {grep for grep in readable if grep.read()}
            found = [grep.lines(block) for grep in self._greps]
        except (OSError, ValueError):
            for grep in self._greps:
                grep.end()
            return _all(text)
        return found[0] if len(found) == 1 else sorted(set().union(*found))


class _Grep:
    """A grep that waits for blocks. It begins with the first one, and anew in a process that was forked."""

    def __init__(self, program: str, kind: str, expressions: Sequence[bytes]) -> None:
        self._argv = [program, "-a", "-b", kind, "--line-buffered", "-f"]
        self._mark = b"end of block " + os.urandom(16).hex().encode()  # a line that no log holds, which is always told
        self._expressions = b"\n".join([*expressions, self._mark]) + b"\n"
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._owner = 0
        self._before = 0  # bytes that it was given before the block
        self._told = bytearray()
        self.left = memoryview(b"")  # of what it is to be given

    def start(self) -> None:
        """See that it runs, and that it is this process's own."""
        if self._process is not None and self._owner == os.getpid():
            return
        with tempfile.TemporaryFile() as file:
            file.write(self._expressions)
            file.flush()
            self._process = subprocess.Popen(
                [*self._argv, f"/dev/fd/{file.fileno()}"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env={"LC_ALL": "C", "PATH": os.defpath}, pass_fds=[file.fileno()], bufsize=0,
            )  # fmt: skip
            self._owner, self._before = os.getpid(), 0
            os.set_blocking(self.input(), False)
            self.give(b"")
            while not self.read():  # it has read its expressions then
                if self.left:
                    self.write()
            self._before = len(self._mark) + 1
        weakref.finalize(self, _end, self._process, self._owner)

    def give(self, text: bytes) -> None:
        """Set out to write a block."""
        self._told = bytearray()
        self.left = memoryview(text + self._mark + b"\n")
        if not text:
            self.write()

    def write(self) -> None:
        """Write as much as it takes."""
        with contextlib.suppress(BlockingIOError):
            self.left = self.left[os.write(self.input(), self.left[:_PIECE]) :]

    def read(self) -> bool:
        """Read what it tells; return whether that is all of the block."""
        piece = os.read(self.fileno(), _PIECE)
        if not piece:
            raise BrokenPipeError("grep ended")
        self._told += piece
        return self._told.endswith(b":" + self._mark + b"\n")

    def lines(self, text: bytes) -> List[int]:
        """Return where the lines begin that it told of."""
        starts: List[int] = []
        at = 0
        while True:
            colon = self._told.index(b":", at)
            start = int(self._told[at:colon]) - self._before
            if start >= len(text):
                break
            starts.append(start)
            at = colon + 1 + text.index(b"\n", start) - start + 1
        self._before += len(text) + len(self._mark) + 1
        return starts

    def fileno(self) -> int:
        """Return what is read from."""
        return self._pipe(into=False)

    def input(self) -> int:
        """Return what is written to."""
        return self._pipe(into=True)

    def end(self) -> None:
        """Have it end; the next block begins another."""
        if self._process is not None:
            _end(self._process, self._owner)
        self._process = None

    def _pipe(self, *, into: bool) -> int:
        assert self._process is not None
        pipe = self._process.stdin if into else self._process.stdout
        assert pipe is not None
        return pipe.fileno()


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
