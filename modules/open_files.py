"""Which processes have files open, or mapped into their memory: found by inode, so that a container's do not hide."""

import os
from typing import Container, Dict, Iterator, Tuple

Inode = Tuple[int, int]  # device, number


def holders(wanted: Container[Inode]) -> Dict[Inode, int]:
    """Return the pid of a process that holds each of the files that is held; those we may not look into are left out.

    Args:
        wanted: the files and directories that are asked about.
    """
    found: Dict[Inode, int] = {}
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        if pid == os.getpid():
            continue
        for inode in _held(f"/proc/{pid}"):
            if inode in wanted:
                found.setdefault(inode, pid)
    return found


def _held(place: str) -> Iterator[Inode]:
    try:
        names = [f"{place}/fd/{name}" for name in os.listdir(f"{place}/fd")]
    except OSError:  # it ended, or belongs to somebody else
        return
    for name in [*names, f"{place}/cwd"]:
        try:
            seen = os.stat(name)
        except OSError:
            continue
        yield seen.st_dev, seen.st_ino
    for path in _mapped(place):
        try:
            seen = os.stat(path)
        except OSError:
            continue
        yield seen.st_dev, seen.st_ino


def _mapped(place: str) -> Iterator[str]:
    """Yield the files that a process has mapped, as it sees them: the kernel's own numbers differ on some systems."""
    paths = set()
    try:
        with open(f"{place}/maps", "rb") as lines:
            for line in lines:
                fields = line.rstrip(b"\n").split(None, 5)
                if len(fields) == 6 and fields[5].startswith(b"/"):
                    paths.add(os.fsdecode(fields[5]))
    except OSError:
        return
    yield from (f"{place}/root{path}" for path in paths)
