"""Opening a log for one read through it: plain or packed, a path or a stream, and never what could keep us waiting."""

import errno
import io
import os
import stat
import zlib
from collections import deque
from contextlib import contextmanager
from typing import IO, Any, BinaryIO, Callable, Deque, Iterator, List, Optional, Tuple, Union

from runbook.modules.logs.cleaning import WIDEST

BLOCK = 1024 * 1024
COUNTED = 256 * 1024 * 1024  # bytes that are read to number the lines behind them
HELD = 64 * 1024 * 1024  # bytes of last lines that are held where they can't be sought

_PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ\x00": "lzma", b"\x28\xb5\x2f\xfd": "zstd"}
_INPUT = "the input"
_TELLING = 4096  # bytes that tell text from other data
_CONTROL = bytes(code for code in (*range(1, 8), *range(14, 27), *range(28, 32), 127))
_MUCH = 0.05  # of these: in logs there are none, in binary data a tenth
_FEW = 4
_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


Read = Callable[[int], bytes]


class Unreadable(Exception):
    """It can't be read; the message says why."""


class Blocks:
    """A log in blocks of whole lines.

    Of a line that is longer than the patterns are given, what they are not given may be missing.
    """

    def __init__(self, name: str, read: Read, size: Optional[int] = None) -> None:
        self._name = name
        self._read = read
        self._left = size  # what is appended while it is read is left to another time
        self.first: Optional[int] = 1  # the number of the first line; None where it is not known
        self.bytes = 0  # that were read so far
        self.trouble = ""  # why the end was not reached
        self.stopped = False  # somebody did not wait for it

    def __iter__(self) -> Iterator[bytes]:
        rest = b""
        while True:
            chunk = self._more()
            if not chunk:
                break
            buffer = rest + chunk if rest else chunk
            if buffer.startswith(b"\0"):  # the hole that truncation leaves under a program that goes on writing
                buffer = buffer.lstrip(b"\0")
            end = _whole(buffer)
            if end:
                yield buffer[:end]
                rest = buffer[end:]
            elif len(buffer) > WIDEST:
                rest = buffer[: WIDEST + 1] + (b"\r" if buffer.endswith(b"\r") else b"")
            else:
                rest = buffer
        if rest:
            yield rest

    def _more(self) -> bytes:
        if self._left == 0:
            return b""
        try:
            chunk = self._read(BLOCK if self._left is None else min(BLOCK, self._left))
        except KeyboardInterrupt:
            self.stopped = True
            return b""
        except (EOFError, zlib.error, ValueError) as error:
            self.trouble = f"{self._name} is damaged: it could be unpacked only in part ({error})"
            return b""
        except OSError as error:
            self.trouble = f"{self._name}: {error.strerror or error}, after {self.bytes} bytes"
            return b""
        except Exception as error:
            if type(error).__name__ not in ("LZMAError", "ZstdError"):
                raise
            self.trouble = f"{self._name} is damaged: it could be unpacked only in part ({error})"
            return b""
        self.bytes += len(chunk)
        if self._left is not None:
            if not chunk:
                self.trouble = f"{self._name} was cut while it was read: {self._left} bytes of it are missing"
            self._left -= len(chunk)
        return chunk

    def last(self, number: int) -> Iterator[bytes]:
        """Return the blocks of the last lines, of a log in which they can't be sought."""
        held: Deque[Tuple[bytes, int]] = deque()
        lines = size = total = 0
        for block in self:
            count = block.count(b"\n")
            held.append((block, count))
            lines, size, total = lines + count, size + len(block), total + count
            while len(held) > 1 and (lines - held[0][1] > number or size > HELD):
                gone, count = held.popleft()
                lines, size = lines - count, size - len(gone)
        if not held:
            return
        whole = held[-1][0].endswith(b"\n")
        first, count = held[0]
        at = 0
        for _ in range(lines + (not whole) - number):
            at = first.find(b"\n", at) + 1
            lines -= 1
        self.first = total - lines + 1
        held[0] = first[at:], 0
        for block, _ in held:
            yield block


@contextmanager
def opened(source: Union[str, BinaryIO], last_lines: Optional[int] = None) -> Iterator[Tuple[Blocks, Iterator[bytes]]]:
    """Open a log, whole or its last lines.

    Raises:
        Unreadable: it is no file, or can't be opened.
    """
    if not isinstance(source, str):
        with _stream(source) as read:
            blocks = Blocks(_INPUT, _text(read))
            yield blocks, blocks.last(last_lines) if last_lines else iter(blocks)
        return
    with _file(source) as file:
        found = os.fstat(file.fileno())
        try:
            head = os.pread(file.fileno(), 6, 0)
        except OSError as error:
            raise Unreadable(f"{source}: {error.strerror}") from error
        packed = _packing(head)
        if packed:
            with _unpacked(source, file, packed) as unpacked:
                blocks = Blocks(source, _salvaging(unpacked.read1))
                yield blocks, blocks.last(last_lines) if last_lines else iter(blocks)
            return
        if not last_lines or not found.st_size:  # what has no size (/proc) can't be sought in either
            hole = _hole(file, head)
            blocks = Blocks(source, file.read, found.st_size - hole or None)
            blocks.bytes = hole
            yield blocks, blocks.last(last_lines) if last_lines else iter(blocks)
            return
        begin = _begin_of_last(file.fileno(), found.st_size, last_lines)
        blocks = Blocks(source, file.read, found.st_size - begin)
        blocks.first = _feeds(file.fileno(), begin) + 1 if begin <= COUNTED else None
        file.seek(begin)
        yield blocks, iter(blocks)


