"""Processes whose end is awaited, each by one descriptor, whoever waits for it."""

import errno
import os
import select
from typing import Dict, Optional, Set, Tuple

from runbook.modules.listening import inotify

Named = Tuple[int, int]  # a pid, and the clock ticks since boot at which it started
_SHARE = 2  # of the descriptors that this process may have
_MOST = 512


class Processes:
    """The pidfds of one agent.

    Args:
        poll: is told of them.
    """

    def __init__(self, poll: "select.epoll") -> None:
        self._poll = poll
        self._by_name: Dict[Named, int] = {}
        self._waiting: Dict[int, Set[str]] = {}  # by descriptor, the keys
        self._names: Dict[int, Named] = {}
        self._most = min(_MOST, _descriptors() // _SHARE)

    def await_end(self, named: Named, key: str) -> Optional[str]:
        """Listen to a process for a key; return why that can't be done, empty where it can; None where it has ended."""
        descriptor = self._by_name.get(named)
        if descriptor is None:
            if len(self._names) >= self._most:
                return f"{self._most} processes are listened to, and no more"
            try:
                descriptor = _opened(named)
            except ProcessLookupError:
                return None
            except OSError as error:
                if error.errno in (errno.ENOSYS, errno.EINVAL, errno.EPERM):
                    return f"the ends of processes can't be heard: pidfd_open: {error.strerror}"
                return f"process {named[0]} can't be listened to: {error.strerror}"
            self._poll.register(descriptor, select.EPOLLIN)
            self._by_name[named], self._names[descriptor], self._waiting[descriptor] = descriptor, named, set()
        self._waiting[descriptor].add(key)
        return ""

    def leave(self, named: Named, key: str) -> None:
        """Listen to it no more for a key."""
        descriptor = self._by_name.get(named)
        if descriptor is not None:
            self._waiting[descriptor].discard(key)
            if not self._waiting[descriptor]:
                self._close(descriptor)

    def ended(self, descriptor: int) -> "Set[str] | None":
        """Return whose process has ended, by its descriptor, which is closed then; None where it is none of these."""
        if descriptor not in self._names:
            return None
        return self._close(descriptor)

    def close(self) -> None:
        """Listen to none."""
        for descriptor in list(self._names):
            self._close(descriptor)

    def _close(self, descriptor: int) -> Set[str]:
        self._poll.unregister(descriptor)
        os.close(descriptor)
        del self._by_name[self._names.pop(descriptor)]
        return self._waiting.pop(descriptor)


def _opened(named: Named) -> int:
    """Return a pidfd of exactly this process: its number may have been given out again before it was opened."""
    descriptor = inotify.pidfd(named[0])
    if started(named[0]) != named[1]:
        os.close(descriptor)
        raise ProcessLookupError(errno.ESRCH, "it has ended")
    return descriptor


def started(pid: int) -> Optional[int]:
    """Return the clock ticks since boot at which a process started; None where there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return None


def _descriptors() -> int:
    import resource  # by an agent that listens, not by every agent at its start

    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
