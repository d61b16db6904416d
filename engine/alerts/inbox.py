"""What was heard: the messages that wait to be taken in, and the alerts that they left.

The thread of the server puts messages in and waits; the watch takes them, and says when what they led to is durable.
Only then is the sender told that they arrived: a message that a crash swallows is sent again.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runbook.engine.alerts.payload import Alert, Message

PATIENCE: Final = 5.0  # seconds for which a sender waits; an Alertmanager does for 10 and more
ROOM: Final = 2000  # alerts that are remembered
FORGOTTEN: Final = 7 * 86400.0  # seconds after which an alert that nobody speaks of is forgotten
_WAITING: Final = 100  # messages that are not taken in yet
_GROUPS: Final = 4000


class Full(Exception):
    """There is no room for more."""


class Post:
    """A message that has come."""

    def __init__(self, message: Message) -> None:
        self.message = message
        self._taken = threading.Event()

    @property
    def receiver(self) -> str:
        """Whom it is for."""
        return self.message.receiver

    def taken(self) -> None:
        """Say that what it led to is durable: its sender need not send it again."""
        self._taken.set()

    def wait(self, seconds: float) -> bool:
        """Wait until it was taken in; false: it was not."""
        return self._taken.wait(seconds)


class Inbox:
    """Messages and alerts.

    Args:
        call: is called, by the server's thread, when there is something new.
    """

    def __init__(self, call: Callable[[], None] = lambda: None) -> None:
        self._call = call
        self._lock = threading.Lock()
        self._posts: list[Post] = []
        self._alerts: dict[tuple[str, str], Alert] = {}  # by receiver and fingerprint, the one heard of last at the end
        self._groups: dict[tuple[str, str], float] = {}  # by receiver and key: when all that fires of it was told last
        self._closed = False

    def put(self, message: Message) -> Post:
        """Take a message from its sender.

        Raises:
            Full: too much waits already, or fires.
        """
        with self._lock:
            if self._closed or len(self._posts) >= _WAITING:
                raise Full("too many messages wait to be taken in")
            self._make_room(message)
            for alert in message.alerts:
                key = (message.receiver, alert.fingerprint)
                self._alerts.pop(key, None)
                self._alerts[key] = alert
            if message.whole and message.group:
                group = (message.receiver, message.group)
                self._groups.pop(group, None)
                self._groups[group] = message.at
                if len(self._groups) > _GROUPS:
                    del self._groups[next(iter(self._groups))]
            post = Post(message)
            self._posts.append(post)
        self._call()
        return post

    def heard(self) -> Sequence[Post]:
        """Return what came since this was asked last, in order."""
        with self._lock:
            found, self._posts = self._posts, []
        return found

    def alerts(self, receiver: str) -> list[Alert]:
        """Return what was heard of a receiver's alerts since this process began."""
        with self._lock:
            return [alert for (whom, _), alert in self._alerts.items() if whom == receiver]

    def groups(self, receiver: str) -> Mapping[str, float]:
        """Return by its key when all that fires of a group was told last."""
        with self._lock:
            return {group: at for (whom, group), at in self._groups.items() if whom == receiver}

    def close(self) -> None:
        """Take no more."""
        with self._lock:
            self._closed = True

    def _make_room(self, message: Message) -> None:
        """Forget what is over, the oldest first.

        Raises:
            Full: all that is left fires.
        """
        known = {(message.receiver, alert.fingerprint) for alert in message.alerts}
        excess = len(self._alerts.keys() | known) - ROOM
        over = [
            key
            for key, alert in self._alerts.items()
            if key not in known and (alert.status == "resolved" or message.at - alert.heard > FORGOTTEN)
        ]
        for key in over:
            if excess <= 0:
                return
            del self._alerts[key]
            excess -= 1
        if excess > 0:
            raise Full(f"{ROOM} alerts fire already")
