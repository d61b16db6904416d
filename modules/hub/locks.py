"""The library's own lock of a file that is being fetched, taken as it takes it (flock), and one of ours beneath it."""

import contextlib
import errno
import fcntl
import os
from typing import Callable, Iterator

from runbook.modules.hub.ground import Ground

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_MODE = 0o664  # as the library has it: a group may share a cache
_LOOK = 0.2  # seconds between two tries
_NONE = frozenset({errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK})  # a file system without locks


@contextlib.contextmanager
def held(ground: Ground, relative: str, wait: Callable[[float], None]) -> Iterator[bool]:
    """Hold a lock file, however long another holds it; yields whether there was anything to wait for.

    On a file system without locks nothing is held: what two processes write into one another there shows in the hash.

    Args:
        ground: where it lies.
        relative: the lock file, made when it is missing.
        wait: called between two tries; it may raise.
    """
    waited = False
    while True:
        with ground.parent(relative, make=True) as (directory, name):
            descriptor = os.open(name, _FLAGS, _MODE, dir_fd=directory)
            try:
                if taken(descriptor) and _still(directory, name, descriptor):
                    break
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)
        waited = True
        wait(_LOOK)
    try:
        yield waited
    finally:
        os.close(descriptor)


def taken(descriptor: int) -> bool:
    """Lock an open file, if nobody else has; true too where the file system knows no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in {errno.EWOULDBLOCK, errno.EACCES, errno.EAGAIN}:
            return False
        if error.errno not in _NONE:
            raise
    return True


def _still(directory: int, name: str, descriptor: int) -> bool:
    """Tell whether the lock file is still the one that others find: older versions of the library delete it."""
    try:
        there = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(there, os.fstat(descriptor))
