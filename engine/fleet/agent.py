"""The controller's end of one connection to an agent, however it was made."""

from __future__ import annotations

import select
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from runbook.engine.errors import HostUnreachable
from runbook.engine.fleet import messages, pack
from runbook.engine.model import StepStatus
from runbook.modules import states, wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from runbook.engine.fleet.link import Link
    from runbook.engine.fleet.messages import Claim, Spec
    from runbook.engine.model import Look, Order, Outcome

_LINES = 12  # of an agent's last words that are told
_START = 60.0  # seconds for an agent to answer the first time
_PATIENCE = 30.0  # seconds over the time that a request may take by itself
_AGAIN = 0.02  # seconds until a link is tried again that can't tell when it has room
_LAST = 0.2  # seconds for the last words of an agent that ended


class Agent:
    """One agent. `send` and `receive` never block for an answer; `probe`, `run`, `ask` and `undo` do.

    Made by a transport (`local.connect`). The handshake goes on while the caller does other things; what fails in it
    is raised by the first call that needs the agent.
    """

    def __init__(
        self,
        host: str,
        link: Link,
        *,
        base: str | None,
        packages: Sequence[str] = (),
    ) -> None:
        self.host = host
        self.python = ""
        self._link = link
        self._reader = wire.Reader(marked=True)
        hello = {"hello": 1, "hash": pack.digest(), "base": base, "packages": list(packages)}
        self._outgoing = bytearray(pack.bootstrap() + wire.encode(hello))
        self._queued = bytearray()  # until the agent is ready
        self._ready = False
        self._seq = 0
        self._looking: dict[int, dict[str, Any]] = {}  # by request, the looks that were asked for and their states
        self._told: dict[str, tuple[int, Any]] = {}  # by look, the state that it answered last, and in which request
        self._arrived: deque[tuple[int, dict[str, Any]]] = deque()
        self._words: deque[str] = deque(maxlen=_LINES)
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

    def polled(self) -> list[tuple[int, int]]:
        """Return what to wait for before the next `receive(0.0)`: descriptors, and the events of `select.poll`."""
        return self._link.polled()

    def send(self, request: Mapping[str, Any]) -> int:
        """Send a request and return the number that its answers bear."""
        self._seq += 1
        specs = request.get("specs")
        if isinstance(specs, list):
            self._looking[self._seq] = {str(spec["id"]): spec.get("state") or {} for spec in specs}
            request = {**request, "specs": [self._brief(spec) for spec in specs]}
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

    def ready(self, timeout: float = _START) -> None:
        """Wait until the agent answers.

        Raises:
            HostUnreachable: it does not.
        """
        deadline = time.monotonic() + timeout
        while not self._ready:
            rest = deadline - time.monotonic()
            if rest <= 0:
                raise self._unreachable(f"the agent did not answer within {timeout:g} s")
            self._exchange(rest)

    def probe(self, specs: Iterable[Spec]) -> dict[str, Look]:
        """Look, and return what was seen by the specs' ids."""
        asked = list(specs)
        seq = self.send(messages.probe(asked))
        return messages.looks(self._answer(seq, sum(spec.deadline for spec in asked)))

    def run(
        self,
        intent: str,
        order: Order,
        *,
        claim: Claim | None = None,
        subject: str = "",
        writable: Sequence[str] = (),
        check: bool = False,
        diff: bool = False,
        progress: Callable[[str], None] | None = None,
    ) -> Outcome:
        """Carry out a step (with `check`: only say what it would do) and return how it ended."""
        seq = self.submit(
            intent,
            order,
            claim=claim,
            subject=subject,
            writable=writable,
            check=check,
            diff=diff,
        )
        return messages.outcome(self._answer(seq, order.timeout, progress))

    def submit(
        self,
        intent: str,
        order: Order,
        *,
        claim: Claim | None = None,
        subject: str = "",
        writable: Sequence[str] = (),
        check: bool = False,
        diff: bool = False,
    ) -> int:
        """Send a step and return the number that its answers will bear, for who waits for several."""
        return self.send(
            messages.run(
                intent,
                order,
                claim=claim,
                subject=subject,
                writable=writable,
                check=check,
                diff=diff,
            )
        )

    @staticmethod
    def looks(message: Mapping[str, Any]) -> dict[str, Look]:
        """Return what an answer to a probe request says was seen, by the specs' ids."""
        return messages.looks(message)

    @staticmethod
    def outcome(message: Mapping[str, Any]) -> Outcome:
        """Return how a step ended, by an answer that is not progress."""
        return messages.outcome(message)

    def ask(self, intent: str, at: float | None = None) -> Outcome:
        """Return what became of an intent that was made then: its result, RUNNING or LOST (and never to begin)."""
        return messages.outcome(self._answer(self.send(messages.ask(intent, at)), 0.0))

    def await_intent(
        self, intent: str, at: float | None = None, *, within: float = 60.0, every: float = 0.1
    ) -> Outcome:
        """Return what became of an intent, waiting for one that still runs; RUNNING when it runs for longer."""
        deadline = time.monotonic() + within
        while True:
            outcome = self.ask(intent, at)
            if outcome.status is not StepStatus.RUNNING or time.monotonic() >= deadline:
                return outcome
            time.sleep(every)

    def undo(self, intent: str, writable: Sequence[str]) -> Outcome:
        """Undo an intent, the last action first."""
        return messages.outcome(self._answer(self.send(messages.undo(intent, writable)), 600.0))

    def close(self) -> None:
        """Hang up. A step in hand goes on to its end on the host."""
        if self._closed:
            return
        self._closed = True
        self._link.close()
        self._link.ended()

    def __enter__(self) -> Agent:  # noqa: PYI034 -- not made to be derived from
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(self, seq: int, timeout: float, progress: Callable[[str], None] | None = None) -> dict[str, Any]:
        """Wait for one answer; others are kept for `receive`."""
        deadline = time.monotonic() + timeout + _PATIENCE + (0.0 if self._ready else _START)
        others: list[tuple[int, dict[str, Any]]] = []
        try:
            while (rest := deadline - time.monotonic()) > 0:
                for number, message in self.receive(rest):
                    if number != seq:
                        others.append((number, message))
                    elif "progress" in message:
                        if progress is not None:
                            progress(messages.printable(message["progress"]))
                    elif "error" in message:
                        raise self._unreachable(f"the agent can't do that: {message['error']}")
                    else:
                        return message
        finally:
            self._arrived.extendleft(reversed(others))
        raise self._unreachable(f"the agent gave no answer within {timeout + _PATIENCE:g} s")

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
        for descriptor, events in self._link.polled():
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
            how = self._link.ended()
            raise self._unreachable(f"the agent ended{' with ' + how if how else ''}")
        try:
            arrived = self._reader.feed(data)
        except wire.Junk as error:
            raise self._unreachable(f"what answered is no agent: {error}") from error
        for message in arrived:
            if "seq" in message:
                if message["seq"] is None:
                    raise self._unreachable(f"the agent gave up: {message.get('error')}")
                self._arrived.append((int(message["seq"]), self._read(message)))
            else:
                self._shake_hands(message)

    def _read(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return an answer; in the place of one that can't be read, one that says so."""
        asked = self._looking.pop(int(message["seq"]), None)
        if "unreadable" not in message:
            if asked is not None:
                self._remember(int(message["seq"]), message.get("looks", ()), asked)
            return message
        reason = f"the agent's answer can't be read: {message['unreadable']}"
        if asked is not None:
            looks = [{"id": one, "status": "unknown", "reason": reason} for one in asked]
            return {"seq": message["seq"], "looks": looks}
        return {"seq": message["seq"], "result": wire.result("lost", reason)}

    def _brief(self, spec: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a spec without the state that the agent itself told last."""
        seq, state = self._told.get(str(spec["id"]), (0, None))
        if not state or state != spec.get("state"):
            self._told.pop(str(spec["id"]), None)
            return spec
        return {**{name: value for name, value in spec.items() if name != "state"}, states.OF: seq}

    def _remember(self, seq: int, looks: Iterable[dict[str, Any]], asked: Mapping[str, Any]) -> None:
        """Put in the states that are what the looks were given."""
        for look in looks:
            if look.get("status") == "seen":
                if look.pop(states.SAME, False):
                    look["state"] = asked[str(look["id"])]
                self._told[str(look["id"])] = seq, look["state"]

    def _shake_hands(self, message: Mapping[str, Any]) -> None:
        need = message.get("need")
        if isinstance(need, str):
            from runbook.engine.fleet import layers

            self._outgoing += wire.encode(layers.message(need))
        elif need:
            self._outgoing += wire.frame(pack.packed())
        elif "ready" in message:
            self._ready = True
            self.python = str(message["ready"].get("python", ""))
            self._outgoing += self._queued
            self._queued.clear()
        else:
            raise self._unreachable(str(message.get("error", message)))
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
        while True:
            data = self._link.words()
            if data is None:
                if time.monotonic() >= deadline:
                    return
                time.sleep(0.005)
                continue
            if not data:
                return
            self._words.extend(data.decode("utf-8", "replace").splitlines())

    def _unreachable(self, what: str) -> HostUnreachable:
        said = "\n  ".join(word for word in self._words if word.strip() and word.strip() not in what)
        return HostUnreachable(what, where=self.host, mend=f"its last words:\n  {said}" if said else "")
