"""The driver of one pass: it asks hosts, feeds `advance`, performs its commands, and writes everything down first.

One thread serves all hosts. What a host answers is taken in when it comes; a host that is slow, or gone, holds up
nobody but who waits for it: `max_unavailable`, causes on other hosts, and the end of the pass.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from runbook.engine.errors import JournalUnusable
from runbook.engine.flight import Flight
from runbook.engine.halting import Halting
from runbook.engine.journal.facts import Fact
from runbook.engine.model import Seen
from runbook.engine.recover.advance import advance
from runbook.engine.recover.commands import (
    Act,
    Asked,
    Finish,
    Follow,
    Happened,
    LookAt,
    Looked,
    Notify,
    Operate,
    Recover,
    Resume,
    Stop,
    Undo,
    Woke,
)
from runbook.engine.rounds import Rounds
from runbook.modules import catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from runbook.engine.fleet.connection import Fleet
    from runbook.engine.keep import Keeper
    from runbook.engine.model import Detector
    from runbook.engine.recover.commands import Command, Event, Told
    from runbook.engine.recover.state import Incident, State

GLANCE = 0.5  # seconds after which a Ctrl-C is seen at the latest
NEWS = 2.0  # seconds after which the words of people and other runs are seen at the latest
TRIES = 20  # to decide on what the journal says, while others write into it


class Observer(Protocol):
    """Who watches a pass while it runs: a report."""

    def fact(self, fact: Fact) -> None:
        """Take in what happened."""

    def progress(self, host: str, title: str, text: str, share: float | None = None) -> None:
        """Take in how far a long step is: in words, and where that is known as a share from 0 to 1."""


class Teller(Protocol):
    """Who tells people, by channels: `engine/notify`."""

    def tell(self, told: Notify, incident: Incident | None, now: float) -> None:
        """Begin to send a message."""

    def hear(self, fact: Fact) -> None:
        """Take in what happened."""

    def results(self, now: float) -> Iterator[Fact]:
        """Yield how messages went that are on their way no more."""

    def finish(self, state: State, now: float) -> Iterator[Fact]:
        """Say what is over, and await what is on its way, no longer than a message may take."""


class Pass:
    """One pass over some hosts: look, operations, recovery, verification.

    Args:
        state: what is known of all of them.
        hosts: their names, in order.
        fleet: carries requests to them.
        keeper: writes each turn before anything is done about it.
        observer: is told what happens.
        wait: seconds to wait for verifications, and for hosts that were cut off in the middle of a step.
        writable: by host, the trees in which steps may write.
        diff: have steps tell what they change in files.
        teller: tells people.
        deadline: in seconds since the epoch, after which nothing new is begun.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        state: State,
        hosts: Sequence[str],
        fleet: Fleet,
        keeper: Keeper,
        observer: Observer,
        *,
        wait: float = 120.0,
        writable: Mapping[str, Sequence[str]] | None = None,
        diff: bool = False,
        teller: Teller | None = None,
        deadline: float | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.state = state
        self.hosts = tuple(hosts)
        self._fleet = fleet
        self._keeper = keeper
        self._observer = observer
        self._clock = clock
        self._budget = wait
        self._teller = teller
        self._events: deque[Event] = deque()
        self._rounds = Rounds(fleet, keeper.cursor)
        self._flight = Flight(
            fleet, keeper, observer.progress, wait=wait, writable=writable or {}, diff=diff, clock=clock
        )
        self._looks: tuple[str, ...] = ()  # of the round that is going on
        self._late: set[str] = set()  # hosts that are looked at when they are resumed
        self._halting = Halting(state.plan.runbook, deadline)
        self._news = 0.0  # when the journal was asked for news last
        self._interrupts = 0

    def go(self) -> State:
        """Run the pass to its end; what happened was told to the observer."""
        self._put(self._keeper.told(self._clock()))
        for batch in self._halting.batches(self.hosts):
            if self.state.stopping:
                break
            self._halting.begin(batch)
            self._pass(batch)
            if (reason := self._halting.spent()) and not self.state.stopping:
                self._halt(reason, self._clock())
                self._settle()
        if self._teller is not None:
            self._tell(self._teller.finish(self.state, self._clock()))
        return self.state

    @property
    def interrupted(self) -> bool:
        """Somebody asked that nothing new be begun."""
        return self._interrupts > 0

    def interrupt(self) -> int:
        """Begin nothing new; return how often this was asked."""
        self._interrupts += 1
        self._events.append(Stop())
        return self._interrupts

    def _pass(self, hosts: Sequence[str]) -> None:
        runbook, settings = self.state.plan.runbook, self.state.plan.settings
        operating = settings.operations and bool(runbook.operations)
        names = tuple(each.name for each in self._detectors() if not catalogue.probe(each.probe).engine)
        self._put(Recover(on=False))
        self._put(Resume({}, self._flight.resume(hosts)))
        if operating and not self._interrupts:
            self._look(hosts, names)
            self._settle()
            for host in self._reached(hosts):
                self._put(Operate(host))
            self._settle()
        while self._events:
            self._put(self._events.popleft())
        if not self.state.stopping:
            self._put(Recover())
            self._look(hosts, names)
            self._settle(verifying=True)
        if operating:
            for host in self._reached(hosts):
                self._put(Finish(host))
            self._settle()

    def _reached(self, hosts: Iterable[str]) -> list[str]:
        return [host for host in hosts if host not in self.state.unreached]

    def _detectors(self) -> list[Detector]:
        plan = self.state.plan
        wanted = [detector for detector in plan.runbook.detectors if plan.chosen(detector)]
        names = {detector.name for detector in wanted}
        names |= {name for detector in wanted for name in (*detector.members, detector.verify.detector) if name}
        return [detector for detector in plan.runbook.detectors if detector.name in names]

    def _look(self, hosts: Sequence[str], names: tuple[str, ...]) -> None:
        self._looks = names
        self._put(Asked(frozenset(hosts)))
        for host in hosts:
            if host in self._flight.resuming:
                self._late.add(host)
            else:
                self._perform(LookAt(host, names))

    def _settle(self, *, verifying: bool = False) -> None:
        """Go on until nothing is in flight and nothing waits for time, or the waiting has lasted long enough."""
        while True:
            while self._events:
                self._put(self._events.popleft())
            if self.state.stopping:
                self._flight.leave()
                self._late.clear()
            for host in self._late - self._flight.resuming:
                self._late.remove(host)
                self._perform(LookAt(host, self._looks))
            self._flight.ask()
            wake, now = self.state.wake, self._clock()
            pause = GLANCE if wake is None else min(GLANCE, max(0.0, wake - now))
            if not (self._rounds or self._flight):
                if wake is None or self.state.stopping:
                    return
                if verifying and not self.state.tasks.keys() - self._flight.adrift:
                    if wake - now > self._budget:
                        return
                    self._budget -= pause
            elif self._flight.due is not None:
                pause = min(pause, max(0.0, self._flight.due - now))
            self._receive(pause)
            if self._flight.only_resuming and not self._rounds:
                self._budget -= self._clock() - now
                self._events.extend(self._flight.still_resuming(patient=self._budget > 0))
            self._hear()
            if wake is not None and self._clock() >= wake and not self._events:
                self._events.append(Woke())

    def _hear(self) -> None:
        """See to our leases, and to what people and other runs have written meanwhile."""
        now = self._clock()
        if reason := self._halting.late(now):
            self._halt(reason, now)
        if now - self._news < NEWS:
            return
        self._news = now
        if self._teller is not None:
            self._tell(self._teller.results(now))
        if self._keeper.renew(now):
            for lease in self._keeper.leases:
                self._flight.hold(lease)
        told = self._keeper.news(self.state, now)
        if told is not None:
            self._put(told)

    def _put(self, event: Event, cursors: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """Let an event happen; where the journal says otherwise than the state believed, that is taken in first."""
        waiting: deque[tuple[Event, Mapping[str, Mapping[str, Any]]]] = deque([(event, cursors or {})])
        for _ in range(TRIES):
            told = self._turn(*waiting[0])
            if told is not None:
                waiting.appendleft((told, {}))
                continue
            waiting.popleft()
            if not waiting:
                return
        raise JournalUnusable("other runs write faster into the journal than this one can decide", mend="Run again")

    def _turn(self, event: Event, cursors: Mapping[str, Mapping[str, Any]]) -> Told | None:
        """Make one turn; return what the journal says instead where it did not happen."""
        now = self._clock()
        before = self.state
        after, commands = advance(before, event, now)
        facts = [self._fact(command, now) for command in commands if isinstance(command, Happened | Notify)]
        told, over = self._keeper.keep(before, after, event, commands, facts, _taken(cursors, facts), now)
        if told is not None:
            return told
        self.state = after
        for fact in facts:
            self._observed(fact)
            if self._teller is not None:
                self._teller.hear(fact)
        for command in commands:
            self._perform(command)
        for lease in over:
            self._flight.release(lease)
        return None

    def _observed(self, fact: Fact) -> None:
        self._observer.fact(fact)
        reason = self._halting.hear(fact)
        if reason and not self.state.stopping:
            self._halt(reason, fact.at)

    def _halt(self, reason: str, now: float) -> None:
        """Begin nothing new from now on."""
        self._tell(iter([Fact("run.halted", now, self.state.plan.run, data={"reason": reason})]))
        self._events.append(Stop())

    def _fact(self, command: Happened | Notify, now: float) -> Fact:
        if isinstance(command, Notify):
            told = {"message": command.message, "title": command.title, "severity": command.severity}
            return Fact("notified", now, self.state.plan.run, command.host, incident=command.incident, data=told)
        about = (command.detector, command.subject, command.incident, command.operation, command.step)
        return Fact(command.kind, now, self.state.plan.run, command.host or self.hosts[0], *about, command.data)

    def _perform(self, command: Command) -> None:
        if isinstance(command, LookAt):
            known = self._rounds.ask(self.state.plan, command)
            if known is not None:
                self._events.append(known)
        elif isinstance(command, Act):
            self._flight.act(command, check=self.state.plan.settings.check)
        elif isinstance(command, Follow):
            self._flight.follow(command)
        elif isinstance(command, Undo):
            self._flight.undo(command)
        elif isinstance(command, Notify) and self._teller is not None:
            incidents = (*self.state.ended.values(), *self.state.incidents.values())
            about = next((each for each in incidents if each.id == command.incident), None)
            self._teller.tell(command, about, self._clock())

    def _tell(self, facts: Iterator[Fact]) -> None:
        """Write down how messages went."""
        for fact in facts:
            self._keeper.fact(fact)
            self._observer.fact(fact)

    def _receive(self, timeout: float) -> None:
        for number, answer in self._fleet.receive(timeout):
            if self._rounds.hears(number):
                self._saw(self._rounds.heard(number, answer))
            elif self._flight.hears(number):
                self._events.extend(self._flight.heard(number, answer, self.state))

    def _saw(self, event: Event | None) -> None:
        if isinstance(event, Looked):
            cursors = {name: look.state for name, look in event.looks.items() if isinstance(look, Seen)}
            self._put(event, cursors)
            if event.answered and len(self.state.plan.scopes) > 1:
                self._observer.fact(Fact("host.looked", self._clock(), self.state.plan.run, event.host))
        elif event is not None:
            self._events.append(event)


def _taken(cursors: Mapping[str, Mapping[str, Any]], facts: Sequence[Fact]) -> dict[str, Mapping[str, Any]]:
    """Leave out the cursors of looks that could not be judged, so that the next look sees the same events again."""
    refused = {fact.detector for fact in facts if fact.kind == "look.unknown" and fact.data.get("whole")}
    return {name: state for name, state in cursors.items() if name not in refused}
