"""Playing a case: the production `advance`, a virtual clock, and a made-up world in place of hosts and people."""

from __future__ import annotations

import heapq
import tempfile
from collections import deque
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.decide.guards import Caps
from runbook.engine.detect import errors as failures
from runbook.engine.detect.attempts import Attempt
from runbook.engine.errors import RenderError
from runbook.engine.language import chosen, render
from runbook.engine.language.case_model import Ending
from runbook.engine.model import Lacking, Mode, NotSeen, Outcome, StepStatus
from runbook.engine.people import Ack, Approval, Maintenance, People, Reset
from runbook.engine.recover import commands as words
from runbook.engine.recover import failing, telling
from runbook.engine.recover.advance import advance
from runbook.engine.recover.state import Plan, Settings, State
from runbook.engine.rehearse.logs import Logs
from runbook.engine.rehearse.world import World
from runbook.modules import catalogue
from runbook.modules.declare import Impact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runbook.engine.language.case_model import Case, Happening, Suite
    from runbook.engine.language.case_model import People as Saying
    from runbook.engine.model import Detector, Runbook
    from runbook.engine.recover.commands import Command, Event
    from runbook.engine.recover.state import Incident, Task

START: Final = 1_767_225_600.0  # 2026-01-01 00:00 UTC: when every case begins
LONGEST: Final = 3600.0  # seconds that a case goes on after the last happening, unless it says how long it lasts
APPROVED: Final = 86400.0  # seconds for which an approval holds
_TURNS: Final = 200_000  # events after which a case is given up: it would never end
WHO: Final = "test"


@dataclass
class Happened:
    """One thing that the engine told."""

    at: float  # seconds from the beginning of the case
    kind: str
    host: str = ""
    detector: str = ""
    subject: str = ""
    incident: str = ""
    operation: str = ""
    step: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Played:
    """How a case went."""

    told: list[Happened]
    incidents: list[Incident]  # in the order in which they opened
    lasted: float
    looks: int
    runbook: Runbook
    rungs: set[tuple[str, int]] = field(default_factory=set)  # detectors' rungs that were begun
    held: set[str] = field(default_factory=set)  # detectors whose condition held at some time

    def of(self, *kinds: str) -> list[Happened]:
        """Return what was told of these kinds, in its order."""
        return [each for each in self.told if each.kind in kinds]


class Endless(Exception):
    """A case whose events never end."""


def play(suite: Suite, case: Case) -> Played:
    """Play a case to its end.

    Raises:
        Endless: it has no end.
        RenderError: a variable of the runbook can't be filled in.
    """
    with tempfile.TemporaryDirectory(prefix="runbook-test-") as folder:
        return Play(suite.varied(case), case, suite.secrets, Path(folder)).go()


