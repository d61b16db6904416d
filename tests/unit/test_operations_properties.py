"""Operations against whatever may happen: they end, once, and no attempt passes an open breaker or a budget."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from runbook.engine.detect.attempts import Attempt
from runbook.engine.detect.breaker import Position, Settings, fold
from runbook.engine.model import Outcome, StepStatus
from runbook.engine.recover.commands import Happened, Resume, Stop
from runbook.engine.recover.state import Settings as Asked
from runbook.engine.recover.work import Left
from tests.unit.world import World

MEMBERS = ("a", "b", "c")
OUTCOMES = st.builds(
    Outcome,
    st.sampled_from([StepStatus.DONE, StepStatus.FAILED, StepStatus.FAILED, StepStatus.TIMEOUT, StepStatus.REFUSED]),
    changed=st.booleans(),
    error=st.sampled_from(["", "timeout", "401", "no space", "other"]),
    output=st.sampled_from(["1", "1", "2"]),
    data=st.sampled_from([{}, {}, {"progress": 5}, {"retry_after": 30}]),
    duration=st.sampled_from([0.0, 1.0, 20.0]),
)


@st.composite
def runbooks(draw):
    pool = draw(st.booleans())
    retry = draw(st.sampled_from(["", "retry: {attempts: 3, base: 1s}", "retry: {within: 1m, base: 5s}"]))
    lines = [
        retry,
        draw(st.sampled_from(["", "component: hub"])),
        draw(st.sampled_from(["", "rollback: true"])),
        draw(st.sampled_from(["", "fallback: [{command: [m1], name: m1}, {wait: 5s}]", "fallback: [{failover: p}]"])),
        "pool: p" if pool else "",
        draw(st.sampled_from(["", "redundancy: 3", "prefer: member.level == 'healthy'"])) if pool else "",
    ]
    preset = draw(st.sampled_from(["", "fault_tolerance: none\n", "fault_tolerance: low\n", "fault_tolerance: high\n"]))
    breaker = draw(st.sampled_from(["{}", "{breaker: {failures: 2, successes: 1, timeout: 10s}}"]))
    argv = "[x, '{{ member.name }}']" if pool else "[x]"
    return (
        f"name: t\n{preset}components: {{hub: {breaker}, p: {breaker}}}\n"
        "pools:\n  p:\n    members: [{name: a}, {name: b}, {name: c}]\n    switch: [{command: [sw], name: sw}]\n"
        f"operations:\n  - name: first\n    command: {argv}\n"
        + "".join(f"    {line}\n" for line in lines if line)
        + "  - {name: second, command: [z]}\n"
        "detectors:\n  - {name: net, error: timeout, retry: {strategy: immediate, attempts: 4}}\n"
        "  - {name: gated, error: '401', retry: false}\n"
        "  - {name: full, error: no space, recover: [{command: [clean], name: clean}]}\n"
    )


class Watched(World):
    """Sees to it that nothing is sent that must not be."""

    def __init__(self, path, text, outcomes) -> None:
        self.outcomes = list(outcomes)
        self.history: list[tuple[float, Happened]] = []
        script = dict.fromkeys(("first", "second", "m1", "sw", "clean"), Watched.next_outcome)
        super().__init__(path, text, looks={}, acts=script)

    def next_outcome(self) -> Outcome:
        act = self.sent[-1]
        if act.order.name == "first":
            self.no_open_breaker(act.subject)
        return self.outcomes.pop(0) if self.outcomes else Outcome(StepStatus.DONE, output="1")

    def no_open_breaker(self, subject: str) -> None:
        given_ = self.runbook.components["hub"].get("breaker")
        if given_ is None:
            return
        set_to = Settings(**{name: value for name, value in given_.items() if value is not None})
        about = {"component": "hub"} if self.runbook.operations[0].component else {}
        member = subject.removeprefix("p.")
        for key, value in {**about, **({"member": member} if member else {})}.items():
            ended = [
                Attempt(at, bool(told.data["ok"]), 0.0)
                for at, told in self.history
                if told.kind == "attempt.ended" and told.data.get(key) == value and told.data["status"] != "refused"
            ]
            # those of a majority begin together: what ends meanwhile opens nothing for the others
            begun = [at for at, told in self.history if told.kind == "attempt.begun"][-1]
            assert fold([each for each in ended if each.at <= begun], set_to, begun).position is not Position.OPEN

    def perform(self, command) -> None:
        if isinstance(command, Happened):
            self.history.append((self.now, command))
        super().perform(command)


def ends(world: Watched) -> None:
    """Everything has come to its end, each thing once."""
    over = [told.operation for told in world.told if told.kind == "operation.ended"]
    assert sorted(over) == ["first", "second"]
    assert not world.state.tasks
    assert world.state.wake is None or world.state.incidents
    begun = sum(told.kind == "attempt.begun" for told in world.told)
    assert begun <= 140


@settings(max_examples=80, deadline=None)
@given(runbooks(), st.lists(OUTCOMES, min_size=6, max_size=25))
def test_operations_end_whatever_happens(text, outcomes):
    with tempfile.TemporaryDirectory() as place:
        world = Watched(Path(place), text, outcomes)
        world.go()
        ends(world)
        world.again(after=30)
        ends(world)


@settings(max_examples=40, deadline=None)
@given(runbooks(), st.lists(OUTCOMES, max_size=12), st.integers(0, 6))
def test_a_stop_ends_them_without_a_further_step(text, outcomes, after):
    with tempfile.TemporaryDirectory() as place:
        world = Watched(Path(place), text, outcomes)
        stopped_at: list[int] = []
        perform = world.perform

        def stopping(command):
            if len(world.sent) == after and not stopped_at:
                stopped_at.append(len(world.sent))
                world.events.append(Stop())
            perform(command)

        world.perform = stopping
        world.go()
        assert not world.state.tasks
        if stopped_at and world.state.stopping:
            assert len(world.sent) <= stopped_at[0] + 3  # a majority is asked at once


@settings(max_examples=40, deadline=None)
@given(
    runbooks(),
    OUTCOMES | st.just(Outcome(StepStatus.LOST)),
    st.sampled_from(["operations.0", "operations.0.fallback.0", ""]),
)
def test_what_an_earlier_run_left_is_taken_in_once(text, outcome, path):
    with tempfile.TemporaryDirectory() as place:
        world = Watched(Path(place), text, [])
        member = "b" if world.runbook.operations[0].pool else ""
        world.left["old-1"] = outcome
        world.state = replace(world.state, left={("localhost", "first"): (Left("old-1", world.now - 9, path, member),)})
        world.put(Resume({}))
        world.go()
        ends(world)
        states = {told.operation: told.data["state"] for told in world.told if told.kind == "operation.ended"}
        assert (states["first"] == "interrupted") == (outcome.status is StepStatus.LOST)
        assert bool(world.state.left["localhost", "first"]) == (outcome.status is StepStatus.LOST)


def test_the_world_of_these_tests_sees_an_open_breaker(tmp_path):
    world = Watched(tmp_path, "name: t\ncomponents: {hub: {breaker: {failures: 1}}, p: {}}\n"
                    "operations: [{name: first, command: [x], component: hub, retry: {attempts: 3, base: 1s}}]\n", [])  # fmt: skip
    assert isinstance(world.state.plan.settings, Asked)
    world.outcomes = [Outcome(StepStatus.FAILED, error="x")]
    world.go()
    assert [told.kind for told in world.told].count("attempt.refused") == 1
