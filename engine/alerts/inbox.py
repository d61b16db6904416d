"""What was heard: the messages that wait to be taken in, and the alerts that they left.

The thread of the server puts messages in and waits; the watch takes them, and says when what they led to is durable.
Only then is the sender told that they arrived: a message that a crash swallows is sent again. Each receiver has a room
of its own: who fills one, or makes up others, takes nothing from the rest.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from runbook.engine.alerts.payload import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runbook.engine.alerts.payload import Alert

PATIENCE: Final = 5.0  # seconds for which a sender waits; an Alertmanager does for 10 and more
ROOM: Final = 2000  # alerts of a receiver that are remembered
STRANGERS: Final = 4  # receivers that no detector asked for yet, of which something is remembered
AT_ONCE: Final = 5  # messages that are taken in before anything else has its turn
FORGOTTEN: Final = 7 * 86400.0  # seconds after which an alert that nobody speaks of is forgotten
_WAITING: Final = 100  # messages that are not taken in yet
_GROUPS: Final = 2000  # of a receiver
_AGAIN: Final = 3600.0  # seconds after which it is told again that a room is full


class Full(Exception):
    """There is no room for more."""


class Post:
    """A message that has come."""

    def __init__(self, message: Message) -> None:
        self.message = message
        self.alone = False  # its sender gave up, and will send it again
        self._taken = threading.Event()

    @property
    def over(self) -> bool:
        """Nobody waits for it any more."""
        return self.alone or self._taken.is_set()

    def taken(self) -> None:
        """Say that what it led to is durable: its sender need not send it again."""
        self._taken.set()

    def wait(self, seconds: float) -> bool:
        """Wait until it was taken in; false: it was not."""
        taken = self._taken.wait(seconds)
        self.alone = not taken
        return taken


class _Room:
    """What is remembered of one receiver."""

    def __init__(self) -> None:
        self.alerts: dict[str, Alert] = {}  # by fingerprint, the one heard of last at the end
        self.groups: dict[str, float] = {}  # by key: when all that fires of it was told last
        self.asked = False  # by a detector
        self.revision = 0
        self.last: Post | None = None
        self.told = 0.0  # when it was told last that it is full

    @property
    def spare(self) -> bool:
        return not self.asked and (self.last is None or self.last.over)

    def take(self, message: Message) -> None:
        """Remember a message.

        Raises:
            Full: all that is left fires.
        """
        self._make_room(message)
        for alert in message.alerts:
            self.alerts.pop(alert.fingerprint, None)
            self.alerts[alert.fingerprint] = alert
        if message.whole and message.group:
            self.groups.pop(message.group, None)
            self.groups[message.group] = message.at
            if len(self.groups) > _GROUPS:
                del self.groups[next(iter(self.groups))]
        self.revision += 1

    def _make_room(self, message: Message) -> None:
        """Forget what is over, the oldest first."""
        known = {alert.fingerprint for alert in message.alerts}
        excess = len(self.alerts.keys() | known) - ROOM
        over = [
            key
            for key, alert in self.alerts.items()
            if key not in known and (alert.status == "resolved" or message.at - alert.heard > FORGOTTEN)
        ]
        if excess > len(over):
            raise Full(f"{ROOM} alerts of the receiver `{message.receiver}` fire already")
        for key in over[: max(excess, 0)]:
            del self.alerts[key]


class Inbox:
    """Messages and alerts.

    Args:
        call: is called, by any thread, when there is something to take in.
    """

    def __init__(self, call: Callable[[], None] = lambda: None) -> None:
        self._call = call
        self._lock = threading.Lock()
        self._posts: list[Post] = []
        self._rooms: dict[str, _Room] = {}  # by receiver, the one heard of last at the end
        self._closed = False

    def put(self, message: Message) -> Post:
        """Take a message from its sender.

        Raises:
            Full: too much waits already, or fires.
        """
        with self._lock:
            self._posts = [post for post in self._posts if not post.alone]
            if self._closed or len(self._posts) >= _WAITING:
                raise Full("too many messages wait to be taken in")
            room = self._room(message.receiver)
            post = Post(message)
            try:
                room.take(message)
            except Full as full:
                self._complain(room, message, full)
                raise
            room.last = post
            self._rooms[message.receiver] = self._rooms.pop(message.receiver, room)
            self._posts.append(post)
        self._call()
        return post

    def heard(self) -> Sequence[Post]:
        """Return what came since this was asked last, in order, some at once; `call` is called when there is more."""
        with self._lock:
            posts = [post for post in self._posts if not post.alone]
            found, self._posts = posts[:AT_ONCE], posts[AT_ONCE:]
            more = bool(self._posts)
        if more:
            self._call()
        return found

    def alerts(self, receiver: str) -> list[Alert]:
        """Return what was heard of a receiver's alerts since this process began; whoever asks has it remembered."""
        with self._lock:
            return list(self._asked(receiver).alerts.values())

    def groups(self, receiver: str) -> Mapping[str, float]:
        """Return by its key when all that fires of a group was told last."""
        with self._lock:
            return dict(self._asked(receiver).groups)

    def revision(self, receiver: str) -> int:
        """Return a number that is another one when something new was heard."""
        with self._lock:
            return self._asked(receiver).revision

    def close(self) -> None:
        """Take no more."""
        with self._lock:
            self._closed = True

    def _asked(self, receiver: str) -> _Room:
        room = self._rooms.setdefault(receiver, _Room())
        room.asked = True
        return room

    def _room(self, receiver: str) -> _Room:
        """Return a receiver's room; for one that nobody asked for, the one that was used longest ago goes."""
        room = self._rooms.get(receiver)
        if room is not None:
            return room
        strangers = [name for name, each in self._rooms.items() if not each.asked]
        if len(strangers) >= STRANGERS:
            gone = next((name for name in strangers if self._rooms[name].spare), None)
            if gone is None:
                raise Full(f"no detector asks for the receiver `{receiver}`, nor for {STRANGERS} others that wait")
            del self._rooms[gone]
        return _Room()

    def _complain(self, room: _Room, message: Message, why: Full) -> None:
        """Let the watch tell, once an hour, that alerts of a detector are refused."""
        if room.asked and message.at - room.told > _AGAIN:
            room.told = message.at
            said = Message(message.receiver, "", (), whole=False, at=message.at, notes=(f"alerts are refused: {why}",))
            self._posts.append(Post(said))
            self._call()