class Play:
    """One case while it is played."""

    def __init__(
        self,
        runbook: Runbook,
        case: Case,
        secrets: Mapping[str, str],
        folder: Path,
        start: float = START,
        *,
        prompt: bool = False,  # look at once where something happens, and let steps take no time
    ) -> None:
        self.runbook = runbook
        self.case = case
        self.start = start
        self._prompt = prompt
        self.now = start
        self.people = People()
        self.world = World(Logs(folder), Ending(takes=0.0) if prompt else Ending())
        self.told: list[Happened] = []
        self.looks = 0
        self._detectors = {detector.name: detector for detector in runbook.detectors}
        self._events: deque[Event] = deque()
        self._coming: list[tuple[float, int, Happening | Event]] = []
        self._number = 0
        self._opened: dict[str, int] = {}
        self._seen: dict[str, Incident] = {}
        self._held: set[str] = set()
        about = {"id": "test", "scratch": "/tmp/runbook-test"}  # noqa: S108 -- only its name is used
        scopes = {host: render.Scope(runbook, host=host, run=about, secrets=secrets) for host in case.hosts}
        plan = Plan(runbook, "test", settings(case), case.every, scopes, signs=chosen.signs(runbook))
        self.state = State(plan, recovering=False)
        for happening in case.happens:
            if happening.at is not None:
                self._later(start + happening.at, happening)

    def go(self) -> Played:
        """Play it."""
        options = self.case.options
        operating = options.get("operations", True) and bool(self.runbook.operations)
        self._put(words.Told(self.people))
        self._put(words.Resume({}))
        self._due()
        if operating:
            self._look_everywhere()
            for host in self.case.hosts:
                self._put(words.Operate(host))
            self._settle(self._end)
        self._put(words.Recover())
        self._tick_on()
        if operating:
            for host in self.case.hosts:
                self._put(words.Finish(host))
            self._settle(self.now + LONGEST)
        self._put(words.Over())
        every = sorted(self._seen.values(), key=lambda incident: self._opened[incident.id])
        rungs = {
            (each.detector, int(each.data.get("rung", 0)))
            for each in self.told
            if each.kind == "step.ended" and each.data.get("phase") == "recover"
        }
        return Played(self.told, every, self.now - self.start, self.looks, self.runbook, rungs, self._held)

    @property
    def _end(self) -> float:
        if self.case.lasts is not None:
            return self.start + self.case.lasts
        last = max((happening.at for happening in self.case.happens if happening.at is not None), default=0.0)
        return max(self.start + last + LONGEST, self.now)

    def _tick_on(self) -> None:
        """Look every `every`, until the case is over."""
        end, still = self._end, 0
        news: list[tuple[Any, ...]] = []  # what the last round of looks said
        following = self.now
        while following <= end:
            self._settle(following)
            self.now = max(self.now, following)
            before, said = len(self.told), news
            self._look_everywhere()
            self._settle(self.now)
            following = self.now + self.case.every
            news = [(told.kind, told.host, told.detector, told.data.get("reason")) for told in self.told[before:]]
            still = still + 1 if news == said and self._idle() else 0
            if still >= 2 and self._coming:  # nothing can come of the looks until something happens
                happens = min([self._coming[0][0], *telling.reminders(self.state)])
                following += self.case.every * max(0, (happens - following) // self.case.every)
            elif still >= 2 and self.case.lasts is None:
                return
            if self._prompt and self._coming:
                following = min(following, max(self.now, self._coming[0][0]))
        self._settle(end)
        self.now = max(self.now, end)

    def _idle(self) -> bool:
        """Tell whether nothing is going on that time alone moves."""
        pending = any(key not in self.state.incidents for key in self.state.holds)
        later = any(incident.until is not None for incident in self.state.incidents.values())
        return self.state.quiet and not pending and not later

    def _settle(self, until: float) -> None:
        """Let everything happen that happens before a time."""
        for _ in range(_TURNS):
            while self._events:
                self._put(self._events.popleft())
            wake = self.state.wake
            coming = self._coming[0][0] if self._coming else None
            times = [at for at in (wake, coming) if at is not None and at <= until]
            if not times:
                return
            self.now = max(self.now, min(times))
            if not self._due():
                self._put(words.Woke())
        raise Endless(f"still going on after {_TURNS} events at {self.now - self.start:g} s of its time")

    def _due(self) -> bool:
        """Let happen what is due now; tell whether anything was."""
        found = False
        while self._coming and self._coming[0][0] <= self.now:
            _, _, thing = heapq.heappop(self._coming)
            found = True
            if isinstance(thing, words.Ended):
                self._step_ended(thing)
            elif isinstance(thing, words.Undone):
                self._put(thing)
            else:
                self._happen(thing, self.case.hosts)  # type: ignore[arg-type]
        return found

    def _happen(self, happening: Happening, hosts: tuple[str, ...]) -> None:
        self.world.happen(happening, hosts, self._detectors)
        if happening.people is not None:
            self._people(happening.people)
        known = dict(self.state.attempts)
        for component, past in happening.components.items():
            count, bad = past.attempts, past.failures
            failed = [(n + 1) * bad // count > n * bad // count for n in range(count)]
            made = tuple(Attempt(self.now, not each, past.latency) for each in failed)
            known |= {(host, component): made for host in happening.hosts or hosts}
        self.state = replace(self.state, attempts=known)

    def _step_ended(self, ended: words.Ended) -> None:
        task = self.state.tasks.get(ended.intent)
        if task is not None and ended.outcome.ok and ended.outcome.status is StepStatus.DONE:
            names = {task.call.title, task.call.module}
            if task.owner.kind == "operation":
                names.add(self.runbook.operations[self.state.works[task.owner.host].index].name)
            for happening in self.case.happens:
                if happening.after in names:
                    self._happen(happening, (task.owner.host,))
        self._put(ended)

    def _people(self, said: Saying) -> None:
        until = None if said.lasts is None else self.now + said.lasts
        if said.off:
            self.people = replace(self.people, acks={}, maintenance=())
        approvals, acks = dict(self.people.approvals), dict(self.people.acks)
        for incident in self.state.incidents.values():
            if incident.detector in (*said.approve, *said.reject):
                granted = incident.detector in said.approve
                approvals[incident.id] = Approval(
                    incident.id, incident.digest, self.now, self.now + APPROVED, WHO, granted=granted
                )
            if incident.detector in said.ack:
                acks[incident.id] = Ack(incident.id, self.now, until, WHO)
        windows, resets = self.people.maintenance, self.people.resets
        if said.maintenance is not None:
            windows = (*windows, Maintenance(f"m{len(windows)}", said.maintenance, self.now, until, WHO))
        resets = (*resets, *(Reset(component, "", self.now, WHO) for component in said.reset))
        self.people = People(windows, acks, approvals, resets)
        self._put(words.Told(self.people))

    def _look_everywhere(self) -> None:
        probes = {name: catalogue.probe(each.probe) for name, each in self._detectors.items()}
        names = tuple(name for name, probe in probes.items() if probe.heard or not probe.engine)
        self.looks += 1
        self._put(words.Asked(frozenset(self.case.hosts)))
        for host in self.case.hosts:
            self._perform(words.LookAt(host, names))

    def _put(self, event: Event) -> None:
        self.state, commands = advance(self.state, event, self.now)
        for incident in (*self.state.ended.values(), *self.state.incidents.values()):
            if self._seen.get(incident.id) is not incident:
                self._opened.setdefault(incident.id, len(self._opened))
                self._seen[incident.id] = incident
        self._held |= {detector for (_, detector), said in self.state.said.items() if said.holds is True}
        for command in commands:
            self._perform(command)

    def _perform(self, command: Command) -> None:
        if isinstance(command, words.Happened):
            self._tell(command)
        elif isinstance(command, words.Notify):
            data = {"message": command.message, "title": command.title, "severity": command.severity}
            self.told.append(
                Happened(self.now - self.start, "notified", command.host, incident=command.incident, data=data)
            )
        elif isinstance(command, words.LookAt) and command.intent is not None:
            self._waits(command, command.intent)
        elif isinstance(command, words.LookAt):
            self._events.append(words.Looked(command.host, self._looks(command)))
        elif isinstance(command, words.Act):
            self._act(command)
        elif isinstance(command, words.Undo):
            self._later(self.now + 1.0, words.Undone(command.intent, Outcome(StepStatus.DONE, changed=True)))

    def _tell(self, told: words.Happened) -> None:
        self.told.append(
            Happened(
                self.now - self.start,
                told.kind,
                told.host,
                told.detector,
                told.subject,
                told.incident,
                told.operation,
                told.step,
                told.data,
            )
        )

    def _looks(self, command: words.LookAt) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in command.detectors:
            detector = self._detectors[name]
            probe = catalogue.probe(detector.probe)
            if probe.engine and not probe.heard:
                continue
            if not self.state.plan.concerns(detector, command.host):
                found[name] = Lacking(f"its `hosts: {detector.hosts}` leave {command.host} out")
                continue
            found[name] = self._look(command.host, detector)
        return found

    def _look(self, host: str, detector: Detector) -> Any:
        params: Mapping[str, Any] = {}
        if catalogue.probe(detector.probe).events:
            try:
                scope = self.state.plan.scopes[host]
                params = render.probe(detector.probe, detector.params, scope, path=detector.path)
            except RenderError as error:
                return NotSeen(error.what)
        return self.world.look(host, detector, params, self.now)

    def _waits(self, command: words.LookAt, intent: str) -> None:
        task = self.state.tasks.get(intent)
        title = task.call.title if task is not None else ""
        look = self.world.waited(command.host, title, command.probe)
        if look is not None:
            self._events.append(words.Probed(intent, look))
        else:  # a case that says nothing of it: what it waits for is there
            self._later(self.now, words.Ended(intent, Outcome(StepStatus.DONE)))

    def _act(self, command: words.Act) -> None:
        task = self.state.tasks.get(command.intent)
        fallback = task is not None and task.owner.kind == "fallback"  # a step of its own, not one more attempt
        outcome, takes = self.world.end(command.host, command.order, "" if fallback else command.operation)
        timeout = command.order.timeout
        if takes > timeout:
            outcome = Outcome(StepStatus.TIMEOUT, error=f"it took longer than {timeout:g} s", duration=timeout)
        if self.state.plan.settings.check:
            outcome = Outcome(StepStatus.PLANNED, changed=True)
        matched = self._matched(self.state.tasks.get(command.intent), command, outcome)
        self._later(self.now + min(takes, timeout), words.Ended(command.intent, outcome, matched))

    def _matched(self, task: Task | None, command: words.Act, outcome: Outcome) -> dict[str, Any]:
        if task is None or not command.operation or outcome.ok:
            return {}
        fields = failing.failure(command.operation, 0, outcome)
        about = failures.about(self.runbook.detectors, command.operation)
        return {detector.name: failures.matches(detector, fields) for detector in about}

    def _later(self, at: float, thing: Happening | Event) -> None:
        self._number += 1
        heapq.heappush(self._coming, (at, self._number, thing))


def settings(case: Case) -> Settings:
    """Return what the person of a case asks for."""
    options = case.options
    caps = Caps(
        Mode(options.get("max_mode", "auto")),
        Impact(options.get("max_impact", "destructive")),
        bool(options.get("approve")),
    )
    return Settings(
        caps,
        bool(options.get("check")),
        bool(options.get("now")),
        frozenset(_texts(options.get("tags"))),
        frozenset(_texts(options.get("detectors"))),
        options.get("operations", True),
    )


def _texts(value: Any) -> tuple[str, ...]:
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)
