"""The kernel's inotify, by ctypes: the standard library has no name for it."""

import ctypes
import errno
import os
import struct
from functools import lru_cache
from typing import Any, Iterator, List, NamedTuple, Set

MODIFY, ATTRIB = 0x2, 0x4
MOVED_FROM, MOVED_TO, CREATE, DELETE = 0x40, 0x80, 0x100, 0x200
DELETE_SELF, MOVE_SELF = 0x400, 0x800
OVERFLOW, IGNORED = 0x4000, 0x8000
EXCL_UNLINK = 0x04000000  # nothing more of a file that has no name there any more
CHANGES = MODIFY | ATTRIB | MOVED_FROM | MOVED_TO | CREATE | DELETE | DELETE_SELF | MOVE_SELF | EXCL_UNLINK
_EVENT = struct.Struct("iIII")
_AT_ONCE = 1 << 16  # bytes of events that are read by one call
_PIDFD_OPEN = 434  # the call's number, on every architecture


class Event(NamedTuple):
    """Something that happened to what is watched."""

    watch: int
    mask: int
    name: str  # in a directory, to whom; empty: to itself


@lru_cache(maxsize=1)
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def opened() -> int:
    """Return a new instance, non-blocking.

    Raises:
        OSError: EMFILE where this user has too many.
    """
    return _checked(_libc().inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))


def watch(instance: int, path: str) -> int:
    """Watch a directory's entries, or a file, and return the watch; what is watched already keeps the one that it has.

    Raises:
        OSError: it is not there, may not be read, or there are too many watches.
    """
    return _checked(_libc().inotify_add_watch(instance, os.fsencode(path), CHANGES))


def forget(instance: int, number: int) -> None:
    """End a watch; one that has ended already is no error."""
    if _libc().inotify_rm_watch(instance, number) < 0 and ctypes.get_errno() != errno.EINVAL:
        _checked(-1)


def events(instance: int) -> Iterator[Event]:
    """Yield what has happened by now, one call's worth."""
    try:
        data = os.read(instance, _AT_ONCE)
    except BlockingIOError:
        return
    at = 0
    while at < len(data):
        number, mask, _, length = _EVENT.unpack_from(data, at)
        at += _EVENT.size + length
        yield Event(number, mask, os.fsdecode(data[at - length : at].rstrip(b"\0")))


def watches(instance: int) -> Set[int]:
    """Return the watches that an instance has, as the kernel tells it."""
    with open(f"/proc/self/fdinfo/{instance}", encoding="ascii") as file:
        lines: List[str] = [line for line in file if line.startswith("inotify wd:")]
    return {int(line.split()[1].partition(":")[2], 16) for line in lines}


def pidfd(pid: int) -> int:
    """Return a descriptor that becomes readable when a process ends.

    Raises:
        OSError: ESRCH where there is none, ENOSYS under an old kernel.
    """
    if hasattr(os, "pidfd_open"):  # a Python that was built long ago lacks the name, not the kernel
        return os.pidfd_open(pid)
    return _checked(int(_libc().syscall(_PIDFD_OPEN, pid, 0)))
