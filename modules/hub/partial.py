"""A file on its way: where the last process left off, whichever process that was."""

import contextlib
import os
import re
import stat
from typing import Iterator, List, Tuple

from runbook.modules.declare import Refused
from runbook.modules.hub import locks
from runbook.modules.hub.ground import Ground

_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def there(ground: Ground, relative: str) -> int:
    """Return how many bytes a process left behind, ours or the library's."""
    best = 0
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), ground.parent(relative) as (directory, name):
        for one in [name, *_abandoned(directory, name)]:
            with contextlib.suppress(OSError):
                found = os.stat(one, dir_fd=directory, follow_symlinks=False)
                best = max(best, found.st_size if stat.S_ISREG(found.st_mode) else 0)
    return best


@contextlib.contextmanager
def opened(ground: Ground, relative: str, size: int) -> Iterator[Tuple[int, int]]:
    """Open the file that takes a download, with what is there by now; yields it and how many bytes can be built on.

    What the library of 2.x left behind under names of its own is taken up, the longest, and the rest deleted. The
    caller holds the library's lock, so that nobody writes to any of these.

    Raises:
        Refused: something else stands in its place.
    """
    with ground.parent(relative, make=True) as (directory, name):
        _adopt(directory, name)
        descriptor = _taken(directory, name)
    try:
        if not locks.taken(descriptor):
            raise Refused(f"{ground.path}/{relative} is written to by a process that holds none of the library's locks")
        good = _good(descriptor)
        if good > size:
            good = 0  # of another file, or of none
        os.ftruncate(descriptor, good)
        yield descriptor, good
    finally:
        os.close(descriptor)


def _taken(directory: int, name: str) -> int:
    """Return a file that has no other name: what is written to it shows nowhere else."""
    for _ in range(2):
        try:
            descriptor = os.open(name, _FLAGS | os.O_CREAT, 0o666, dir_fd=directory)
        except OSError:  # a link, or a directory
            os.unlink(name, dir_fd=directory)
            continue
        about = os.fstat(descriptor)
        if stat.S_ISREG(about.st_mode) and about.st_nlink == 1:
            return descriptor
        os.close(descriptor)
        os.unlink(name, dir_fd=directory)
    raise Refused(f"{name}: something else takes its place again and again")


def _good(descriptor: int) -> int:
    """Return how many bytes from the start on were written: up to the first hole."""
    size = os.fstat(descriptor).st_size
    try:
        return min(size, os.lseek(descriptor, 0, os.SEEK_HOLE)) if size else 0
    except OSError:
        return size


def _adopt(directory: int, name: str) -> None:
    sizes = {}
    for one in [name, *_abandoned(directory, name)]:
        with contextlib.suppress(OSError):
            found = os.stat(one, dir_fd=directory, follow_symlinks=False)
            sizes[one] = found.st_size if stat.S_ISREG(found.st_mode) else -1
    best = max(sizes, key=lambda one: (sizes[one], one == name), default=name)
    if best != name and sizes[best] > 0:
        os.rename(best, name, src_dir_fd=directory, dst_dir_fd=directory)
    for one in set(sizes) - {best, name}:
        with contextlib.suppress(OSError):
            os.unlink(one, dir_fd=directory)


def _abandoned(directory: int, name: str) -> List[str]:
    stem = name[: -len(".incomplete")]
    pattern = re.compile(re.escape(stem) + r"\.[0-9a-f]{8}\.incomplete")
    with os.scandir(directory) as found:
        return [entry.name for entry in found if pattern.fullmatch(entry.name)]
