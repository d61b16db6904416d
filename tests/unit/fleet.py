"""Several hosts under one `advance`, with a virtual clock: steps take time, looks are answered at once."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from types import SimpleNamespace

from runbook.engine.language import load
from runbook.engine.language.render import Scope
from runbook.engine.model import Look, NotSeen, Outcome, Severity, StepStatus
from runbook.engine.people import Ack, Approval, Maintenance, People
from runbook.engine.recover.advance import advance
from runbook.engine.recover.commands import (
    Act,
    Asked,
    Ended,
    Happened,
    LookAt,
    Looked,
    Notify,
    Recover,
    Resume,
    Told,
    Undo,
    Undone,
    Woke,
)  # fmt: skip
from runbook.engine.recover.state import Incident, Plan, Settings, State
from runbook.modules import catalogue

HOUR = 3600.0


def done(duration: float = 1.0, **more) -> Outcome:
    return Outcome(StepStatus.DONE, changed=True, duration=duration, **more)


def sign(name: str, role: str = "root", causes: Sequence[str] = (), scope: str = "app", category: str = "unknown"):
    return SimpleNamespace(
        id=name, role=role, severity=Severity.HIGH, scope=scope, category=category, causes=tuple(causes)
    )


class Fleet:
    """Hosts `a`, `b`, …; `looks` and `acts` are scripted by name, or by host and name."""

    def __init__(
        self,
        path,
        text: str,
        *,
        hosts: Sequence[str] = ("a",),
        looks: Mapping[object, Look | Callable[[Fleet, str], Look]] | None = None,
        acts: Mapping[object, Outcome | Callable[[Fleet, str], Outcome]] | None = None,
        settings: Settings | None = None,
        signs: Sequence[object] = (),
        now: float = 1_000_000.0,
    ) -> None:
        file = path / "runbook.yaml"
        file.write_text(text, encoding="utf-8")
        self.runbook = load.load(file)
        self.hosts = tuple(hosts)
        self.looks = dict(looks or {})
        self.acts = dict(acts or {})
        self.signs = {each.id: each for each in signs}
        self.now = now
        self.people = People()
        self.told: list[Happened] = []
        self.done: list[tuple[str, str]] = []  # host and title, as they were begun
        self.over: list[tuple[str, str]] = []  # as they ended
        self.undone: list[str] = []  # titles
        self.titles: dict[str, str] = {}  # of steps, by intent
        self.notified: list[str] = []
        self.flying: set[str] = set()
        self._events: list[tuple[float, int, object]] = []
        self._number = count()
        self._run = 0
        self._began: float | None = None
        self.state = State(self._plan(settings or Settings()), recovering=False)

    def _plan(self, settings: Settings) -> Plan:
        self._run += 1
        scopes = {host: Scope(self.runbook, host=host, run={"id": f"r{self._run}"}) for host in self.hosts}
        last, self._began = self._began, self.now
        name = f"run{self._run}"
        return Plan(self.runbook, name, settings, 30.0, scopes, signs=self.signs, began=self.now, last=last)

    def go(self, order: Sequence[str] | None = None, wait: float = 1e9) -> Fleet:
        """One pass, in which the hosts answer in this order."""
        self.put(self.words())
        self.put(Resume({}))
        self.put(Recover())
        self.round(order)
        self.settle(wait)
        return self

    def again(self, settings: Settings | None = None, *, after: float = 60.0, order=None, wait: float = 1e9) -> Fleet:
        """Another pass, as cron would start it."""
        self.told.clear()
        self.now += after
        ended = self.state.ended
        past = {name: each for name, each in ended.items() if each.closed and self.now - each.closed <= 120}
        plan = self._plan(settings or Settings())
        self.state = replace(self.state, plan=plan, ended={}, past=past, recovering=False, judged={})
        return self.go(order, wait)

    def round(self, order: Sequence[str] | None = None) -> None:
        """All hosts are looked at; they answer in this order."""
        self.put(Asked(frozenset(self.hosts)))
        names = tuple(detector.name for detector in self.runbook.detectors)
        for host in order or self.hosts:
            self.perform(LookAt(host, names))
        self.settle(0.0)

    def words(self, **more) -> Told:
        return Told(self.people, **more)

    def settle(self, wait: float = 1e9) -> None:
        """Let time pass until nothing more comes of it, or so many seconds have passed."""
        until = self.now + wait
        for _ in range(20_000):
            wake = self.state.wake
            soonest = self._events[0][0] if self._events else None
            times = [time for time in (wake, soonest) if time is not None]
            if not times or min(times) > until:
                self.now = until if times and wait < 1e8 else self.now
                return
            self.now = max(self.now, min(times))
            if soonest is not None and soonest <= self.now:
                event = heapq.heappop(self._events)[2]
                self.put(event() if callable(event) else event)
            else:
                self.put(Woke())
        raise AssertionError("it never settles")

    def put(self, event) -> None:
        self.state, commands = advance(self.state, event, self.now)
        for command in commands:
            self.perform(command)

    def perform(self, command) -> None:
        if isinstance(command, Happened):
            self.told.append(command)
            if command.kind == "step.begun":
                self.titles[command.step] = command.data["title"]
        elif isinstance(command, Notify):
            self.notified.append(command.message)
        elif isinstance(command, LookAt):
            probes = {name: catalogue.probe(self.detector(name).probe) for name in command.detectors}
            names = [name for name, probe in probes.items() if probe.heard or not probe.engine]
            self.later(0.0, Looked(command.host, {name: self.answer(command.host, name) for name in names}))
        elif isinstance(command, Act):
            title = command.order.name
            self.done.append((command.host, title))
            self.flying.add(command.intent)
            script = self.acts.get((command.host, title), self.acts.get(title, done()))
            outcome = script(self, command.host) if callable(script) else script
            self.later(outcome.duration, lambda: self._end(command, outcome))
        elif isinstance(command, Undo):
            self.undone.append(self.titles[command.intent])
            self.later(1.0, Undone(command.intent, done()))

    def _end(self, command: Act, outcome: Outcome) -> Ended:
        self.over.append((command.host, command.order.name))
        self.flying.discard(command.intent)
        return Ended(command.intent, outcome)

    def later(self, after: float, event: object) -> None:
        heapq.heappush(self._events, (self.now + after, next(self._number), event))

    def detector(self, name: str):
        found = self.runbook.detector(name)
        assert found is not None
        return found

    def answer(self, host: str, name: str) -> Look:
        script = self.looks.get((host, name), self.looks.get(name, NotSeen("nobody scripted this")))
        return script(self, host) if callable(script) else script

    def incidents(self) -> list[Incident]:
        return [*self.state.ended.values(), *self.state.incidents.values()]

    def one(self, detector: str, host: str = "a", subject: str = "") -> Incident:
        key = (host, detector, subject)
        live = self.state.incidents.get(key)
        return live or [each for each in self.state.ended.values() if each.key == key][-1]

    def states(self) -> dict[str, str]:
        """Each host's incident, as it stands or ended in this pass."""
        return {each.host: each.state.value for each in self.incidents()}

    def kinds(self, kind: str) -> list[Happened]:
        return [told for told in self.told if told.kind == kind]

    def approve(
        self, incident: Incident, *, granted: bool = True, lasts: float = 86400.0, by: str = "eva@desk"
    ) -> None:
        said = Approval(incident.id, incident.digest, self.now, self.now + lasts, by, granted)
        self.people = replace(self.people, approvals={**self.people.approvals, incident.id: said})

    def ack(self, incident: Incident, until: float | None = None) -> None:
        said = Ack(incident.id, self.now, until, "eva@desk")
        self.people = replace(self.people, acks={**self.people.acks, incident.id: said})

    def maintain(self, hosts: str, until: float | None = None) -> None:
        said = Maintenance("m1", hosts, self.now, until, "eva@desk", "new fans")
        self.people = replace(self.people, maintenance=(said,))
