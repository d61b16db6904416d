"""One conversation with an agent: the handshake, requests and answers by their numbers, and its last words."""

from __future__ import annotations

import select
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Self

from runbook.engine.errors import HostUnreachable
from runbook.engine.fleet import diagnosis, pack, shapes
from runbook.engine.fleet.asking import Asking
from runbook.engine.fleet.ration import Excess, Ration
from runbook.modules import wire

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runbook.engine.fleet.link import Link

START = 60.0  # seconds for an agent to answer the first time
_LINES = 12  # of an agent's last words that are told
_AGAIN = 0.02  # seconds until a link is tried again that can't tell when it has room
_LAST = 0.2  # seconds for the last words of an agent that ended
_EARLY = 1 << 16  # bytes of a frame before it is ready
_AT_ONCE = 16  # pieces of its standard error that are taken in one go
_LINE = 400  # characters of a line of it


class Conversation:
    """What is said over one link. Nothing here waits for an answer, but `receive` and `ready` where they are told to.

    The handshake goes on while the caller does other things; what fails in it is raised by the first call that needs
    the agent.

    Args:
        host: its name.
        link: what its bytes travel over; closed with this one.
        base: the directory on the host in which the agent keeps what is its own; None = the usual place.
        packages: directories on the host from which it may import as well.
        before: what goes to its standard input first (a password for sudo); the rest waits until it has begun.
        far: it runs on another machine: it is sent what its probes need, and all that small.
        become: it runs as another user than the one who logs in.
    """

    def __init__(
        self,
        host: str,
        link: Link,
        *,
        base: str | None,
        packages: Sequence[str] = (),
        before: bytes = b"",
        far: bool = False,
        become: bool = False,
    ) -> None:
        self.host = host
        self.python = ""
        self._link = link
        self._reader = wire.Reader(marked=True)
        self._reader.most = _EARLY
        self._ration = Ration()
        self._far = far
        first = pack.bootstrap() + wire.encode(_hello(base, packages, far=far, become=become))
        self._held = first if before else b""  # until the mark has come
        self._outgoing = bytearray(before or first)
        self._queued = bytearray()  # until the agent is ready
        self._ready = False
        self._seq = 0
        self._asking = Asking()
        self._arrived: deque[tuple[int, dict[str, Any]]] = deque()
        self._log = b""  # the end of its standard error
        self._bytes = 0
        self._closed = False
        self._flush()

    @property
    def awake(self) -> bool:
        """The handshake is over: it answers."""
        return self._ready

    @property
    def pending(self) -> bool:
        """Something waits for room, and no descriptor will tell when there is some: `receive` tries again."""
        return bool(self._outgoing) and self._link.stalled

    @property
    def overdue(self) -> bool:
        """A request should have been answered long ago."""
        return self._ration.overdue()

    @property
    def taken(self) -> int:
        """How many bytes of answers came so far: a message that is not whole yet shows by them that it is under way."""
        return self._bytes

    def polled(self) -> Mapping[int, int]:
        """Return what to wait for before the next `receive(0.0)`: descriptors, and the events of `select.poll`."""
        return self._link.polled()

    def send(self, request: Mapping[str, Any]) -> int:
        """Send a request and return the number that its answers bear."""
        self._seq += 1
        self._ration.asked(self._seq, request)
        if (asked := request.get("asked")) is not None:
            request = self._asking.request(asked, self._seq)
        frame = wire.encode({**request, "seq": self._seq})
        (self._outgoing if self._ready else self._queued).extend(frame)
        self._flush()
        return self._seq

    def receive(self, timeout: float | None = 0.0) -> list[tuple[int, dict[str, Any]]]:
        """Return the answers that are there, waiting for the first for at most `timeout` seconds (None: for ever).

        An answer with `progress` is followed by another of the same number.

        Raises:
            HostUnreachable: the agent is gone, or could not be started.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            rest = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not self._arrived:
                self._exchange(rest)
            found = list(self._arrived)
            self._arrived.clear()
            if found or (deadline is not None and time.monotonic() >= deadline):
                return found

    def ready(self, timeout: float = START) -> None:
        """Wait until the agent answers.

        Raises:
            HostUnreachable: it does not.
        """
        deadline = time.monotonic() + timeout
        while not self._ready:
            rest = deadline - time.monotonic()
            if rest <= 0:
                raise self.unanswered(timeout)
            self._exchange(rest)

    def unanswered(self, seconds: float) -> HostUnreachable:
        """Return the word that no agent began in so many seconds, with what was printed instead."""
        late = f"no agent answered within {seconds:g} s"
        if not self._reader.marked or not (self._reader.noise.strip() or self._words):
            return self._unreachable(late)
        what, mend = diagnosis.of(self._reader.noise, self._words, None)
        return HostUnreachable(f"{late}: {what}", where=self.host, mend=mend)

    def close(self) -> None:
        """Hang up. A step in hand goes on to its end on the host."""
        if self._closed:
            return
        self._closed = True
        self._link.close()
        self._link.ended()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _exchange(self, timeout: float | None) -> None:
        """Wait for something to happen, and take what did."""
        if self._closed:
            raise self._unreachable("the connection was closed")
        if timeout is None or timeout > 0.0:
            self._wait(timeout)
        self._listen()
        if self._outgoing:
            self._flush()
        self._take()

    def _wait(self, timeout: float | None) -> None:
        poller = select.poll()
        for descriptor, events in self._link.polled().items():
            poller.register(descriptor, events)
        if self.pending:
            timeout = _AGAIN if timeout is None else min(timeout, _AGAIN)
        poller.poll(None if timeout is None else timeout * 1000 + 0.5)

    def _take(self) -> None:
        data = self._link.read()
        if data is None:
            return
        if not data:
            self._listen(patience=_LAST)
            raise self._ended()
        self._bytes += len(data)
        try:
            for message in self._reader.each(data):
                self._hear(message)
        except wire.Junk as error:
            raise self._unreachable(f"what answered is no agent: {error}") from error
        except Excess as error:
            raise self._unreachable(f"what answered is no agent of ours: {error}") from error
        if self._held and not self._reader.marked:
            self._outgoing += self._held
            self._held = b""
            self._flush()

    def _hear(self, message: dict[str, Any]) -> None:
        """Take one message.

        Raises:
            Excess: it should not have come.
        """
        if "seq" not in message:
            self._shake_hands(message)
        elif message["seq"] is None:
            raise self._unreachable(f"the agent gave up: {shapes.text(message.get('error'))}")
        else:
            seq, answer = self._ration.answer(message)
            self._asking.answered(seq, answer.get("looks", ()))
            if answer:
                self._arrived.append((seq, answer))

    def _shake_hands(self, message: Mapping[str, Any]) -> None:
        need, ready = message.get("need"), message.get("ready")
        if isinstance(need, str):
            from runbook.engine.fleet import layers

            self._ration.gives(need)
            self._outgoing += wire.encode(layers.message(need))
        elif need is True:
            self._ration.gives(need)
            whole = self._far and message.get("whole") is True
            self._outgoing += wire.frame(pack.whole() if whole else pack.packed(small=self._far))
        elif isinstance(ready, dict) and not self._ready:
            self._ready = True
            self._reader.most = wire.LARGEST
            self.python = shapes.text(ready.get("python"))[:_LINE]
            self._outgoing += self._queued
            self._queued.clear()
        elif "beat" in message:
            self._ration.beats()
        else:
            raise self._unreachable(shapes.text(message.get("error", "it says what no agent of ours says")))
        self._flush()

    def _flush(self) -> None:
        while self._outgoing:
            taken = self._link.write(self._outgoing)
            if not taken:
                return
            del self._outgoing[:taken]

    def _listen(self, patience: float = 0.0) -> None:
        """Take the agent's log, which is told when it dies."""
        deadline = time.monotonic() + patience
        for _ in range(_AT_ONCE):
            while (data := self._link.words()) is None and time.monotonic() < deadline:
                time.sleep(0.005)
            if not data:
                return
            try:
                self._ration.words(len(data))
            except Excess as error:
                raise self._unreachable(f"what answered is no agent of ours: {error}") from error
            self._log = (self._log + data)[-_LINES * _LINE :]
            if self._held and (cause := diagnosis.known(self._words)) is not None:
                raise HostUnreachable(cause[0], where=self.host, mend=cause[1])  # sudo waits for a better password

    @property
    def _words(self) -> list[str]:
        """The last lines of its standard error."""
        return [line[:_LINE] for line in self._log.decode("utf-8", "replace").splitlines()[-_LINES:]]

    def _ended(self) -> HostUnreachable:
        """Return why there is no agent any more, or none came to be."""
        lost = self._link.lost()
        if lost is not None:
            return HostUnreachable(lost, where=self.host)
        how = self._link.ended()
        if not self._reader.marked:
            return self._unreachable(f"the agent ended{' with ' + how if how else ''}")
        what, mend = diagnosis.of(self._reader.noise, self._words, how)
        return HostUnreachable(what, where=self.host, mend=mend)

    def _unreachable(self, what: str) -> HostUnreachable:
        said = "\n  ".join(word for word in self._words if word.strip() and word.strip() not in what)
        return HostUnreachable(what, where=self.host, mend=f"its last words:\n  {said}" if said else "")


def _hello(base: str | None, packages: Sequence[str], *, far: bool, become: bool) -> dict[str, Any]:
    hello: dict[str, Any] = {"hello": 1, "hash": pack.digest(), "base": base, "packages": list(packages)}
    if far:
        from runbook.engine.fleet import packages as travelling

        hello["magic"] = pack.magic()
        hello["layers"] = [layer.named() for layer in travelling.base()]
    if become:
        hello["become"] = True
    return hello
