"""The driver of a runbook that is watched: it looks when something is due, or when something has happened.

It never waits: `turn` does what there is to do, and says when there is more. Several sittings share one thread and the
connections to their hosts.
"""

from __future__ import annotations

import enum
import math
import time
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.driver import Driver
from runbook.engine.journal.facts import Fact
from runbook.engine.model import IncidentState
from runbook.engine.recover.commands import (
    Act,
    Asked,
    Finish,
    Forget,
    LookAt,
    Looked,
    Operate,
    Recover,
    Resume,
    Stop,
    Woke,
)
from runbook.engine.watching.spoken import spoken
from runbook.engine.watching.tallies import Tallies, Telling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from runbook.engine.driver import Observer
    from runbook.engine.ears import Ears
    from runbook.engine.fleet.connection import Fleet, Gone
    from runbook.engine.recover.commands import Command, Event
    from runbook.engine.start import Opened

GAP: Final = 0.05  # seconds between two looks at a host that something has happened on
PATIENCE: Final = 600.0  # seconds for which a host is not looked at because an earlier run's step goes on there
DEAF: Final = (1.0, 2.0, 5.0, 15.0, 30.0, 60.0, 300.0)  # seconds before a host that was lost is looked at again
AGAIN: Final = 300.0  # seconds after which that is asked anew
OFTEN: Final = 600.0  # seconds after which what counts no more is forgotten
LONGEST: Final = 3600.0  # seconds until there is something to do, at most


class Phase(enum.Enum):
    """How far a sitting is."""

    WATCHING = "watching"
    LEAVING = "leaving"
    FINISHING = "finishing"
    OVER = "over"


