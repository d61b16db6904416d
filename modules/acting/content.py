"""What a file holds, in pieces: read, compared and copied without its holes, however long it is."""

import errno
import hashlib
import io
import os
from typing import Callable, Iterator, Tuple

_PIECE = 256 << 10  # bytes; a digest depends on it
_ZEROS = bytes(_PIECE)

Piece = Tuple[int, bytes]  # where it lies, and what is there


def pieces(descriptor: int, size: int) -> Iterator[Piece]:
    """Yield what is not zeros of an open file's first bytes, in order."""
    position = 0
    while position < size:
        begin, end = _extent(descriptor, position, size)
        position = max(position, begin - begin % _PIECE)
        while position < min(end, size):
            piece = os.pread(descriptor, min(_PIECE, size - position), position)
            if not piece:
                return  # it was cut short meanwhile
            if piece != _ZEROS[: len(piece)]:
                yield position, piece
            position += _PIECE


def pieces_of(content: bytes) -> Iterator[Piece]:
    """Yield the pieces of a content in memory."""
    held = io.BytesIO(content)
    for position in range(0, len(content), _PIECE):
        piece = held.read(_PIECE)
        if piece != _ZEROS[: len(piece)]:
            yield position, piece


def digest(found: Iterator[Piece], size: int, take: Callable[[int, bytes], None] = lambda *_: None) -> str:
    """Return what tells a content from any other, and hand on each piece on the way."""
    known = hashlib.sha256()
    for position, piece in found:
        known.update(position.to_bytes(8, "big"))
        known.update(piece)
        take(position, piece)
    known.update(size.to_bytes(8, "big"))
    return known.hexdigest()


def writer(descriptor: int) -> Callable[[int, bytes], None]:
    """Return what writes a piece to its place in another file."""

    def write(position: int, piece: bytes) -> None:
        rest = memoryview(piece)
        while rest:
            done = os.pwrite(descriptor, rest, position)
            rest, position = rest[done:], position + done

    return write


def _extent(descriptor: int, position: int, size: int) -> Tuple[int, int]:
    """Return where the next data begin and end; a file system without holes has nothing else."""
    try:
        begin = os.lseek(descriptor, position, os.SEEK_DATA)
        return begin, os.lseek(descriptor, begin, os.SEEK_HOLE)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nothing but a hole from here on
            return size, size
        return position, size


def sync_all(directory: int) -> bool:
    """Make the file system of a directory durable in one call, where the C library has it."""
    import ctypes

    call = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if call is None:
        return False
    if call(directory):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return True
