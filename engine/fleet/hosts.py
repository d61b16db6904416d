"""The connections of a run: dialled by threads when they are first needed, kept, and served by one thread.

A host is asked by its name, and by the user under whom its agent is to run; "" is the one who logs in. Each request
has a ticket; what answers it bears that, and so does the word that the host is gone.
"""

from __future__ import annotations

import select
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.errors import HostUnreachable
from runbook.engine.fleet import messages
from runbook.engine.fleet.connection import Gone
from runbook.engine.fleet.dialling import Dialling, Waker
from runbook.engine.fleet.line import Here
from runbook.engine.fleet.places import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from runbook.engine.fleet.connection import Answer
    from runbook.engine.fleet.dialling import Job
    from runbook.engine.fleet.line import Line
    from runbook.engine.fleet.messages import Errand

FORKS: Final = 50  # hosts that are dialled at once, unless --forks says otherwise
START: Final = 30.0  # seconds for an agent to take its code and answer
SILENCE: Final = 5.0  # seconds after which an agent with something in hand is asked whether it lives
GONE: Final = 15.0  # seconds of silence after which it does not
REST: Final = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)  # seconds before a host that was lost is dialled again
_STALLED: Final = 0.02  # seconds after which output is tried again that no descriptor can announce
_SAYS: Final = 16 << 10  # bytes of an answer on its way that count as a sign of life
_TURN: Final = 0.5  # seconds after which silences are counted at the latest


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
        self._start, self._silence, self._gone = limits
        self._places: dict[tuple[str, str], Place] = {}
        self._users: dict[str, list[str]] = {}  # by host
        self._pending: set[Place] = set()  # whose output waits for room that no descriptor announces
        self._by_descriptor: dict[int, Place] = {}
        self._poll = select.epoll()
        self._waker = Waker()
        self._poll.register(self._waker.descriptor, select.EPOLLIN)
        self._dialling = Dialling(dial, forks, self._waker)
        self._ticket = 0
        self._answers: deque[Answer] = deque()
        self._reached: set[str] = set()
        self._counted = 0.0
        self._roused = False  # `wake` was called

    def __enter__(self) -> Hosts:  # noqa: PYI034 -- not made to be derived from
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, host: str, request: Mapping[str, Any], user: str = "") -> int:
        """Send a request and return its ticket; a host that is not connected is dialled."""
        self._ticket += 1
        place = self._places.get((host, user))
        if place is None:
            place = self._places[host, user] = Place(host, user)
            self._users.setdefault(host, []).append(user)
        if place.agent is not None:
            self._pass_on(place, self._ticket, request)
        elif place.dialling or time.monotonic() >= place.again:
            place.waiting.append((self._ticket, request))
            if request.get("op") == "listen":
                place.channel = self._ticket
            if not place.dialling:
                self._dialling.begin(place)
                self._take_up()
        else:
            self._answers.append((self._ticket, place.gone))
        return self._ticket

    def submit(self, host: str, errand: Errand, user: str = "") -> int:
        """Send a step and return its ticket."""
        return self.send(host, messages.run(errand), user)

    def listen(self, host: str, user: str = "") -> int:
        """Have an agent say when what was looked at stirs (`Spec.listen`); return the ticket that this comes under.

        It comes as `{"stirred": [keys], "at": seconds}` for as long as the connection lives; that costs nothing while
        nothing happens. Where the agent listens already, the ticket is that which it has.
        """
        place = self._places.get((host, user))
        return place.channel if place is not None and place.channel else self.send(host, messages.listen(), user)

    def adopt(self, dial: Callable[[str], Line], lost: Iterable[str]) -> None:
        """Dial by something else from now on, and hang up on hosts that it reaches in another way, or not at all."""
        self._dialling.dial = dial
        for host in lost:
            for user in self._users.pop(host, ()):
                place = self._places.pop((host, user))
                place.forsaken = True
                place.gone = Gone(host, user, "the inventory has changed: it is dialled anew")
                awake = place.agent is not None and place.agent.awake
                self._drop(place)
                self._answers.extend(place.abandon(place.gone, sent=awake))
            self._dialling.hang_up(host)
            self._reached.discard(host)

    def wake(self) -> None:
        """Let `receive` return at once; any thread may call this."""
        self._roused = True
        self._waker.ring()

    def receive(self, timeout: float) -> Sequence[Answer]:
        """Return the answers that are there, waiting for the first, or for `wake`, for at most `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            rest = 0.0 if self._answers else max(0.0, deadline - time.monotonic())
            self._turn(min(rest, _TURN, _STALLED if self._pending else _TURN))
            if self._answers or self._roused or time.monotonic() >= deadline:
                self._roused = False
                found, self._answers = self._answers, deque()
                return found

    def up(self, host: str) -> bool:
        """Tell whether a host was reached since this began."""
        return host in self._reached

    looks = staticmethod(messages.looks)
    heard = staticmethod(messages.heard)
    outcome = staticmethod(messages.outcome)

    def python(self, host: str, user: str = "") -> str:
        """Return the version of a host's Python; empty where it is not connected."""
        place = self._places.get((host, user))
        return place.agent.python if place is not None and place.agent is not None else ""

    def close(self) -> None:
        """Hang up everywhere. Steps in hand go on to their ends on their hosts."""
        for place in self._places.values():
            self._drop(place)
        self._dialling.close()
        self._poll.close()
        self._waker.close()

    def _turn(self, timeout: float) -> None:
        for descriptor, _ in self._poll.poll(timeout):
            if descriptor == self._waker.descriptor:
                self._waker.hear()
            elif (place := self._by_descriptor.get(descriptor)) is not None:
                self._hear(place)
        self._take_up()
        now = time.monotonic()
        due: Iterable[Place] = self._pending
        if now - self._counted >= min(_TURN, self._gone / 10):
            self._counted, due = now, self._places.values()
        for place in list(due):
            if place.agent is not None:
                self._count(place, now)

    def _hear(self, place: Place) -> None:
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
            ticket = place.answered(number, message)
            if ticket:
                self._answers.append((ticket, message))
        self._register(place)

    def _count(self, place: Place, now: float) -> None:
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

    def _pass_on(self, place: Place, ticket: int, request: Mapping[str, Any]) -> None:
        assert place.agent is not None
        if not place.tickets:
            place.heard = time.monotonic()
        try:
            number = place.agent.send(request)
        except HostUnreachable as error:
            self._answers.append((ticket, Gone(place.host, place.user, error.what, error.mend)))
            self._lost(place, error)
            return
        place.asked(number, ticket, standing=request.get("op") == "listen")
        self._register(place)

    def _lost(self, place: Place, error: HostUnreachable) -> None:
        """Tell everybody who waits for a host that it is gone."""
        awake = place.agent is not None and place.agent.awake
        self._drop(place)
        if not any(self._needs(place.host, user) for user in self._users[place.host]):
            self._dialling.hang_up(place.host)
        rest = REST[min(place.losses, len(REST) - 1)]
        place.losses += 1
        place.again = time.monotonic() + rest
        place.gone = Gone(place.host, place.user, error.what, error.mend)
        self._answers.extend(place.abandon(place.gone, sent=awake))

    def _needs(self, host: str, user: str) -> bool:
        """Tell whether an agent lives on a host's line, or is about to."""
        place = self._places[host, user]
        return place.agent is not None or place.dialling

    def _drop(self, place: Place) -> None:
        self._pending.discard(place)
        for descriptor in place.registered:
            self._poll.unregister(descriptor)
            self._by_descriptor.pop(descriptor, None)
        place.registered = {}
        if place.agent is not None:
            place.agent.close()
        place.agent = None

    def _register(self, place: Place) -> None:
        """Have the poll wait for what the agent waits for now."""
        assert place.agent is not None
        (self._pending.add if place.agent.pending else self._pending.discard)(place)
        wanted = place.agent.polled()
        if wanted is place.registered or wanted == place.registered:
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

    def _take_up(self) -> None:
        """See to the agents that were started meanwhile."""
        for job in self._dialling.done():
            self._dialled(job)

    def _dialled(self, job: Job) -> None:
        place = job.place
        place.dialling = False
        if place.forsaken:
            job.undo()
            return
        if job.agent is None:
            self._lost(place, job.error or HostUnreachable("it could not be dialled"))
            return
        place.agent = job.agent
        place.began = place.heard = time.monotonic()
        place.pinged, place.taken = False, 0
        self._register(place)
        self._serve(place)

    def _serve(self, place: Place) -> None:
        """Pass on what has waited for a connection."""
        waiting, place.waiting = place.waiting, []
        for ticket, request in waiting:
            if place.agent is None:
                self._answers.append((ticket, place.gone))
            else:
                self._pass_on(place, ticket, request)
        if place.agent is not None:
            self._hear(place)


def here(base: str | None = None) -> Hosts:
    """Return a fleet of this machine alone, whatever it is called."""
    return Hosts(lambda _host: Here(base), forks=0)