class Sitting(Driver):
    """One runbook that is watched, until it is told to leave.

    Args:
        opened: the state that earlier runs left, and who keeps what is done.
        fleet: the connections, which others use as well.
        ears: what agents say by themselves.
        observer: is told what happens.
        operating: carry the operations out first.
        operated: an earlier sitting of this watch has done that.
        horizon: since when recoveries count, at a time.
        wait: seconds to wait for hosts that were cut off in the middle of a step.
        diff: have steps tell what they change in files.
        telling: what is wanted of what its looks count.
        clock: seconds since the epoch.
    """

    goes_on = True

    def __init__(
        self,
        opened: Opened,
        fleet: Fleet,
        ears: Ears,
        observer: Observer,
        *,
        operating: bool = True,
        operated: bool = False,
        horizon: Callable[[float], float] = lambda _: 0.0,
        wait: float = 120.0,
        diff: bool = False,
        telling: Telling | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(
            opened.state,
            opened.hosts,
            fleet,
            opened.keeper,
            observer,
            wait=wait,
            writable=opened.writable,
            diff=diff,
            teller=opened.teller,
            clock=clock,
        )
        self._begun = False
        self._ears = ears
        self._horizon = horizon
        runbook = opened.state.plan.runbook
        self.phase = Phase.WATCHING
        self._operated = operated
        self._pending = set(self.hosts) if operating and runbook.operations else set()  # their operations come first
        self._operating: set[str] = set()  # theirs go on
        self._names = self._asked()
        self.tallies = Tallies(telling or Telling(), [opened.state.plan.detector(name) for name in self._names])
        self._rounds.listens = True
        self._late: dict[str, set[str]] = {}  # by host: what is looked at as soon as that can be done
        self._stirred: dict[str, set[str]] = {}  # by host: what something has happened to
        self._looked: dict[str, float] = {}  # by host: when a stir made us look last
        self._ripens: dict[tuple[str, str], float] = {}  # by host and detector: when a hold is long enough
        self._lost: dict[str, tuple[int, float]] = {}  # by host: how often in a row, and when to look again
        self._unsaid: set[str] = set()  # hosts that have not said what became of steps that earlier runs left
        self._loose: dict[str, float] = {}  # by host: when to ask again for steps that earlier runs left
        self._resumed = clock()
        self._forgot = clock()
        self._until = 0.0  # when a leaving sitting waits no longer
        self._polled: dict[tuple[str, str], str] = {}  # by host and detector: why nothing tells when it happens
        self._answered: set[str] = set()  # hosts that have answered once: the first look starts an agent
        self._behind: dict[str, float] = {}  # by host: when it was told that it had not answered when a look was due

    def begin(self) -> None:
        """Take up what earlier runs left, and look for the first time."""
        self._put(self._keeper.told(self._clock()))
        self._put(Recover(on=False))
        self._put(Resume({}, self._flight.resume(self.hosts)))
        self._put(Recover())
        self._begun = True
        self.round(self.hosts, self._names)

    @property
    def operated(self) -> bool:
        """The operations were begun, by this sitting or an earlier one of the watch."""
        return self._operated

    @property
    def detectors(self) -> tuple[str, ...]:
        """What hosts are asked for."""
        return self._names

    @property
    def listening(self) -> int:
        """How many detectors, counted on each host, are looked at as soon as something happens."""
        return sum(heard is True for heard in self._rounds.heard_of.values())

    @property
    def done(self) -> bool:
        """All that its looks count is over, and nothing is about to be done about any of it."""
        return self.phase is Phase.WATCHING and self.tallies.done(self.state, self.hosts)

    @property
    def in_hand(self) -> int:
        """How many steps are on their way."""
        return len(self.state.tasks)

    @property
    def asking(self) -> frozenset[str]:
        """The hosts that have not answered their looks yet."""
        return self._rounds.hosts

    def round(self, hosts: Sequence[str], names: Sequence[str]) -> None:
        """Look at hosts, since it is time to; one that still answers the look before is left out."""
        if self.phase is not Phase.WATCHING:
            return
        wanted = frozenset(names).intersection(self._names)
        asked = {host: rest for host in hosts if (rest := wanted - self._rounds.open(host))}
        now = self._clock()
        for host in sorted(set(hosts) - set(asked)) if wanted else ():
            if host not in self._answered or now - self._behind.get(host, -OFTEN) < OFTEN:
                continue
            self._behind[host] = now
            self._say("behind", f"{host} has not answered the look before: this one is left out there", "warning")
        if not asked:
            return
        self._put(Asked(frozenset(asked)))
        for host, rest in asked.items():
            self._look(host, rest)

    def stir(self, host: str, names: Iterable[str]) -> None:
        """Look at some detectors of a host as soon as may be: something has happened."""
        known = set(names) & set(self._names)
        if known and host in self.state.plan.scopes and self.phase is Phase.WATCHING:
            self._stirred.setdefault(host, set()).update(known)

    def deaf(self, host: str) -> None:
        """Look at a host again soon: it is lost, and until then nobody there says when something happens."""
        if host in self.state.plan.scopes and self.phase is Phase.WATCHING:
            number, _ = self._lost.get(host, (0, 0.0))
            self._lost[host] = number + 1, self._clock() + DEAF[min(number, len(DEAF) - 1)]

    def heard(self, number: int, answer: Mapping[str, Any] | Gone) -> bool:
        """Take in an answer, if it is to something of ours; tell whether it is."""
        return self._heard(number, answer)

    def took(self) -> Iterator[tuple[str, float]]:
        """Yield, once, which hosts have answered, and in how many seconds."""
        while self._rounds.took:
            yield self._rounds.took.popleft()

    def note(self, fact: Fact) -> None:
        """Write down what the watch itself came upon, and tell."""
        self._tell([fact])

    def take(self, event: Event) -> None:
        """Let something happen that no host has said."""
        self._events.append(event)

    def leave(self, grace: float) -> None:
        """Begin nothing new, and wait for steps on their way so many seconds at most; the next run asks for them."""
        if self.phase in (Phase.LEAVING, Phase.FINISHING, Phase.OVER):
            return
        self.phase, self._until = Phase.LEAVING, self._clock() + grace
        self._put(Stop())
        self._flight.leave()

    def turn(self) -> float:
        """Do what there is to do; return in how many seconds there is more, unless something happens before."""
        self._drain()
        now = self._clock()
        if self.phase is not Phase.OVER:
            self._resume(now)
            self._look_late(now)
            self._flight.ask()
            self._hear(now)
            wake = self.state.wake
            if wake is not None and now >= wake:
                self._put(Woke())
            self._drain()
            if self._move_on(now):
                return 0.0
            if now - self._forgot >= OFTEN:
                self._forgot = now
                self._put(Forget(self._horizon(now)))
        return self._pause(now)

    def _pause(self, now: float) -> float:
        if self._events or any(not self._held_up(host) for host in self._late):
            return 0.0
        times = [self.state.wake, self._flight.due, *self._ripens.values(), *self._loose.values()]
        times += [at for _, at in self._lost.values()]
        times += [
            self._looked.get(host, 0.0) + GAP
            for host, names in self._stirred.items()
            if names - self._rounds.open(host)
        ]
        if self.phase is Phase.LEAVING:
            times.append(self._until)
        if self._flight.resuming:
            times.append(self._resumed + PATIENCE)
        return max(0.0, min((at - now for at in times if at is not None), default=LONGEST))

    def _move_on(self, now: float) -> bool:
        """Go from one phase to the next, where that is time; tell whether it was."""
        if self.phase is Phase.LEAVING and (not self._flight or now >= self._until):
            self.phase = Phase.FINISHING if self._operated and now < self._until else Phase.OVER
            for host in self._reached(self.hosts) if self.phase is Phase.FINISHING else ():
                self._put(Finish(host, begun=True))
        elif self.phase is Phase.FINISHING and (not self._flight or now >= self._until):
            self.phase = Phase.OVER
        else:
            return False
        return True

    def _held_up(self, host: str) -> bool:
        """Tell whether a host is not looked at yet: an earlier run's step goes on there, or its operations do."""
        return host in self._flight.resuming or host in self._operating

    def _look(self, host: str, names: Iterable[str]) -> None:
        """Look at detectors of a host; one whose operations have not begun is only asked whether it is there."""
        if self._held_up(host):
            self._late.setdefault(host, set()).update(names)
            return
        wanted = set() if host in self._pending else set(names)
        listed = tuple(name for name in self._names if name in wanted)
        for name in listed:
            self._ripens.pop((host, name), None)
        self._listen(host, listed)
        self._perform(LookAt(host, listed))

    def _look_late(self, now: float) -> None:
        """Look at what could not be looked at before, at what has happened, and where a hold is long enough."""
        for host in [each for each in self._operating if self._is_through(each)]:
            self._operating.discard(host)
            self._late.setdefault(host, set()).update(self._names)
        for host in [each for each in self._late if not self._held_up(each)]:
            self._look(host, self._late.pop(host))
        if self.phase is not Phase.WATCHING:
            return
        for host, (number, at) in list(self._lost.items()):
            if now >= at:
                self._lost[host] = number, math.inf
                self._stirred.setdefault(host, set()).update(self._names)
        for (host, name), at in list(self._ripens.items()):
            if now >= at:
                del self._ripens[host, name]
                self._stirred.setdefault(host, set()).add(name)
        for host, names in list(self._stirred.items()):
            ready = names - self._rounds.open(host)  # what is being looked at is looked at again after that
            if not ready or now - self._looked.get(host, 0.0) < GAP:
                continue
            self._looked[host] = now
            self._stirred[host] = names - ready
            if not self._stirred[host]:
                del self._stirred[host]
            self._look(host, ready)

    def _is_through(self, host: str) -> bool:
        """Tell whether nothing of a host's operations is on its way, or waits for time."""
        work = self.state.works.get(host)
        waits = work is not None and work.wake is not None
        return not waits and not any(task.owner.host == host for task in self.state.tasks.values())

    def _resume(self, now: float) -> None:
        """See to the steps that earlier runs left, and that go on for long."""
        if self._flight.resuming and now - self._resumed >= PATIENCE:
            self._loose |= dict.fromkeys(self._flight.resuming, now + AGAIN)
            self._events.extend(self._flight.still_resuming(patient=False))
            self._drain()
        for host, at in list(self._loose.items()):
            if now >= at and not any(task.owner.host == host for task in self.state.tasks.values()):
                del self._loose[host]
                self._resumed = now
                self._put(Resume({}, self._flight.resume([host])))

    def _put(self, event: Event, cursors: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        people = self.state.people
        super()._put(event, cursors)
        if self._begun and self.state.people is not people:
            for fact in spoken(people, self.state, self._clock()):
                self._observer.fact(fact)  # the journal has it of who said it
        if isinstance(event, Resume):
            for host in event.hosts or ():
                if not {row.id for row in self._keeper.left(host)} <= event.outcomes.keys():
                    self._unsaid.add(host)

    def _saw(self, event: Event | None) -> None:
        super()._saw(event)
        if isinstance(event, Looked):
            self._ripen(event.host, event.looks)
            for text in self.tallies.take(event.host, event.looks, self._clock(), acting=bool(self.state.tasks)):
                where = f"{event.host}: " if len(self.hosts) > 1 else ""
                self._say("counted", where + text, "info")
            if event.host in self._pending and (event.answered or self._fleet.up(event.host)):
                self._operate(event.host)
        if isinstance(event, Looked) and event.answered:
            self._answered.add(event.host)
            self._flight.back(event.host, self.state)
            self._lost.pop(event.host, None)
            if event.host in self._unsaid:  # it was away when it was asked for what earlier runs left there
                self._unsaid.discard(event.host)
                self._loose.setdefault(event.host, self._clock())
            self._tell_polled(event.host, event.looks)

    def _perform(self, command: Command) -> None:
        if isinstance(command, Act):
            self.tallies.stir()
        super()._perform(command)

    def _operate(self, host: str) -> None:
        """Begin the operations of a host that is there; until they are over, it is not looked at."""
        if self.phase is Phase.WATCHING:
            self._pending.discard(host)
            self._operating.add(host)
            self._operated = True
            self._put(Operate(host))

    def _ripen(self, host: str, names: Iterable[str]) -> None:
        """Remember when conditions that are seen to hold will have held long enough."""
        plan, now = self.state.plan, self._clock()
        for name in names:
            self._ripens.pop((host, name), None)
        for (place, name, subject), hold in self.state.holds.items():
            detector = plan.runbook.detector(name)
            if place != host or detector is None or not detector.hold or name not in self._names:
                continue
            incident = self.state.incidents.get((place, name, subject))
            if incident is not None and incident.state is not IncidentState.PENDING:
                continue
            ripe = hold.since + detector.hold
            if ripe > now:
                self._ripens[host, name] = min(ripe, self._ripens.get((host, name), ripe))

    def _listen(self, host: str, names: Iterable[str]) -> None:
        """Have the agents that look say when something happens."""
        plan = self.state.plan
        for user in {plan.user(host, each.become, each.become_user) for each in map(plan.detector, names)}:
            self._ears.listen(host, user)

    def _tell_polled(self, host: str, names: Iterable[str]) -> None:
        """Tell, once, what is looked at on a schedule alone though it could be heard."""
        for name in names:
            heard = self._rounds.heard_of.get((host, name), True)
            why = "" if heard is True else str(heard)
            if why and self._polled.get((host, name)) != why:
                self._say("polled", f"{host}: `{name}` is only looked at on its schedule: {why}", "info")
            if why:
                self._polled[host, name] = why
            else:
                self._polled.pop((host, name), None)

    def _say(self, what: str, message: str, level: str) -> None:
        data = {"message": message, "level": level}
        self._tell([Fact(f"watch.{what}", self._clock(), self.state.plan.run, data=data)])
