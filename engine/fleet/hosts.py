"""The connections of a run: dialled by threads when they are first needed, kept, and served by one thread.

A host is asked by its name, and by the user under whom its agent is to run; "" is the one who logs in. Each request
has a ticket; what answers it bears that, and so does the word that the host is gone.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.errors import HostUnreachable
from runbook.engine.fleet import messages
from runbook.engine.fleet.connection import Gone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from runbook.engine.fleet.agent import Agent
    from runbook.engine.fleet.connection import Answer
    from runbook.engine.fleet.line import Line
    from runbook.engine.fleet.messages import Claim
    from runbook.engine.model import Order

FORKS: Final = 50  # hosts that are dialled at once, unless --forks says otherwise
START: Final = 30.0  # seconds for an agent to take its code and answer
SILENCE: Final = 5.0  # seconds after which an agent with something in hand is asked whether it lives
GONE: Final = 15.0  # seconds of silence after which it does not
REST: Final = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)  # seconds before a host that was lost is dialled again
_STALLED: Final = 0.02  # seconds after which output is tried again that no descriptor can announce
_SAYS: Final = 16 << 10  # bytes of an answer on its way that count as a sign of life
_TURN: Final = 0.5  # seconds after which silences are counted at the latest

Place = tuple[str, str]  # a host, and the user under whom its agent runs


class Hosts:
    """The kept connections to some hosts.

    Args:
        dial: makes a line to a host by its name; blocks, and is called from several threads.
        forks: how many hosts are dialled at once; 0 = by this thread, where to dial costs nothing.
        limits: seconds: for an agent's start, of silence before an agent is asked, and before it counts as gone.

    Example:
        >>> with Hosts(lambda name: dial(targets[name], asker)) as hosts:    # doctest: +SKIP
        ...     ticket = hosts.send("gpu01", messages.probe(specs))
        ...     answers = hosts.receive(1.0)
    """

    def __init__(
        self,
        dial: Callable[[str], Line],
        *,
        forks: int = FORKS,
        limits: tuple[float, float, float] = (START, SILENCE, GONE),
    ) -> None:
        self._dial = dial
        self._forks = forks
        self._start, self._silence, self._gone = limits
        self._places: dict[Place, _Place] = {}
        self._users: dict[str, list[str]] = {}  # by host
        self._pending: set[_Place] = set()  # whose output waits for room that no descriptor announces
        self._lines: dict[str, _Line] = {}
        self._by_descriptor: dict[int, _Place] = {}
        self._poll = select.epoll()
        self._woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll.register(self._woken, select.EPOLLIN)
        self._lock = threading.Lock()
        self._jobs: deque[_Job] = deque()  # for the threads that dial
        self._done: deque[_Job] = deque()  # what they have come to
        self._threads = 0
        self._ticket = 0
        self._answers: deque[Answer] = deque()
        self._reached: set[str] = set()
        self._counted = 0.0
        self._closed = False

    def __enter__(self) -> Hosts:  # noqa: PYI034 -- not made to be derived from
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, host: str, request: Mapping[str, Any], user: str = "") -> int:
        """Send a request and return its ticket; a host that is not connected is dialled."""
        self._ticket += 1
        place = self._places.get((host, user))
        if place is None:
            place = self._places[host, user] = _Place(host, user)
            self._users.setdefault(host, []).append(user)
        if place.agent is not None:
            self._pass_on(place, self._ticket, request)
        elif place.dialling or time.monotonic() >= place.again:
            place.waiting.append((self._ticket, request))
            if not place.dialling:
                self._begin(place)
        else:
            self._answers.append((self._ticket, place.gone))
        return self._ticket

    def submit(
        self,
        host: str,
        intent: str,
        order: Order,
        *,
        user: str = "",
        subject: str = "",
        claim: Claim | None = None,
        writable: Sequence[str] = (),
        check: bool = False,
        diff: bool = False,
    ) -> int:
        """Send a step and return its ticket."""
        about: dict[str, Any] = {"claim": claim, "subject": subject, "writable": writable, "check": check, "diff": diff}
        return self.send(host, messages.run(intent, order, **about), user)

    def receive(self, timeout: float) -> Sequence[Answer]:
        """Return the answers that are there, waiting for the first for at most `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            rest = 0.0 if self._answers else max(0.0, deadline - time.monotonic())
            self._turn(min(rest, _TURN, _STALLED if self._pending else _TURN))
            if self._answers or time.monotonic() >= deadline:
                found, self._answers = self._answers, deque()
                return found

    def up(self, host: str) -> bool:
        """Tell whether a host was reached since this began."""
        return host in self._reached

    looks = staticmethod(messages.looks)
    outcome = staticmethod(messages.outcome)

    def python(self, host: str, user: str = "") -> str:
        """Return the version of a host's Python; empty where it is not connected."""
        place = self._places.get((host, user))
        return place.agent.python if place is not None and place.agent is not None else ""

    def close(self) -> None:
        """Hang up everywhere. Steps in hand go on to their ends on their hosts."""
        with self._lock:
            self._closed = True
            self._jobs.clear()
        for place in self._places.values():
            self._drop(place)
        for job in self._done:
            job.undo()
        for line in self._lines.values():
            line.close()
        self._poll.close()
        with self._lock:  # a thread may yet come back with a line; it closes that itself
            os.close(self._woken)
            os.close(self._waker)

    def _turn(self, timeout: float) -> None:
        for descriptor, _ in self._poll.poll(timeout):
            if descriptor == self._woken:
                os.read(self._woken, 4096)
            elif (place := self._by_descriptor.get(descriptor)) is not None:
                self._hear(place)
        while self._done:
            self._dialled(self._done.popleft())
        now = time.monotonic()
        due: Iterable[_Place] = self._pending
        if now - self._counted >= min(_TURN, self._gone / 10):
            self._counted, due = now, self._places.values()
        for place in list(due):
            if place.agent is not None:
                self._count(place, now)

    def _hear(self, place: _Place) -> None:
        """Take what an agent has said."""
        assert place.agent is not None
        try:
            arrived = place.agent.receive(0.0)
        except HostUnreachable as error:
            self._lost(place, error)
            return
        agent = place.agent
        if arrived or agent.taken - place.taken >= _SAYS:  # a byte a second is silence
            place.heard, place.pinged, place.taken = time.monotonic(), False, agent.taken
        if place.agent.awake and place.host not in self._reached:
            self._reached.add(place.host)
        if place.agent.awake:
            place.losses = 0
        for number, message in arrived:
            ticket = place.tickets.get(number)
            if "progress" not in message:
                place.tickets.pop(number, None)
            if ticket:
                self._answers.append((ticket, message))
        self._register(place)

    def _count(self, place: _Place, now: float) -> None:
        """See to an agent that is silent though it has something in hand."""
        agent = place.agent
        assert agent is not None
        late = now - place.heard > self._gone or (not agent.awake and now - place.began > self._start)
        if agent.pending or late:  # it may have answered long ago, while this thread was busy
            self._hear(place)
            if place.agent is None:
                return
        silent = now - place.heard
        if not agent.awake:
            if now - place.began > self._start:
                self._lost(place, agent.unanswered(self._start))
        elif not place.tickets:
            place.heard = now
        elif silent > self._gone:
            self._lost(place, HostUnreachable(f"silent for {silent:.0f} s"))
        elif agent.overdue:
            self._lost(place, HostUnreachable("it did not answer in time, though it lives"))
        elif silent > self._silence and not place.pinged:
            place.pinged = True
            self._pass_on(place, 0, {"op": "ping"})

    def _pass_on(self, place: _Place, ticket: int, request: Mapping[str, Any]) -> None:
        assert place.agent is not None
        if not place.tickets:
            place.heard = time.monotonic()
        try:
            number = place.agent.send(request)
        except HostUnreachable as error:
            self._answers.append((ticket, Gone(place.host, place.user, error.what, error.mend)))
            self._lost(place, error)
            return
        place.tickets[number] = ticket
        self._register(place)

    def _lost(self, place: _Place, error: HostUnreachable) -> None:
        """Tell everybody who waits for a host that it is gone."""
        awake = place.agent is not None and place.agent.awake
        self._drop(place)
        if not any(self._needs(place.host, user) for user in self._users[place.host]):
            line = self._lines.pop(place.host, None)
            if line is not None:
                line.close()
        rest = REST[min(place.losses, len(REST) - 1)]
        place.losses += 1
        place.again = time.monotonic() + rest
        place.gone = Gone(place.host, place.user, error.what, error.mend)
        tickets, place.tickets = place.tickets, {}
        sent = Gone(place.host, place.user, error.what, error.mend, sent=awake)
        self._answers.extend((ticket, sent) for ticket in tickets.values() if ticket)
        waiting, place.waiting = place.waiting, []
        self._answers.extend((ticket, place.gone) for ticket, _ in waiting)

    def _needs(self, host: str, user: str) -> bool:
        """Tell whether an agent lives on a host's line, or is about to."""
        place = self._places[host, user]
        return place.agent is not None or place.dialling

    def _drop(self, place: _Place) -> None:
        self._pending.discard(place)
        for descriptor in place.registered:
            self._poll.unregister(descriptor)
            self._by_descriptor.pop(descriptor, None)
        place.registered = {}
        if place.agent is not None:
            place.agent.close()
        place.agent = None

    def _register(self, place: _Place) -> None:
        """Have the poll wait for what the agent waits for now."""
        assert place.agent is not None
        (self._pending.add if place.agent.pending else self._pending.discard)(place)
        wanted = dict(place.agent.polled())
        if wanted == place.registered:
            return
        for descriptor in place.registered.keys() - wanted.keys():
            self._poll.unregister(descriptor)
            self._by_descriptor.pop(descriptor, None)
        for descriptor, events in wanted.items():
            if descriptor not in place.registered:
                self._poll.register(descriptor, events)
                self._by_descriptor[descriptor] = place
            elif place.registered[descriptor] != events:
                self._poll.modify(descriptor, events)
        place.registered = wanted

    def _begin(self, place: _Place) -> None:
        """Have a thread dial."""
        place.dialling = True
        job = _Job(place, self._lines.setdefault(place.host, _Line()))
        if not self._forks:
            job.do(self._dial)
            self._dialled(job)
            return
        with self._lock:
            self._jobs.append(job)
            more = self._threads < min(self._forks, self._threads + len(self._jobs))
            self._threads += more
        if more:
            threading.Thread(target=self._work, name="runbook dials", daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._jobs:
                    self._threads -= 1
                    return
                job = self._jobs.popleft()
            job.do(self._dial)
            with self._lock:
                if self._closed:
                    self._threads -= 1
                    job.undo()
                    return
                self._done.append(job)
                os.write(self._waker, b".")

    def _dialled(self, job: _Job) -> None:
        place = job.place
        place.dialling = False
        if job.agent is None:
            self._lost(place, job.error or HostUnreachable("it could not be dialled"))
            return
        place.agent = job.agent
        place.began = place.heard = time.monotonic()
        place.pinged, place.taken = False, 0
        self._register(place)
        self._serve(place)

    def _serve(self, place: _Place) -> None:
        """Pass on what has waited for a connection."""
        waiting, place.waiting = place.waiting, []
        for ticket, request in waiting:
            if place.agent is None:
                self._answers.append((ticket, place.gone))
            else:
                self._pass_on(place, ticket, request)
        if place.agent is not None:
            self._hear(place)


class Here:
    """The line to this machine: each of its agents is a child process.

    Args:
        base: the directory that they keep what they have to keep in; None = the usual place.
    """

    def __init__(self, base: str | None = None) -> None:
        self._base = base

    def agent(self, user: str | None = None) -> Agent:
        """Start an agent."""
        from runbook.engine.fleet import local

        if user is not None:
            raise HostUnreachable("this machine's agent can't become another user", where="localhost")
        return local.connect(self._base)

    def close(self) -> None:
        """There is nothing to hang up but the agents."""


def here(base: str | None = None) -> Hosts:
    """Return a fleet of this machine alone, whatever it is called."""
    return Hosts(lambda _host: Here(base), forks=0)


class _Place:
    """One agent: what is asked of it, and how it is."""

    def __init__(self, host: str, user: str) -> None:
        self.host, self.user = host, user
        self.agent: Agent | None = None
        self.dialling = False
        self.waiting: list[tuple[int, Mapping[str, Any]]] = []  # until it is connected
        self.tickets: dict[int, int] = {}  # by the agent's numbers; 0: nobody's
        self.registered: dict[int, int] = {}
        self.gone = Gone(host, user, "it was not dialled yet")
        self.losses = 0  # in a row
        self.again = 0.0  # when it may be dialled
        self.began = self.heard = 0.0
        self.taken = 0  # bytes that it had sent when it was heard last
        self.pinged = False


class _Line:
    """A host's line, which several of its agents share; made by whichever thread needs it first."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.line: Line | None = None

    def close(self) -> None:
        if self.lock.acquire(blocking=False):  # else a thread dials, and closes what it comes back with
            line, self.line = self.line, None
            self.lock.release()
            if line is not None:
                line.close()


class _Job:
    """One agent to be started by a thread."""

    def __init__(self, place: _Place, line: _Line) -> None:
        self.place, self._line = place, line
        self.agent: Agent | None = None
        self.error: HostUnreachable | None = None

    def do(self, dial: Callable[[str], Line]) -> None:
        """Dial, and start the agent."""
        with self._line.lock:
            try:
                if self._line.line is None:
                    self._line.line = dial(self.place.host)
                self.agent = self._line.line.agent(self.place.user or None)
            except HostUnreachable as error:
                self.error = error
            except Exception as error:  # noqa: BLE001 -- a thread's end would leave the host in doubt for ever
                self.error = HostUnreachable(f"{type(error).__name__}: {error}", where=self.place.host)

    def undo(self) -> None:
        """Hang up: nobody waits any more."""
        if self.agent is not None:
            self.agent.close()
        if self._line.line is not None:
            self._line.line.close()
