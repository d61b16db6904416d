"""Opening a log for one read through it: plain or packed, a path or a stream, and never what could keep us waiting."""

import os
import stat
from contextlib import contextmanager
from typing import Any, BinaryIO, Iterator, Optional, Union

BLOCK = 256 * 1024


class Unreadable(Exception):
    """It can't be read; the message says why."""


class Blocks:
    """The blocks of a log; `trouble` says why the end was not reached, if it was not."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.trouble = ""

    def __iter__(self) -> Iterator[bytes]:
        data = self._stream.read()
        if data:
            yield data


@contextmanager
def opened(source: Union[str, BinaryIO], last_lines: Optional[int] = None) -> Iterator[Blocks]:
    """Open a log.

    Raises:
        Unreadable: it is no file, or can't be opened.
    """
    if not isinstance(source, str):
        yield Blocks(source)
        return
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise Unreadable(f"{source}: {error.strerror}") from error
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Unreadable(f"{source} is no file")
        head = file.read(6)
        file.seek(0)
        if head.startswith(b"\x1f\x8b"):
            import gzip

            yield Blocks(gzip.GzipFile(fileobj=file))
        else:
            yield Blocks(file)
