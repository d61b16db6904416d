"""`advance` against a small model: whatever happens in whatever order, what must never be is never done.

The model knows nothing of incidents' states: it watches what is looked at, what people and other runs say, and what
`advance` tells and begins.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from runbook.engine.decide.unavailable import most
from runbook.engine.language import load
from runbook.engine.language.render import Scope
from runbook.engine.model import Lease, NotSeen, Outcome, Record, Runbook, Seen, StepStatus
from runbook.engine.people import Ack, Approval, Maintenance, People
from runbook.engine.recover import kept
from runbook.engine.recover.advance import advance
from runbook.engine.recover.commands import (
    Act,
    Asked,
    Ended,
    Happened,
    LookAt,
    Looked,
    Recover,
    Resume,
    Told,
    Undo,
    Undone,
    Unreachable,
    Woke,
)  # fmt: skip
from runbook.engine.recover.state import Plan, State

HOSTS = ("a", "b", "c")
TEXT = """
name: t
{top}
detectors:
  - name: first
    health:
    when: memory_available < 1
    for: {hold}
    limit: {limit} per 10m
    max_age: 2m
    strategy: {strategy}
    verify: {{within: 20s}}
    recover: [{{command: [a], name: one}}, {{block: [{{command: [b], name: two}}, {{command: [c], name: three}}]}}]
  - name: second
    health:
    when: memory_available < 2
    limit: 3 per 10m
    mode: {mode}
    cooldown: 1m
    verify: {{for: 4s, within: 20s}}
    rollback: true
    recover: [{{command: [d], name: four}}, {{shell: {{script: e}}, name: five, mode: {step}}}]
