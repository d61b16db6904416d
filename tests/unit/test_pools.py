"""Pools: whom an operation asks, in which order; redundancy: whose answer counts; failover: who is active."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runbook.engine.detect.attempts import Attempt
from runbook.engine.errors import RunbookInvalid
from runbook.engine.language import load
from runbook.engine.model import Outcome, StepStatus
from runbook.engine.recover.commands import Resume, Stop
from runbook.engine.recover.redundancy import Answer, majority
from runbook.engine.recover.state import Settings
from tests.unit.world import DONE, World, failed, seen

RUNBOOK = """
name: t
vars: {{base: 8000}}
{top}
pools:
  endpoints:
    members:
      - {{name: a, port: "{{{{ base }}}}", weight: 1}}
      - {{name: b, port: "{{{{ base + 1 }}}}", weight: 3}}
      - {{name: c, port: "{{{{ base + 2 }}}}", weight: 2}}
    switch:
      - {{command: [switch, "{{{{ from.name }}}}", "{{{{ to.name }}}}", "{{{{ to.port }}}}"], name: switch}}
      - {{command: [reload], name: reload}}
operations:
  - name: ask
    pool: endpoints
    command: [curl, "{{{{ member.port }}}}"]
    register: answer
    {extra}
{rest}
"""


class Endpoints(World):
    """Members that are down, or answer something."""

    def __init__(self, path, *, extra="", top="", rest="", acts=None, looks=None, **says: object) -> None:
        self.says = says
        self.asked: list[str] = []
        text = RUNBOOK.format(extra=extra, top=top, rest=rest)
        super().__init__(path, text, looks=looks or {}, acts={"ask": Endpoints.answered, **(acts or {})})

    def answered(self) -> Outcome:
        name = self.sent[-1].subject.removeprefix("endpoints.")
        assert self.sent[-1].order.params["argv"] == ("curl", str({"a": 8000, "b": 8001, "c": 8002}[name]))
        self.asked.append(name)
        said = self.says.get(name, "up")
        return said if isinstance(said, Outcome) else Outcome(StepStatus.DONE, output=str(said), duration=0.5)

    def lately(self, **history: str) -> Endpoints:
        """Give members a history: x failed, . succeeded."""
        known = {
            ("localhost", f"endpoints.{name}"): tuple(
                Attempt(float(at), sign == ".", 0.1) for at, sign in enumerate(text)
            )
            for name, text in history.items()
        }
        self.state = replace(self.state, attempts=known)
        return self

    @property
    def ended(self) -> dict[str, object]:
        return next(told.data for told in self.told if told.kind == "operation.ended")

    @property
    def told_attempts(self) -> list[tuple[str, bool]]:
        return [(told.data["member"], told.data["ok"]) for told in self.told if told.kind == "attempt.ended"]


DOWN = failed("connection refused")


def test_the_first_member_is_asked_first_and_the_next_ones_at_once(tmp_path):
    world = Endpoints(tmp_path, a=DOWN, b=DOWN)
    start = world.now
    world.go()
    assert world.asked == ["a", "b", "c"]
    assert (world.ended["state"], world.ended["member"], world.ended["attempts"]) == ("succeeded", "c", 3)
    assert world.now - start == 0.5
    assert world.told_attempts == [("a", False), ("b", False), ("c", True)]


def test_when_all_have_failed_it_is_a_failure_and_the_next_round_comes_after_the_delay(tmp_path):
    world = Endpoints(tmp_path, extra="retry: {attempts: 2, base: 10s}", a=DOWN, b=DOWN, c=DOWN)
    world.go()
    assert sorted(world.asked[:3]) == sorted(world.asked[3:]) == ["a", "b", "c"]
    assert [told.data["delay"] for told in world.told if told.kind == "attempt.delayed"] == [10.0]
    assert (world.ended["state"], world.ended["attempts"]) == ("failed", 6)


def test_the_healthiest_comes_first_and_whoever_failed_last_comes_later(tmp_path):
    world = Endpoints(tmp_path, a=DOWN, b=DOWN).lately(a="x....", b="....x", c=".....")
    world.go()
    assert world.asked == ["c"]  # a and b have 20 % errors: unhealthy
    world = Endpoints(tmp_path, a=DOWN, b=DOWN, c=DOWN).lately(a="x", b=".x.", c="")
    world.go()
    assert world.asked == ["b", "c", "a"]


@pytest.mark.parametrize(
    ("prefer", "order"),
    [
        ("member.weight", "bca"),
        ("-member.weight", "acb"),
        ("member.weight > 1", "bca"),
        ("member.name == 'c'", "cab"),
        ("-member.latency_mean", "cab"),  # b was never asked: what is not known comes last
        ("member.attempts == 0", "bac"),
        ("member.level == 'critical'", "bac"),  # of b nothing is known, the others are not
        ("member.active", "abc"),
    ],
)
def test_prefer_says_who_comes_first(tmp_path, prefer, order):
    world = Endpoints(tmp_path, extra=f'prefer: "{prefer}"', a=DOWN, b=DOWN, c=DOWN)
    slow = tuple(Attempt(float(at), ok=True, seconds=3.0) for at in range(5))
    quick = tuple(Attempt(float(at), ok=True, seconds=1.0) for at in range(5))
    world.state = replace(
        world.state, attempts={("localhost", "endpoints.a"): slow, ("localhost", "endpoints.c"): quick}
    )
    world.go()
    assert "".join(world.asked) == order


def test_a_prefer_that_is_no_answer_is_told(tmp_path):
    world = Endpoints(tmp_path, extra="prefer: member.name")
    world.go()
    assert world.asked == []
    assert "write a condition" in str(world.ended["error"])


def test_an_open_breaker_leads_to_the_next_member_and_is_told(tmp_path):
    top = "components: {endpoints: {breaker: {failures: 2, timeout: 1h}}}"
    world = Endpoints(tmp_path, top=top).lately(a="xx", b="")
    world.state = replace(
        world.state,
        attempts={("localhost", "endpoints.a"): tuple(Attempt(world.now - 9, ok=False, seconds=0.1) for _ in range(2))},
    )
    world.go()
    assert world.asked == ["b"]
    (refused,) = [told.data for told in world.told if told.kind == "attempt.refused"]
    assert (refused["member"], refused["component"]) == ("a", "endpoints.a")
    assert refused["until"] == pytest.approx(1_000_000 - 9 + 3600)


def test_when_all_breakers_are_open_it_fails_at_once_and_says_of_each(tmp_path):
    top = "components: {endpoints: {breaker: {failures: 1, timeout: 1h}}}"
    world = Endpoints(tmp_path, top=top, extra="retry: {attempts: 9, base: 1s}", a=DOWN, b=DOWN, c=DOWN)
    world.go()
    assert world.asked == ["a", "b", "c"]
    assert world.ended["state"] == "failed"
    assert all(f"`endpoints.{name}` is open after a failure" in str(world.ended["error"]) for name in "abc")


def test_the_operations_own_component_is_fed_by_all_and_the_members_by_their_own(tmp_path):
    world = Endpoints(tmp_path, extra="component: llm", a=DOWN)
    world.go()
    known = {name: [each.ok for each in found] for (_, name), found in world.state.attempts.items()}
    assert known == {"llm": [False, True], "endpoints.a": [False], "endpoints.b": [True]}


def test_an_error_detectors_recovery_runs_when_no_other_member_is_left(tmp_path):
    rest = "detectors:\n  - name: refused\n    error: refused\n    recover: [{command: [up], name: up}]\n"
    world = Endpoints(tmp_path, extra="retry: {attempts: 2, base: 1s}", rest=rest, a=DOWN, b=DOWN, c=DOWN)
    world.go()
    assert world.done == ["ask", "ask", "ask", "up", "ask", "ask", "ask"]
    world = Endpoints(tmp_path, extra="retry: {attempts: 2, base: 1s}", rest=rest, a=DOWN)
    world.go()
    assert world.done == ["ask", "ask"]
    assert world.states() == {"refused": "cured"}


def test_retry_false_asks_no_other_member(tmp_path):
    rest = "detectors:\n  - name: gated\n    error: '401'\n    retry: false\n"
    world = Endpoints(tmp_path, rest=rest, a=failed("401"))
    world.go()
    assert world.asked == ["a"]


def test_the_member_that_answered_is_registered(tmp_path):
    world = Endpoints(
        tmp_path, rest='finally: [{notify: "{{ answer.member }} said {{ answer.output }}"}]', a=DOWN, b="fine"
    )
    world.go()
    assert world.notified == ["b said fine"]


# redundancy

THREE = "redundancy: 3"


def test_three_are_asked_and_the_majority_counts(tmp_path):
    world = Endpoints(tmp_path, extra=THREE, a="42", b="41", c="42")
    world.go()
    assert world.asked == ["a", "b", "c"]
    assert (world.ended["state"], world.ended["attempts"], world.ended["member"]) == ("succeeded", 1, "a, c")
    assert world.told_attempts == [("a", True), ("b", False), ("c", True)]
    dissent = [told.data["error"] for told in world.told if told.kind == "attempt.ended" and not told.data["ok"]]
    assert dissent == ["its answer is not the majority's"]


def test_they_are_asked_at_the_same_time(tmp_path):
    world = Endpoints(tmp_path, extra=THREE)
    flying = []
    world.acts["ask"] = lambda one: flying.append(len(one.state.works["localhost"].calls)) or DONE
    world.go()
    assert flying == [3, 3, 3]


def test_a_member_that_is_down_is_outvoted(tmp_path):
    world = Endpoints(tmp_path, extra=THREE, a=DOWN, b="1", c="1")
    world.go()
    assert (world.ended["state"], world.ended["member"]) == ("succeeded", "b, c")


def test_without_a_majority_it_fails_and_says_who_said_what(tmp_path):
    world = Endpoints(tmp_path, extra=THREE, a='{"n": 1}', b="two\nlines", c=DOWN)
    world.go()
    assert world.ended["state"] == "failed"
    assert world.ended["error"] == (
        'no majority: 2 of 3 have to answer the same; a said {"n": 1}; b said two lines; c failed: connection refused'
    )
    assert world.told_attempts == [("a", True), ("b", True), ("c", False)]  # nobody knows which of them is wrong


def test_error_detectors_judge_what_the_members_said(tmp_path):
    rest = "detectors:\n  - name: refused\n    error: refused\n    retry: {strategy: immediate, attempts: 2}\n"
    world = Endpoints(tmp_path, extra=THREE, rest=rest, a=DOWN, b=DOWN, c="1")
    world.go()
    assert len(world.asked) == 6
    assert world.states() == {"refused": "unhealed"}


def test_members_whose_breaker_is_open_are_not_asked_and_two_can_still_agree(tmp_path):
    top = "components: {endpoints: {breaker: {failures: 1, timeout: 1h}}}"
    world = Endpoints(tmp_path, top=top, extra=THREE, a=DOWN)
    world.go()
    world.asked.clear()
    world.again(after=1)
    assert world.asked == ["b", "c"]
    assert world.ended["state"] == "succeeded"
    world.says = {"b": DOWN, "c": "1"}
    world.again(after=1)
    world.asked.clear()
    world.again(after=1)
    assert (world.asked, world.ended["state"]) == ([], "failed")
    assert "1 of 3 members are no majority" in str(world.ended["error"])


@pytest.mark.parametrize(
    ("said", "asked", "agreed"),
    [
        (["1", "1", "1"], 3, "abc"),
        (["1", "2", "1"], 3, "ac"),
        (['{"a": 1, "b": 2}', '{"b": 2, "a": 1}\n', "x"], 3, "ab"),
        (["[1, 2]", "[2, 1]", "x"], 3, ""),
        (["1", "1", "2", "2"], 4, ""),
        (["1", "1", "1", "2"], 4, "abc"),
        (["1"], 3, ""),
        (["up ", "\tup"], 2, "ab"),
        (["{broken", "{broken", "{}"], 3, "ab"),
        ([], 3, ""),
    ],
)
def test_more_than_half_of_those_that_were_to_be_asked_must_say_the_same(said, asked, agreed):
    answers = [
        Answer(name, name, Outcome(StepStatus.DONE, output=text)) for name, text in zip("abcd", said, strict=False)
    ]
    found = majority(answers, asked)
    assert ("".join(found.agreed), found.outcome.ok) == (agreed, bool(agreed))


def test_json_that_a_step_has_read_is_its_answer_and_not_its_output():
    answers = [
        Answer(name, name, Outcome(StepStatus.DONE, output=f"took {name} ms", data={"json": {"n": 1}, "status": 200}))
        for name in "ab"
    ]
    assert majority(answers, 3).agreed == ("a", "b")


# failover

ILL = "detectors:\n  - name: down\n    health:\n    when: memory_available < 1GB\n    recover: [{failover: STEP}]\n"


def failing_over(tmp_path, step="{pool: endpoints}", *, well_after=1, **more) -> Endpoints:
    def look(world, _):
        count = world.done.count("reload")
        return seen({"memory_available": 2e9 if count and count % well_after == 0 else 1})

    return Endpoints(tmp_path, rest=ILL.replace("STEP", step), looks={"down": look}, **more)


def switched(world: World) -> list[tuple[object, object]]:
    return [(told.data["from"], told.data["to"]) for told in world.told if told.kind == "pool.switched"]


def test_failover_runs_the_pools_switch_and_the_new_member_is_asked_first(tmp_path):
    world = failing_over(tmp_path)
    world.go()
    orders = {act.order.name: act.order.params["argv"] for act in world.sent}
    assert orders["switch"] == ("switch", "a", "b", "8001")
    assert world.done == ["ask", "switch", "reload"]
    assert switched(world) == [("a", "b")]
    assert world.state.active == {("localhost", "endpoints"): "b"}
    assert world.states() == {"down": "cured"}
    world.asked.clear()
    world.again()
    assert world.asked == ["b"]


def test_an_active_member_that_the_runbook_has_lost_is_the_first_again(tmp_path):
    world = failing_over(tmp_path, top="fault_tolerance: high")
    world.state = replace(world.state, active={("localhost", "endpoints"): "z"})
    world.go()
    assert world.asked == ["a"]
    assert switched(world) == [("a", "b")]


def test_repeated_failovers_go_round(tmp_path):
    found = []
    world = failing_over(tmp_path, well_after=99)
    world.go()
    for _ in range(3):
        found += switched(world)
        world.again()
    assert found == [("a", "b"), ("b", "c"), ("c", "a")]


def test_failover_goes_to_the_healthiest_other(tmp_path):
    world = failing_over(tmp_path).lately(b=".x", c="..")
    world.go()
    assert switched(world) == [("a", "c")]


def test_failover_goes_where_it_is_told_to_and_does_nothing_where_it_is_already(tmp_path):
    world = failing_over(tmp_path, "{pool: endpoints, to: c}", well_after=99)
    world.go()
    assert switched(world) == [("a", "c")]
    world.again()
    assert (switched(world), world.done.count("switch")) == ([], 1)


def test_a_switch_that_fails_leaves_the_active_member(tmp_path):
    world = failing_over(tmp_path, acts={"reload": failed("no such unit")})
    world.go()
    assert (switched(world), dict(world.state.active)) == ([], {})
    (step,) = [told.data for told in world.told if told.kind == "step.ended" and told.data["module"] == "failover"]
    assert step["error"] == "reload: no such unit; a stays the active one"
    assert step["changed"]
    assert world.states() == {"down": "unhealed"}


def test_failover_may_be_a_fallback_and_a_step_of_its_own(tmp_path):
    world = Endpoints(tmp_path, extra="fallback: [{failover: endpoints}]", a=DOWN, b=DOWN, c=DOWN)
    world.go()
    assert (world.ended["state"], world.ended["fallback"]) == ("succeeded", "failover")
    assert switched(world) == [("a", "b")]


def test_a_stop_in_the_middle_of_a_failover_lets_its_step_end_and_begins_no_other(tmp_path):
    world = failing_over(tmp_path)

    def stop(one):
        one.events.append(Stop())
        return DONE

    world.acts["switch"] = stop
    world.go()
    assert world.done == ["ask", "switch"]
    assert (switched(world), world.state.stopping) == ([], True)
    assert world.state.tasks == {}


@pytest.mark.parametrize("switch", ["shell: {script: reload}", "command: [reload], mode: approve"])
def test_a_failover_is_as_dangerous_as_the_steps_of_its_switch(tmp_path, switch):
    text = RUNBOOK.format(extra="", top="", rest=ILL.replace("STEP", "{pool: '{{ which }}'}"))
    text = text.replace("command: [reload]", switch).replace("base: 8000", "base: 8000, which: endpoints")
    world = World(tmp_path, text, looks={"down": seen({"memory_available": 1})})
    world.go()
    assert world.states() == {"down": "waiting"}
    assert switched(world) == []
    digest = world.state.incidents["localhost", "down", ""].digest
    (tmp_path / "other").mkdir()
    other = World(tmp_path / "other", text.replace("from.name", "from.port"), looks=world.looks)
    other.go()
    assert other.state.incidents["localhost", "down", ""].digest != digest


def test_a_member_that_a_detector_finds_ill_comes_last_and_failover_avoids_it(tmp_path):
    ill = (
        "  - name: b down\n    health:\n    when: memory_available < 9GB\n    component: endpoints.b\n"
        "    severity: critical\n"
    )
    world = failing_over(tmp_path)
    text = RUNBOOK.format(extra="", top="", rest=ILL.replace("STEP", "{pool: endpoints}") + ill)
    looks = {**world.looks, "b down": seen({"memory_available": 1})}
    world = World(tmp_path, text, looks=looks)
    world.go()  # the look before the operations opens nothing yet
    world.again()
    assert world.sent[-1].subject == "endpoints.c"
    assert switched(world) in ([], [("a", "c")])
    assert world.state.active["localhost", "endpoints"] == "c"


class Killed(Exception):
    """The power goes."""


def power_cut(world: Endpoints, at: str) -> str:
    """Kill the engine when it has sent a step; return the step's intent."""

    def cut(_):
        raise Killed

    world.acts[at] = cut
    with pytest.raises(Killed):
        world.go()
    del world.acts[at]
    world.events.clear()
    world.state = replace(
        world.state, plan=world.plan(Settings()), tasks={}, works={}, ended={}, recovering=False, said={}
    )
    world.now += 60
    return world.sent[-1].intent


