"""Opening a file to read it, and nothing that hangs or answers for ever: no pipe, no device, no socket."""

import errno
import os
import stat
from typing import BinaryIO


class Irregular(OSError):
    """What lies at a path is not a regular file."""

    def __init__(self, path: str) -> None:
        super().__init__(errno.EINVAL, "not a regular file", path)


def reading(path: str) -> BinaryIO:
    """Open a regular file; links are followed.

    Raises:
        Irregular: it is something else.
        OSError: it can't be opened.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):  # before it is opened: opening alone can rewind a tape
        raise Irregular(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise Irregular(path)
