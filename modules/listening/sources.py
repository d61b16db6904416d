"""What can be heard of the things that probes look at, as a probe declares it."""

from typing import Literal

from runbook.modules.frozen import frozen


@frozen
class Source:
    """Something on a host that can be heard to change, so that a detector need not wait until it is looked at again.

    Make one by `path`, `process` or `kernel`.
    """

    kind: Literal["path", "process", "kernel"]
    path: str = ""
    rotated: bool = False
    pid: int = 0
    started: int = 0


def path(where: str, *, rotated: bool = False) -> Source:
    """Hear of a file, a directory's entries or what a pattern matches: made, written, replaced, removed, other rights.

    Args:
        where: a whole path, or a pattern with `*`, `?`, `[a-z]` in a name or `**` for any directories. It need not be
            there yet.
        rotated: what rotation makes of it (`x.log.1`, `x-20260131.log`) is heard as well.

    Example:
        def sources(self, host, records):
            yield sources.path(self.config)
    """
    return Source("path", path=where, rotated=rotated)


def process(pid: int, started: int) -> Source:
    """Hear of a process's end.

    Args:
        pid: its number.
        started: clock ticks since boot, as `Process.started` has it: numbers are given out again.
    """
    return Source("process", pid=pid, started=started)


def kernel() -> Source:
    """Hear of what the kernel says."""
    return Source("kernel")