def resumed(world: Endpoints, outcomes) -> None:
    world.done.clear()
    world.put(Resume(outcomes))
    world.go()


def test_a_failover_that_was_killed_goes_on_with_the_step_after_the_one_that_ended(tmp_path):
    world = failing_over(tmp_path)
    intent = power_cut(world, "switch")
    resumed(world, {intent: DONE})
    assert [name for name in world.done if name != "ask"] == ["reload"]
    assert (switched(world), world.states()) == ([("a", "b")], {"down": "cured"})
    assert dict(world.state.ended.popitem()[1].switching) == {}


def test_a_failover_whose_lost_step_never_began_goes_on_with_it_and_to_the_same_member(tmp_path):
    world = failing_over(tmp_path)
    intent = power_cut(world, "reload")
    world.lately(b="xxxxx")  # it looks ill by now, but the switch has begun
    resumed(world, {intent: Outcome(StepStatus.LOST, data={"begun": False})})
    assert [name for name in world.done if name != "ask"] == ["reload"]
    assert switched(world) == [("a", "b")]


def test_a_failover_whose_lost_step_must_not_run_twice_waits_for_a_person(tmp_path):
    world = failing_over(tmp_path)
    intent = power_cut(world, "switch")
    resumed(world, {intent: Outcome(StepStatus.LOST)})
    assert [name for name in world.done if name != "ask"] == []
    assert world.states() == {"down": "interrupted"}


