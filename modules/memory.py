"""A bound on the memory of a process that looks: what one probe reads must not bring the host down.

It is the bound of what the process itself writes to (RLIMIT_DATA). One of its addresses (RLIMIT_AS) would not do: the
driver of a GPU takes up tens of gigabytes of these, and uses none.
"""

import contextlib
import os
import resource
from typing import Iterator, List

ROOM = 2 << 30  # bytes beside those that the process has

_given: List[int] = []  # the bound before, which is that of the programs that are started


def bound() -> None:
    """Bound the memory of this process; whatever wants more gets a MemoryError."""
    before, most = resource.getrlimit(resource.RLIMIT_DATA)
    bounds = [_used() + ROOM, *(limit for limit in (before, most) if limit != resource.RLIM_INFINITY)]
    with contextlib.suppress(OSError, ValueError):  # where that can't be had, it is as it was
        resource.setrlimit(resource.RLIMIT_DATA, (min(bounds), most))
        _given[:] = [before]


@contextlib.contextmanager
def lifted() -> Iterator[None]:
    """Lift the bound while a program is started: it is not ours to bound."""
    if not _given:
        yield
        return
    now, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (_given[0], most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (now, most))


def _used() -> int:
    try:
        with open("/proc/self/statm", "rb", buffering=0) as file:
            return int(file.read(256).split()[5]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
