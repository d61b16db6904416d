"""The bytes of an open log as its writer wrote them: those of a packed one (gz, bz2, xz, zst) are unpacked."""

import os
import time
from contextlib import contextmanager
from typing import Any, Iterator, Optional, Protocol

from runbook.modules.declare import Unclear
from runbook.modules.logs import zstd
from runbook.modules.logs.xz import DEAREST

PACKED = (".gz", ".bz2", ".xz", ".zst")
RAW = 64 * 1024  # bytes that are unpacked at once
WINDOW = 64 * 1024  # unpacked bytes that are kept behind, for who looks back a little
FIRST = 4 * 1024  # unpacked bytes that are kept for good

_MAGIC = {b"\x1f\x8b": "gz", b"BZh": "bz2", b"\xfd7zXZ\x00": "xz", zstd.MAGIC: "zst"}
_LONGEST = 6  # bytes of these


class Slow(Exception):
    """It takes too long to unpack."""


class Content(Protocol):
    """What stands in a file."""

    descriptor: int
    packed: bool

    def pread(self, length: int, offset: int) -> bytes:
        """Return so many bytes from a place on; fewer only where they end."""

    def reaches(self, offset: int) -> bool:
        """Tell whether there are so many bytes; asked anew, for a file may have grown since."""

    @property
    def whole(self) -> bool:
        """Nothing will be added to it any more, and all of it could be had."""


class Plain:
    """A file as it is."""

    packed = False
    whole = False

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def pread(self, length: int, offset: int) -> bytes:
        """Return so many bytes from a place on."""
        return os.pread(self.descriptor, length, offset)

    def reaches(self, offset: int) -> bool:
        """Tell whether it is as large."""
        return os.fstat(self.descriptor).st_size >= offset


class Packed:
    """What is packed in a file, in bounded memory. Going back means unpacking it from the start once more."""

    packed = True

    def __init__(self, descriptor: int, until: float) -> None:
        self.descriptor = descriptor
        self.trouble = ""  # why it can't be unpacked further
        self._until = until  # on the monotonic clock
        self._first = b""
        self._begin()

    def _begin(self) -> None:
        self._raw = 0  # where the packed bytes go on
        self._input = b""
        self._unpacker: Any = None
        self._window = b""
        self._start = 0  # of the window, among the unpacked bytes
        self._ended = False  # no more can be had
        self._closed = False  # the last member is complete

    @property
    def whole(self) -> bool:
        """Everything could be unpacked, so whoever packed it has finished."""
        while not self._ended:
            self._more()
            self._trim(self._end)
        return self._closed and not self.trouble

    def pread(self, length: int, offset: int) -> bytes:
        """Return so many unpacked bytes from a place on."""
        if offset + length <= len(self._first):
            return self._first[offset : offset + length]
        if offset < self._start:
            self._begin()
        while self._end < offset + length and not self._ended:
            self._more()
            self._trim(offset)
        return self._window[max(0, offset - self._start) : max(0, offset + length - self._start)]

    def reaches(self, offset: int) -> bool:
        """Tell whether so many bytes can be unpacked."""
        return offset == 0 or bool(self.pread(1, offset - 1))

    @property
    def _end(self) -> int:
        return self._start + len(self._window)

    def _trim(self, needed: int) -> None:
        behind = min(needed, self._end) - WINDOW - self._start
        if behind > WINDOW:
            self._window = self._window[behind:]
            self._start += behind

    def _more(self) -> None:
        """Unpack some more, or come to the end."""
        if time.monotonic() > self._until:
            raise Slow
        hungry = not self._input and (self._unpacker is None or getattr(self._unpacker, "needs_input", True))
        if hungry and not self._feed():
            self._ended, self._closed = True, self._unpacker is None and self._raw > 0
            return
        if self._unpacker is None:
            self._input = self._input.lstrip(b"\0")  # padding between members
            if not self._input:
                return
            if len(self._input) < _LONGEST:
                self._feed()
            self._unpacker = _unpacker(self._input)
            if self._unpacker is None:  # what stands behind the last member is not ours
                self._ended, self._closed = True, self._raw > len(self._input)
                return
        self._unpack()

    def _feed(self) -> bool:
        found = os.pread(self.descriptor, RAW, self._raw)
        self._raw += len(found)
        self._input += found
        return bool(found)

    def _unpack(self) -> None:
        unpacker = self._unpacker
        try:
            found = unpacker.decompress(self._input, RAW * 4)
        except Exception as error:  # noqa: BLE001 -- each format has its own; all mean that it is broken here
            self.trouble = f"it can't be unpacked further: {error}"
            self._ended = True
            return
        self._input = getattr(unpacker, "unconsumed_tail", b"")
        if unpacker.eof:
            self._input, self._unpacker = unpacker.unused_data, None
        if len(self._first) < FIRST and self._end == len(self._first):
            self._first += found[: FIRST - len(self._first)]
        self._window += found


def packed(path: str) -> bool:
    """Tell whether a file is packed, by its name."""
    return path.endswith(PACKED)


def content(path: str, descriptor: int, until: Optional[float] = None) -> Content:
    """Return what stands in an open file."""
    if packed(path):
        head = os.pread(descriptor, 6, 0)
        if not head or _kind(head) or any(magic.startswith(head) for magic in _MAGIC):
            return Packed(descriptor, time.monotonic() + 10.0 if until is None else until)
    return Plain(descriptor)


@contextmanager
def opened(path: str, until: Optional[float] = None) -> Iterator[Optional[Content]]:
    """Open a file while it is looked at; None where it is gone. It does not wait, whatever the path has become.

    Raises:
        Unclear: it can't be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except FileNotFoundError:
        yield None
        return
    except OSError as error:
        raise Unclear(f"{path} can't be read: {error.strerror}") from error
    try:
        yield content(path, descriptor, until)
    finally:
        os.close(descriptor)


def _kind(head: bytes) -> str:
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), "")


def _unpacker(head: bytes) -> Any:
    kind = _kind(head)
    if kind == "gz":
        import zlib

        return zlib.decompressobj(31)
    if kind == "bz2":
        import bz2

        return bz2.BZ2Decompressor()
    if kind == "xz":
        import lzma

        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=DEAREST)
    return zstd.unpacker() if kind == "zst" else None