class _Joined(io.RawIOBase):
    """A stream from its begin on, some of which was read already."""

    def __init__(self, begin: bytes, read: Read) -> None:
        super().__init__()
        self._begin, self._read = begin, read

    def readable(self) -> bool:
        """It can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what comes next."""
        data = self._begin[: len(buffer)] or self._read(len(buffer)) or b""
        self._begin = self._begin[len(data) :]
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def _stream(source: BinaryIO) -> Iterator[Read]:
    """Give what reads a stream, unpacked if it is packed."""
    read: Read = getattr(source, "read1", source.read)
    begin = b""
    while any(magic.startswith(begin) and magic != begin for magic in _PACKED):
        more = read(BLOCK)
        begin += more
        if not more:
            break
    joined = io.BufferedReader(_Joined(begin, read), BLOCK)
    packed = _packing(begin)
    if not packed:
        yield joined.read1
        return
    with _unpacked(_INPUT, joined, packed) as unpacked:
        yield _salvaging(unpacked.read1)


def _text(read: Read) -> Read:
    """Return what reads a stream, as long as it begins like text."""
    begun = [b""]

    def checked(size: int) -> bytes:
        chunk = read(size)
        if begun:
            text = chunk.lstrip(b"\0")
            begun[0] = text or chunk or begun[0]
            if text or (not chunk and begun[0]):
                reason = _no_text(text[:_TELLING])
                if reason:
                    raise Unreadable(f"{_INPUT} is no text: {reason}")
                begun.clear()
        return chunk

    return checked


def _no_text(begin: bytes) -> str:
    """Return what speaks against some first bytes being those of a log; nothing for those that may be."""
    if not begin:
        return "it holds nothing but NUL bytes"
    if begin.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "it is UTF-16, which `iconv -f UTF-16 -t UTF-8` makes legible"
    strange = len(begin) - len(begin.translate(None, _CONTROL))
    if begin.count(b"\0") + strange > _MUCH * len(begin) and strange + begin.count(b"\0") >= _FEW:
        return "it holds control characters, as binary data do"
    return ""


def _hole(file: "IO[bytes]", head: bytes) -> int:
    """Pass over a hole at a file's begin, and return how long it is."""
    if not head.startswith(b"\0"):
        return 0
    try:
        return os.lseek(file.fileno(), 0, os.SEEK_DATA)
    except OSError as error:  # a file system that does not say, or there is nothing else in it
        return os.lseek(file.fileno(), 0, os.SEEK_END) if error.errno == errno.ENXIO else 0


def _packing(head: bytes) -> str:
    return next((name for magic, name in _PACKED.items() if head.startswith(magic)), "")


def _file(path: str) -> "IO[bytes]":
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise Unreadable(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        kind = next((name for test, name in _KINDS if test(mode)), "no file")
        raise Unreadable(f"{path} is {kind}, which can't be read as a log")
    return open(descriptor, "rb", buffering=0)


def _unpacked(path: str, file: Any, packed: str) -> Any:
    if packed == "gzip":
        import gzip

        return gzip.GzipFile(fileobj=file, mode="rb")
    if packed == "bz2":
        import bz2

        return bz2.BZ2File(file)
    if packed == "lzma":
        from runbook.modules.logs.xz import Xz

        return Xz(file)
    from runbook.modules.logs.zstd import Lacking, Zstd

    try:
        return Zstd(file)
    except Lacking:
        name = "FILE" if path == _INPUT else path
        mend = f"`zstd -dc {name} | runbook scan -` reads it, and `pip install zstandard` lets runbook do so"
        raise Unreadable(f"{path} is packed by zstandard, for which this Python has nothing: {mend}") from None


def _salvaging(read: Read) -> Read:
    """Return what reads blocks by small reads, so that what can be unpacked before a damage is not lost with it."""
    failed: List[Exception] = []

    def filled(size: int) -> bytes:
        if failed:
            raise failed[0]
        parts: List[bytes] = []
        while size > 0:
            try:
                part = read(size)
            except Exception as error:
                if not parts:
                    raise
                failed.append(error)
                break
            if not part:
                break
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    return filled


def _whole(buffer: bytes) -> int:
    """Return where the last whole line ends; a carriage return at the very end may be half of a line's end."""
    end = buffer.rfind(b"\n") + 1
    return end or buffer.rfind(b"\r", 0, len(buffer) - 1) + 1


def _begin_of_last(descriptor: int, size: int, lines: int) -> int:
    """Return where the last lines of a file begin."""
    wanted = lines
    end = size
    if os.pread(descriptor, 1, size - 1) == b"\n":
        end -= 1
    while end > 0:
        begin = max(0, end - BLOCK)
        block = os.pread(descriptor, end - begin, begin)
        feeds = block.count(b"\n")
        if feeds >= wanted:
            at = len(block)
            for _ in range(wanted):
                at = block.rfind(b"\n", 0, at)
            return begin + at + 1
        wanted -= feeds
        end = begin
    return 0


def _feeds(descriptor: int, end: int) -> int:
    return sum(os.pread(descriptor, min(BLOCK, end - at), at).count(b"\n") for at in range(0, end, BLOCK))