def test_a_failover_whose_step_has_failed_meanwhile_has_failed(tmp_path):
    world = failing_over(tmp_path)
    intent = power_cut(world, "switch")
    world.put(Resume({intent: failed("no such file")}))
    assert (switched(world), world.states()) == ([], {"down": "unhealed"})
    (step,) = [told.data for told in world.told if told.kind == "step.ended" and told.data["module"] == "failover"]
    assert step["error"] == "switch: no such file"


def test_a_failover_whose_step_is_still_in_hand_is_left_alone(tmp_path):
    world = failing_over(tmp_path)
    power_cut(world, "switch")
    resumed(world, {})
    assert [name for name in world.done if name != "ask"] == []
    assert world.states() == {"down": "recovering"}


def test_the_switch_of_a_parallel_recovery_runs_beside_its_other_rungs(tmp_path):
    rest = ILL.replace("[{failover: STEP}]", "[{failover: endpoints}, {command: [other], name: other}]")
    rest += "    strategy: parallel\n"
    world = Endpoints(tmp_path, rest=rest, looks={"down": seen({"memory_available": 1})})
    world.go()
    assert {act.order.name: act.beside for act in world.sent} == {
        "ask": False, "switch": True, "other": True, "reload": True,
    }  # fmt: skip


# lint and loading


@pytest.mark.parametrize(
    ("old", "new", "code", "message"),
    [
        ("name: c,", "name: a,", "RB015", "a second member is called `a`"),
        ("weight: 1", "level: 1", "RB006", "`level` is what the engine knows of a member"),
        ("pool: endpoints\n", "pool: endpoint\n", "RB012", "there is no pool `endpoint`"),
        ("base: 8000", "from: 8000", "RB006", "`from` is a name that the engine fills in"),
        ("{command: [reload], name: reload}", "{failover: endpoints}", "RB011", "can't hold a `failover`"),
        (
            "register: answer",
            "fallback: [{failover: {pool: endpoints, to: d}}]",
            "RB012",
            "no member of `endpoints` `d`",
        ),
        ("register: answer", "fallback: [{failover: {pool: nothing}}]", "RB012", "there is no pool `nothing`"),
    ],
)
def test_what_is_wrong_in_a_pool_is_told_when_it_is_read(tmp_path, old, new, code, message):
    file = tmp_path / "x.yaml"
    text = RUNBOOK.format(extra="", top="", rest="")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(RunbookInvalid) as refused:
        load.load(file)
    assert any(found.code == code and message in found.message for found in refused.value.findings)