"""
LIMITS = {"second": 3}
MAX_AGE = {"first": 120.0, "second": 600.0}
EVERY = 30.0


@cache
def runbook(top: str, hold: str, limit: int, strategy: str, mode: str, step: str) -> Runbook:
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "runbook.yaml"
        file.write_text(TEXT.format(top=top, hold=hold, limit=limit, strategy=strategy, mode=mode, step=step))
        return load.load(file)


CHOICES = st.builds(
    lambda *given: given,
    st.sampled_from(["", "max_unavailable: 1", "max_unavailable: 70%"]),
    st.sampled_from(["0s", "40s"]),
    st.sampled_from([1, 2]),
    st.sampled_from(["sequence", "progressive", "parallel"]),
    st.sampled_from(["auto", "approve", "observe"]),
    st.sampled_from(["auto", "approve"]),
)
WORDS = st.sampled_from(["ill", "ill", "ill", "well", "unknown", "mild"])
LEVELS = {"ill": 0, "mild": 1, "well": 9}


class Model(RuleBasedStateMachine):
    """A controller with three hosts, which forgets everything but its journal when it is killed."""

    @initialize(choice=CHOICES)
    def begin(self, choice):
        _, hold, limit, *_ = choice
        self.book = runbook(*choice)
        self.bound = most(self.book.max_unavailable, len(HOSTS))
        self.limits = {**LIMITS, "first": limit}
        self.hold = 40.0 if hold == "40s" else 0.0
        self.observes = choice[4] == "observe"
        self.now = 1_000_000.0
        self.runs = 0
        self.people = People()
        self.leases: dict[tuple[str, str], Lease] = {}
        self.word = dict.fromkeys(HOSTS, "well")
        self.told: list[Happened] = []
        self.seen: dict[tuple[str, str], tuple[str, float]] = {}  # what the last look said, and when
        self.ill_since: dict[tuple[str, str], float] = {}
        self.begun: dict[tuple[str, str, str], list[float]] = {}
        self.running: dict[tuple[str, str], tuple[str, str]] = {}  # host and subject: detector and incident
        self.down: dict[tuple[str, str], str] = {}  # host and detector: the incident
        self.sent: dict[str, Act] = {}  # in flight on hosts
        self.looks: list[LookAt] = []
        self.undos: list[Undo] = []
        self.state = State(self.plan(), recovering=False)
        self.start()

    def plan(self) -> Plan:
        self.runs += 1
        scopes = {host: Scope(self.book, host=host, run={"id": "r"}) for host in HOSTS}
        return Plan(self.book, f"r{self.runs}", every=EVERY, scopes=scopes)

    def start(self, outcomes=None) -> None:
        self.history = self.state
        self.log: list[tuple[object, float, tuple[object, ...]]] = []
        self.put(Told(self.people, dict(self.leases)))
        self.put(Resume(outcomes or {}))
        self.put(Recover())

    def put(self, event) -> None:
        self.state, commands = advance(self.state, event, self.now)
        self.log.append((event, self.now, commands))
        for command in commands:
            self.take(command)

    def take(self, command) -> None:
        if isinstance(command, Happened):
            self.told.append(command)
            self.heard(command)
        elif isinstance(command, LookAt):
            self.looks.append(command)
        elif isinstance(command, Act):
            self.acted(command)
            self.sent[command.intent] = command
        elif isinstance(command, Undo):
            self.undos.append(command)

    # ── what must never be ──

    def heard(self, told: Happened) -> None:
        key = (told.host, told.detector, told.subject)
        if told.kind == "recovery.begun":
            self.may_begin(told)
            self.begun.setdefault(key, []).append(self.now)
            self.running[told.host, told.subject] = (told.detector, told.incident)
            self.down[told.host, told.detector] = told.incident
            if self.bound is not None:
                assert len(self.taken()) <= self.bound, "more hosts under recovery than max_unavailable"
        elif told.kind == "recovery.ended":
            self.running.pop((told.host, told.subject), None)
        elif told.kind == "incident.changed":
            mine = self.running.get((told.host, told.subject)) == (told.detector, told.incident)
            if mine and told.data["to"] in {"waiting", "suppressed", "open", "interrupted", "observed"}:
                self.running.pop((told.host, told.subject))  # parked, or to be decided anew after another look
            if told.data["to"] == "recovering":
                other = self.running.get((told.host, told.subject))
                assert other in (None, (told.detector, told.incident)), "two recoveries of one subject"
                self.running[told.host, told.subject] = (told.detector, told.incident)
            if told.data["to"] == "observed":
                self.down.pop((told.host, told.detector), None)
        elif told.kind == "incident.ended" and told.data["to"] == "cured":
            self.down.pop((told.host, told.detector), None)

    def may_begin(self, told: Happened) -> None:
        place = (told.host, told.detector)
        word, at = self.seen.get(place, ("nothing", 0.0))
        assert self.fires(told.detector, word), f"a recovery on a look that saw {word}"
        assert self.now - at <= MAX_AGE[told.detector], "a recovery on stale evidence"
        if told.detector == "first":
            assert self.now - self.ill_since[place] >= self.hold, "a recovery while its hold was pending"
        assert (told.host, told.subject) not in self.running, "two recoveries of one subject at once"
        assert not self.in_maintenance(told.host), "a recovery in maintenance"
        assert not self.acked(told.incident), "a recovery of what a person deals with"
        lease = self.leases.get((told.host, told.subject))
        assert lease is None or lease.until <= self.now, "a recovery of what another run recovers"
        limit = self.limits[told.detector]
        begun = self.begun.get((told.host, told.detector, told.subject), [])
        assert len([at for at in begun if at > self.now - 600]) < limit, "a recovery over its limit"
        if told.detector == "second":
            assert not self.observes, "a recovery though it only observes"

    def acted(self, act: Act) -> None:
        assert act.key is not None
        detector = self.running.get((act.host, act.subject))
        assert detector is not None, "a step outside of a recovery"
        assert detector[0] == act.key[1], "a step of another recovery"
        title = act.order.name
        mine = [each for each in self.sent.values() if each.host == act.host]
        if self.book.detector(act.key[1]).strategy.value != "parallel":
            assert not mine, "two steps of one subject at once"
        if title in {"one", "two", "four", "five"}:  # a rung begins
            assert not self.in_maintenance(act.host), "a rung in maintenance"

    def fires(self, detector: str, word: str) -> bool:
        return word == "ill" or (word == "mild" and detector == "second")

    def taken(self) -> set[str]:
        return {host for (host, _), name in self.down.items() if not self.acked(name)}

    def in_maintenance(self, host: str) -> bool:
        return any(each.hosts == host and (each.until or 9e9) > self.now for each in self.people.maintenance)

    def acked(self, incident: str) -> bool:
        said = self.people.acks.get(incident)
        return said is not None and (said.until is None or said.until > self.now)

    # ── what may happen ──

    @rule(host=st.sampled_from(HOSTS), word=WORDS)
    def becomes(self, host, word):
        self.word[host] = word

    @rule(order=st.permutations(HOSTS), lost=st.sampled_from([*HOSTS, None, None]))
    def look(self, order, lost):
        self.put(Asked(frozenset(HOSTS)))
        for host in order:
            if host == lost:
                for name in ("first", "second"):
                    self.seen[host, name] = ("unknown", self.now)
                self.put(Unreachable(host, "no route"))
            else:
                self.answer(LookAt(host, ("first", "second")))

    @precondition(lambda self: self.looks)
    @rule(number=st.integers(0, 9))
    def is_answered(self, number):
        self.answer(self.looks.pop(number % len(self.looks)))

    def answer(self, look: LookAt) -> None:
        word = self.word[look.host]
        records = () if word == "unknown" else (Record("", {"memory_available": LEVELS[word]}),)
        found = NotSeen("no access") if word == "unknown" else Seen(records)
        for name in look.detectors:
            place = (look.host, name)
            self.seen[place] = (word, self.now)
            if self.fires(name, word):
                self.ill_since.setdefault(place, self.now)
            elif word != "unknown":
                self.ill_since.pop(place, None)
                running = self.running.get((look.host, ""))
                if running is None or running[0] != name:
                    self.down.pop(place, None)
        self.put(Looked(look.host, dict.fromkeys(look.detectors, found)))

    @precondition(lambda self: self.sent)
    @rule(number=st.integers(0, 9), status=st.sampled_from(["done", "done", "failed", "timeout"]))
    def step_ends(self, number, status):
        intent = sorted(self.sent)[number % len(self.sent)]
        del self.sent[intent]
        self.put(Ended(intent, Outcome(StepStatus(status), changed=True, error="" if status == "done" else "boom")))

    @precondition(lambda self: self.undos)
    @rule(ok=st.booleans())
    def is_undone(self, ok):
        undo = self.undos.pop()
        self.put(Undone(undo.intent, Outcome(StepStatus.DONE if ok else StepStatus.FAILED, error="" if ok else "no")))

    @rule(
        words=st.lists(WORDS, min_size=3, max_size=3),
        ends=st.lists(st.sampled_from(["done", "done", "failed"]), max_size=6),
        then=WORDS,
        seconds=st.sampled_from([5.0, 60.0, 130.0]),
    )
    def a_pass(self, words, ends, then, seconds):
        """All is looked at, steps end one after the other, and it becomes well or not."""
        self.word.update(zip(HOSTS, words, strict=True))
        self.look(HOSTS, None)
        for status in ends:
            if self.sent:
                self.now += 1.0
                self.step_ends(0, status)
        self.word.update(dict.fromkeys(HOSTS, then))
        self.time_passes(seconds)

    @rule(seconds=st.sampled_from([1.0, 5.0, 30.0, 61.0, 130.0, 700.0]))
    def time_passes(self, seconds):
        until = self.now + seconds
        while (wake := self.state.wake) is not None and wake <= until:
            self.now = max(self.now, wake)
            self.put(Woke())
            while self.looks:
                self.answer(self.looks.pop(0))
        self.now = until

    @rule(host=st.sampled_from(HOSTS), on=st.booleans())
    def maintenance(self, host, on):
        said = (Maintenance("m", host, self.now, self.now + 300, "eva"),) if on else ()
        self.say(replace(self.people, maintenance=said))

    @precondition(lambda self: self.state.incidents)
    @rule(number=st.integers(0, 9), word=st.sampled_from(["approve", "reject", "ack", "unack"]))
    def person(self, number, word):
        keys = sorted(self.state.incidents)
        incident = self.state.incidents[keys[number % len(keys)]]
        acks, approvals = dict(self.people.acks), dict(self.people.approvals)
        if word == "ack":
            acks[incident.id] = Ack(incident.id, self.now, self.now + 5000, "eva")
        elif word == "unack":
            acks.pop(incident.id, None)
        elif incident.digest:
            about = (incident.id, incident.digest, self.now, self.now + 86400.0, "eva", word == "approve")
            approvals[incident.id] = Approval(*about)
        self.say(replace(self.people, acks=acks, approvals=approvals))

    @rule(host=st.sampled_from(HOSTS), on=st.booleans())
    def another_run(self, host, on):
        if on and (host, "") not in self.running:
            self.leases[host, ""] = Lease(host, "", "r0", "ops@login 1", until=self.now + 100)
        else:
            self.leases.pop((host, ""), None)
        self.say(self.people)

    def say(self, people: People) -> None:
        self.people = people
        self.put(Told(people, dict(self.leases)))

    @rule(known=st.booleans())
    def is_killed(self, known):
        """Kill -9: what the journal holds comes back, what was in flight ended meanwhile, or nobody knows."""
        outcomes = {}
        for intent in self.sent:
            lost = Outcome(StepStatus.LOST, data={"begun": True})
            outcomes[intent] = Outcome(StepStatus.DONE, changed=True) if known else lost
        self.sent.clear()
        self.looks.clear()
        self.undos.clear()
        data = [json.loads(json.dumps(kept.plain(each))) for each in self.state.incidents.values()]
        incidents = {each.key: each for each in map(kept.restored, data)}
        assert incidents == self.state.incidents
        old = self.state
        self.state = State(
            self.plan(),
            recovering=False,
            incidents=incidents,
            holds=old.holds,
            begun=old.begun,
            finished=old.finished,
            steps=old.steps,
            cleared=old.cleared,
            failed=old.failed,
        )
        self.start(outcomes)

    # ── what is always so ──

    @invariant()
    def nothing_is_in_flight_that_nobody_awaits(self):
        if hasattr(self, "sent"):
            assert set(self.sent) == {name for name, task in self.state.tasks.items() if name in self.sent}

    def teardown(self):
        """The same events give the same decisions."""
        if not hasattr(self, "log"):
            return
        state = self.history
        for event, now, commands in self.log:
            state, again = advance(state, event, now)
            assert again == commands
        assert state == self.state


TestModel = Model.TestCase
TestModel.settings = settings(
    max_examples=50,
    stateful_step_count=30,
    deadline=None,
    database=None,
    phases=(Phase.generate,),  # what fails is told at once; to make it smaller takes minutes
    suppress_health_check=list(HealthCheck),
)
