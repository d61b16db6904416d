"""What an agent hears between looks, and whom it tells: inotify, the ends of processes, the kernel's messages."""

import contextlib
import os
import re
import select
import time
from functools import lru_cache
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Set, Tuple, Union

from runbook.modules.listening import inotify
from runbook.modules.listening.keys import NEVER, Keys
from runbook.modules.listening.processes import Processes

DEVICE = "/dev/kmsg"
_SHORT, _LONG = 0.002, 0.05  # seconds for which it is deaf after it heard something, and after what mattered to nobody
_FORGET = 600.0  # seconds after a stir in which nobody looked: nobody is interested any more
_ITSELF = "="
_SELF = inotify.DELETE_SELF | inotify.MOVE_SELF | inotify.IGNORED

Heard = Union[bool, str]


class Hearing:
    """The ears of one agent. It touches no path that is watched: that may hang, and workers do it."""

    def __init__(self) -> None:
        self.keys = Keys()
        self._poll = select.epoll()
        self._processes = Processes(self._poll)
        self._kernel = -1
        self._watches: Dict[int, Dict[str, Set[str]]] = {}  # by watch and name, the keys
        self._armed: Dict[str, Mapping[str, Any]] = {}  # by key, what its last look told
        self._answers: Dict[str, Heard] = {}
        self._until, self._pause = 0.0, _SHORT
        self._untidy = False
        self._tidied = time.monotonic()
        self.instance, self._why = -1, ""
        try:
            self.instance = inotify.opened()
            self._poll.register(self.instance, select.EPOLLIN)
        except OSError as error:
            self._why = f"inotify can't be used: {error.strerror}; see fs.inotify.max_user_instances"

    @property
    def descriptor(self) -> int:
        """What becomes readable when there is something to hear."""
        return self._poll.fileno()

    def listens(self, now: float) -> bool:
        """Whether to wait for the descriptor: not right after it was readable, lest each of a flood be heard."""
        return now >= self._until

    def deadline(self, now: float) -> float:
        """When to call `hear` and `due` though the descriptor is not readable."""
        return min(self.keys.deadline, self._until if now < self._until else NEVER)

    def hear(self, now: float) -> None:
        """Take in what has happened."""
        found = False
        for descriptor, _ in self._poll.poll(0):
            if descriptor == self.instance:
                found = self._changes() or found
            elif descriptor == self._kernel:
                os.lseek(self._kernel, 0, os.SEEK_END)  # what it says, the probe reads
                found = self._stir(key for key, sought in self._armed.items() if sought.get("kernel")) or found
            else:
                found = self._stir(self._processes.ended(descriptor) or ()) or found
        calm = found or now - self._until > 1.0
        self._pause = _SHORT if calm else min(_LONG, self._pause * 2)
        self._until = now + self._pause

    def arm(self, key: str, sought: Optional[Mapping[str, Any]], cost: float) -> Optional[Heard]:
        """Listen for a key to what its look has told, and to nothing else; return True, or why it is only polled.

        Args:
            key: whom to tell.
            sought: what `seeking.sought` returned; None where nothing can be heard.
            cost: seconds of processor time that the look took.
        """
        self.keys.looked(key, cost, time.monotonic())
        before = self._armed.get(key)
        if sought != before:
            self._answers[key] = self._rearmed(key, before or {}, sought or {})
            if sought is None:
                del self._answers[key]
                self._armed.pop(key, None)
            else:
                self._armed[key] = sought
        return self._answers.get(key)

    def known(self, key: str) -> Optional[Heard]:
        """Return what `arm` returned last: a look that failed says nothing of what it would have listened to."""
        self._untidy = True  # it may have begun watches all the same
        return self._answers.get(key)

    def tidy(self, now: float) -> None:
        """End what nobody needs any more. Not while a worker looks: it may have begun a watch that it has not told."""
        if now - self._tidied > _FORGET / 10:
            self._tidied = now
            for key in self.keys.forgotten(now, _FORGET):
                self.arm(key, None, 0.0)
                self.keys.drop([key])
        if self._untidy and self.instance >= 0:
            self._untidy = False
            with contextlib.suppress(OSError):
                for watch in inotify.watches(self.instance) - self._watches.keys():
                    inotify.forget(self.instance, watch)

    def close(self) -> None:
        """Hear nothing any more."""
        self._processes.close()
        for descriptor in (self.instance, self._kernel):
            if descriptor >= 0:
                os.close(descriptor)
        self.instance = self._kernel = -1
        self._poll.close()

    def _stir(self, keys: Iterable[str]) -> bool:
        return sum(map(self.keys.stir, keys)) > 0

    def _changes(self) -> bool:
        """Take in what inotify tells; whether it was news to anybody."""
        found: Set[str] = set()
        for watch, name, mask in {(event.watch, event.name, event.mask) for event in inotify.events(self.instance)}:
            if mask & inotify.OVERFLOW:
                found.update(key for key, sought in self._armed.items() if sought.get("names"))
            names = self._watches.get(watch)
            if names is None:
                continue
            if mask & _SELF or not name:
                found.update(key for keys in names.values() for key in keys)
            if mask & inotify.IGNORED:  # the watch has ended; who looks next begins another
                del self._watches[watch]
                for key in {key for keys in names.values() for key in keys}:
                    self._armed[key] = {**self._armed[key], "ended": True}
            for pattern, keys in names.items():
                if not keys <= found and _means(pattern)(name):
                    found |= keys
        return self._stir(found)

    def _rearmed(self, key: str, before: Mapping[str, Any], sought: Mapping[str, Any]) -> Heard:
        why: List[str] = list(sought.get("why", ()))
        old = {(watch, name) for watch, name in before.get("names", ())}
        new = {(watch, name) for watch, name in sought.get("names", ())}
        self._untidy = self._untidy or not old <= new
        for watch, name in old - new:
            self._leave(watch, name, key)
        for watch, name in new:
            self._watches.setdefault(watch, {}).setdefault(name, set()).add(key)
        missed = not new <= old
        processes = _named(sought)
        for one in _named(before) - processes:
            self._processes.leave(one, key)
        for one in sorted(processes):
            refusal = self._processes.await_end(one, key)
            missed = missed or refusal is None
            why.append(refusal or "")
        if sought.get("kernel"):
            missed = missed or not before.get("kernel")
            why.append(self._kernel_heard())
        elif before.get("kernel") and not any(one.get("kernel") for name, one in self._armed.items() if name != key):
            self._kernel_left()
        if sought.get("deaf"):
            why.append(self._why)
        if missed:  # what came between the look and this was heard by nobody
            self.keys.stir(key)
        return "; ".join(dict.fromkeys(filter(None, why))) or True

    def _leave(self, watch: int, name: str, key: str) -> None:
        names = self._watches.get(watch, {})
        names.get(name, set()).discard(key)
        if name in names and not names[name]:
            del names[name]
        if not names:
            self._watches.pop(watch, None)

    def _kernel_heard(self) -> str:
        if self._kernel < 0:
            try:
                self._kernel = os.open(DEVICE, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                os.lseek(self._kernel, 0, os.SEEK_END)
                self._poll.register(self._kernel, select.EPOLLIN)
            except OSError as error:
                return f"{DEVICE}: {error.strerror}"
        return ""

    def _kernel_left(self) -> None:
        if self._kernel >= 0:
            self._poll.unregister(self._kernel)
            os.close(self._kernel)
            self._kernel = -1


def _named(sought: Mapping[str, Any]) -> Set[Tuple[int, int]]:
    return {(pid, started) for pid, started in sought.get("pids", ())}


@lru_cache(maxsize=8192)
def _means(pattern: str) -> Callable[[str], object]:
    """Return what tells whether a name is meant."""
    if pattern.startswith(_ITSELF):
        return lambda name: name == pattern[1:]
    return re.compile(pattern[1:]).match
