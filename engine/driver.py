"""What every driver does: it feeds `advance`, performs its commands, and writes everything down first.

A pass (`run.py`) looks once and ends; a sitting (`sitting.py`) goes on. Both take in what hosts answer when it comes.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from runbook.engine.errors import JournalUnusable
from runbook.engine.flight import Flight
from runbook.engine.journal.facts import Fact
from runbook.engine.model import Seen
from runbook.engine.recover.advance import advance
from runbook.engine.recover.commands import Act, Follow, Happened, LookAt, Looked, Notify, Resume, Stop, Undo
from runbook.engine.rounds import Rounds
from runbook.modules import catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from runbook.engine.alerts.hearing import Hearing
    from runbook.engine.alerts.inbox import Inbox
    from runbook.engine.alerts.payload import Message
    from runbook.engine.fleet.connection import Fleet, Gone
    from runbook.engine.keep import Keeper
    from runbook.engine.model import Detector
    from runbook.engine.recover.commands import Command, Event, Told
    from runbook.engine.recover.state import Incident, State

GLANCE = 0.5  # seconds after which a Ctrl-C is seen at the latest
NEWS = 2.0  # seconds after which the words of people and other runs are seen at the latest
TRIES = 20  # to decide on what the journal says, while others write into it


class Observer(Protocol):
    """Who watches a run: a report."""

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

    def over(self, state: State, now: float) -> Iterator[Fact]:
        """Say what is over, of a run that goes on; and yield the same."""

    def finish(self, state: State, now: float) -> Iterator[Fact]:
        """Say what is over, and await what is on its way, no longer than a message may take."""


class Driver:
    """The turns of one run over some hosts.

    Args:
        state: what is known of all of them.
        hosts: their names, in order.
        fleet: carries requests to them.
        keeper: writes each turn before anything is done about it.
        observer: is told what happens.
        wait: seconds to wait for hosts that were cut off in the middle of a step.
        writable: by host, the trees in which steps may write.
        diff: have steps tell what they change in files.
        teller: tells people.
        clock: seconds since the epoch.
    """

    goes_on: ClassVar[bool] = False  # there is no end at which it is said what is over

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
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.state = state
        self.hosts = tuple(hosts)
        self._fleet = fleet
        self._keeper = keeper
        self._observer = observer
        self._clock = clock
        self._teller = teller
        self._events: deque[Event] = deque()
        self._rounds = Rounds(fleet, keeper.cursor)
        self._flight = Flight(
            fleet, keeper, observer.progress, wait=wait, writable=writable or {}, diff=diff, clock=clock
        )
        self._news = 0.0  # when the journal was asked for news last
        self._interrupts = 0
        self._hearing: Hearing | None = None

    @property
    def interrupted(self) -> bool:
        """Somebody asked that nothing new be begun."""
        return self._interrupts > 0

    def interrupt(self) -> int:
        """Begin nothing new; return how often this was asked."""
        self._interrupts += 1
        self._events.append(Stop())
        return self._interrupts

    def _reached(self, hosts: Iterable[str]) -> list[str]:
        return [host for host in hosts if host not in self.state.unreached]

    def _detectors(self) -> list[Detector]:
        """Return the detectors that are chosen, and those that they ask."""
        plan = self.state.plan
        wanted = [detector for detector in plan.runbook.detectors if plan.chosen(detector)]
        names = {detector.name for detector in wanted}
        names |= {name for detector in wanted for name in (*detector.members, detector.verify.detector) if name}
        return [detector for detector in plan.runbook.detectors if detector.name in names]

    def _asked(self) -> tuple[str, ...]:
        """Return the names of those of them that hosts are asked for."""
        probes = {each.name: catalogue.probe(each.probe) for each in self._detectors()}
        return tuple(name for name, probe in probes.items() if probe.heard or not probe.engine)

    def hear_from(self, inbox: Inbox | None) -> None:
        """Hear alerts from now on, or say that nothing listens."""
        from runbook.engine.alerts.hearing import Hearing

        self._hearing = Hearing(inbox, self._keeper.cursor)

    def alerted(self, message: Message) -> None:
        """Take in a message of alerts; when this returns, what it led to is durable, and no host was waited for."""
        assert self._hearing is not None
        concerned, ignored = self._hearing.concerned(self.state.plan, message)
        now = self._clock()
        data = ({"message": text, "level": "warning"} for text in ignored)
        self._tell([Fact("watch.alert", now, self.state.plan.run, data=each) for each in data])
        for host, names in concerned.items():
            self._saw(Looked(host, self._hearing.looks(self.state.plan, host, names, now), answered=False, aside=True))
        self._drain()

    def _drain(self) -> None:
        """Let happen what has come in."""
        while self._events:
            event = self._events.popleft()
            if isinstance(event, Looked):
                self._saw(event)
            else:
                self._put(event)

    def _hear(self, now: float) -> None:
        """See to our leases, and to what people and other runs have written meanwhile."""
        if now - self._news < NEWS:
            return
        self._news = now
        if self._teller is not None:
            self._tell(self._teller.over(self.state, now) if self.goes_on else self._teller.results(now))
        if self._keeper.renew(now):
            for lease in self._keeper.leases:
                self._flight.hold(lease)
        told = self._keeper.news(self.state, now)
        if told is not None:
            self._put(told)

    def _put(self, event: Event, cursors: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """Let an event happen; where the journal says otherwise than the state believed, that is taken in first."""
        if isinstance(event, Resume):  # the ends that the journal has already, though an incident waits for them still
            hosts = self.hosts if event.hosts is None else sorted(event.hosts)
            event = replace(event, known=self._keeper.over(self.state, hosts))
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
        if self._teller is not None:
            for fact in facts:
                self._teller.hear(fact)
        for command in commands:
            self._perform(command)
        for fact in facts:  # what is sent is not held up by who writes a log
            self._observed(fact)
        for lease in over:
            self._flight.release(lease)
        return None

    def farewell(self) -> None:
        """Say what is over, and await what is on its way to people: no longer than a message may take."""
        if self._teller is not None:
            self._tell(self._teller.finish(self.state, self._clock()))

    def _observed(self, fact: Fact) -> None:
        self._observer.fact(fact)

    def _fact(self, command: Happened | Notify, now: float) -> Fact:
        if isinstance(command, Notify):
            told: dict[str, Any] = {
                "message": command.message,
                "title": command.title,
                "severity": command.severity,
            }
            told |= {"kind": command.kind} if command.kind else {}
            told |= {} if self._teller is not None else {"unsent": True}
            return Fact("notified", now, self.state.plan.run, command.host, incident=command.incident, data=told)
        about = (command.detector, command.subject, command.incident, command.operation, command.step)
        return Fact(command.kind, now, self.state.plan.run, command.host or self.hosts[0], *about, command.data)

    def _perform(self, command: Command) -> None:
        if isinstance(command, LookAt):
            self._look_at(command)
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

    def _look_at(self, command: LookAt) -> None:
        """Ask a host; what is known without asking is taken in at once."""
        plan = self.state.plan
        heard = [name for name in command.detectors if catalogue.probe(plan.detector(name).probe).heard]
        if heard:
            if self._hearing is None:
                self.hear_from(None)
            assert self._hearing is not None
            rest = tuple(name for name in command.detectors if name not in heard)
            looks = self._hearing.looks(plan, command.host, heard, self._clock())
            self._events.append(Looked(command.host, looks, answered=False, aside=bool(rest)))
            if not rest:
                return
            command = replace(command, detectors=rest)
        known = self._rounds.ask(plan, command)
        if known is not None:
            self._events.append(known)

    def _tell(self, facts: Iterable[Fact]) -> None:
        """Write down what happened beside the turns: how messages went, what a driver came upon."""
        for fact in facts:
            self._keeper.fact(fact)
            self._observer.fact(fact)

    def _heard(self, number: int, answer: Mapping[str, Any] | Gone) -> bool:
        """Take in an answer, if it is to something of ours; tell whether it is."""
        if self._rounds.hears(number):
            self._saw(self._rounds.heard(number, answer))
            while self._rounds.again:
                self._perform(LookAt(*self._rounds.again.pop()))
        elif self._flight.hears(number):
            self._events.extend(self._flight.heard(number, answer, self.state))
        else:
            return False
        return True

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
