"""`strategy: parallel`: rungs side by side, the first verified cure wins, what has begun is awaited."""

from dataclasses import replace

import pytest

from runbook.engine.model import Outcome, StepStatus
from runbook.engine.recover.commands import Resume
from tests.unit.fleet import Fleet, done
from tests.unit.test_recover_guards import ILL, WELL, cured_by, fleet
from tests.unit.world import failed

THREE = "[{command: [a], name: one}, {command: [b], name: two}, {command: [c], name: three}]"
BLOCKS = """[
      {block: [{command: [a], name: a1}, {command: [a], name: a2}]},
      {block: [{command: [b], name: b1}, {command: [b], name: b2}, {command: [b], name: b3}]}]"""
PARALLEL = "strategy: parallel\n    verify: {within: 20s}"


def parallel(tmp_path, look=ILL, recover=THREE, extra="", **more) -> Fleet:
    return fleet(tmp_path, look, extra=PARALLEL + extra, recover=recover, **more)


def test_all_rungs_begin_at_once(tmp_path):
    world = parallel(tmp_path, cured_by("two"))
    world.go(wait=0.0)
    assert world.done == [("a", "one"), ("a", "two"), ("a", "three")]
    assert len(world.state.tasks) == 3


def test_the_first_verified_cure_wins_and_what_has_begun_is_awaited(tmp_path):
    acts = {"b1": done(100.0), "a2": done(3.0)}
    world = parallel(tmp_path, cured_by("a2"), BLOCKS, acts=acts)
    world.go()
    assert world.done == [("a", "a1"), ("a", "b1"), ("a", "a2")]
    assert ("a", "b1") in world.over
    assert world.states() == {"a": "cured"}
    [ended] = world.kinds("recovery.ended")
    assert world.told.index(ended) > max(world.told.index(each) for each in world.kinds("step.ended"))
    [won] = world.kinds("rung.won")
    assert (won.data["rungs"], won.data["left"]) == ([0], [1])


def test_what_was_broken_by_the_last_to_end_is_not_called_cured(tmp_path):
    acts = {"two": done(30.0), "three": failed()}
    look = lambda world, host: WELL if world.over and ("a", "two") not in world.over else ILL  # noqa: E731
    world = parallel(tmp_path, look, acts=acts)
    world.go()
    assert world.states() == {"a": "unhealed"}


def test_a_rung_that_cures_late_cures(tmp_path):
    world = parallel(tmp_path, cured_by("three"), acts={"one": failed(), "three": done(500.0)})
    world.go()
    assert world.states() == {"a": "cured"}


def test_when_all_fail_it_is_unhealed_with_every_reason(tmp_path):
    acts = {"one": failed("no route"), "two": failed("no disk"), "three": failed("no luck")}
    world = parallel(tmp_path, acts=acts)
    world.go()
    assert world.states() == {"a": "unhealed"}
    assert world.one("low").reason == "one: no route; two: no disk; three: no luck"


def test_when_none_cures_it_is_unhealed(tmp_path):
    world = parallel(tmp_path)
    world.go()
    assert (world.states(), world.one("low").reason) == ({"a": "unhealed"}, "not well after the recovery")


DESTROYS = "[{shell: {script: x}, name: wipe, mode: auto}, {command: [a], name: one}, {command: [b], name: two}]"


def test_a_rung_that_destroys_comes_only_when_the_others_were_in_vain(tmp_path):
    world = parallel(tmp_path, cured_by("two"), DESTROYS)
    world.go()
    assert (world.done, world.states()) == ([("a", "one"), ("a", "two")], {"a": "cured"})
    world = parallel(tmp_path, cured_by("wipe"), DESTROYS)
    world.go()
    assert (world.done, world.states()) == ([("a", "one"), ("a", "two"), ("a", "wipe")], {"a": "cured"})


def test_one_that_needs_a_person_parks_what_is_left(tmp_path):
    recover = DESTROYS.replace(", mode: auto", "")
    world = parallel(tmp_path, cured_by("wipe"), recover)
    world.go()
    assert (world.states(), [each["step"] for each in world.one("low").asked]) == ({"a": "waiting"}, ["wipe"])
    world.approve(world.one("low"))
    world.again()
    assert (world.done[-1], world.states()) == (("a", "wipe"), {"a": "cured"})
    assert len(world.done) == 3


def test_a_parked_rung_waits_for_its_own_guards_alone(tmp_path):
    recover = "[{command: [a], name: one, limit: 1 per 1d}, {shell: {script: x}, name: wipe}]"
    world = parallel(tmp_path, cured_by("wipe"), recover)
    world.go()
    world.approve(world.one("low"))
    world.again()
    assert (world.done, world.states()) == ([("a", "one"), ("a", "wipe")], {"a": "cured"})


def test_a_rung_over_its_limit_is_left_out(tmp_path):
    recover = "[{command: [a], name: one, limit: 1 per 1d}, {command: [b], name: two}]"
    world = parallel(tmp_path, recover=recover)
    world.go()
    world.again()
    assert world.done == [("a", "one"), ("a", "two"), ("a", "two")]


def interrupted(tmp_path, **acts) -> Fleet:
    """Killed while both blocks are at their first step."""
    world = parallel(tmp_path, cured_by("a2"), BLOCKS, acts=acts)
    world.go(wait=0.0)
    world._events.clear()
    world.state = replace(world.state, tasks={})
    return world


def test_after_a_crash_each_rung_goes_on_where_it_was(tmp_path):
    world = interrupted(tmp_path)
    lanes = world.one("low").lanes
    world.put(Resume({lanes[0].intent: done(), lanes[1].intent: done()}))
    world.settle()
    assert world.states() == {"a": "cured"}
    assert world.done.count(("a", "a1")) == 1


@pytest.mark.parametrize("begun", [True, False])
def test_a_step_that_was_lost_in_a_crash_is_not_done_twice(tmp_path, begun):
    world = interrupted(tmp_path)
    lanes = world.one("low").lanes
    lost = Outcome(StepStatus.LOST, data={"begun": begun})
    world.put(Resume({lanes[0].intent: lost, lanes[1].intent: done()}))
    world.settle()
    assert world.states() == {"a": "interrupted" if begun else "unhealed"}
    assert world.done.count(("a", "a1")) == 1


# ── rollback ─────────────────────────────────────────────────────────────────────────────────────────────────────────

ROLLBACK = "verify: {within: 4s}\n    rollback: true\n    unhealed: [{notify: it stays ill}]"


def test_a_recovery_in_vain_is_undone_backwards_before_people_are_told(tmp_path):
    acts = {"two": Outcome(StepStatus.DONE, changed=False, duration=1.0)}
    world = fleet(tmp_path, extra=ROLLBACK, recover=THREE, acts=acts)
    world.go()
    assert (world.undone, world.states()) == (["three", "one"], {"a": "unhealed"})
    assert [world.titles[told.step] for told in world.kinds("step.undone")] == ["three", "one"]
    assert world.notified == ["it stays ill"]
    kinds = [told.kind for told in world.told]
    assert kinds.index("recovery.ended") > kinds.index("step.undone")


def test_what_a_failed_step_changed_is_undone_too(tmp_path):
    half = Outcome(StepStatus.FAILED, changed=True, error="half way", duration=1.0)
    world = fleet(tmp_path, extra=ROLLBACK, recover=THREE, acts={"two": half})
    world.go()
    assert world.undone == ["two", "one"]
    assert world.one("low").reason == "two: half way"


def test_a_cure_is_not_undone(tmp_path):
    world = fleet(tmp_path, cured_by("two"), extra=ROLLBACK, recover=THREE)
    world.go()
    assert (world.undone, world.states()) == ([], {"a": "cured"})


def test_without_rollback_nothing_is_undone(tmp_path):
    world = fleet(tmp_path, extra="verify: {within: 4s}", recover=THREE)
    world.go()
    assert (world.undone, world.states()) == ([], {"a": "unhealed"})


def test_after_a_crash_in_an_undo_it_is_asked_for_again(tmp_path):
    world = fleet(tmp_path, extra=ROLLBACK, recover=THREE)
    world.go(wait=6.0)
    while not world.undone:
        world.settle(0.25)
    world._events.clear()
    world.put(Resume({}))
    world.settle()
    assert world.undone == ["three", "three", "two", "one"]
    assert world.states() == {"a": "unhealed"}


# ── sequence and progressive ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_step_that_took_too_long_fails_its_rung(tmp_path):
    late = Outcome(StepStatus.TIMEOUT, error="did not end within 5m", duration=300.0)
    extra = "strategy: progressive\n    verify: {within: 4s}"
    world = fleet(tmp_path, cured_by("two"), extra=extra, recover=THREE, acts={"one": late})
    world.go()
    assert (world.done, world.states()) == ([("a", "one"), ("a", "two")], {"a": "cured"})


def test_a_refused_rung_leads_to_the_next_with_its_reason(tmp_path):
    extra = "strategy: progressive\n    verify: {within: 4s}"
    recover = (
        "[{command: [a], name: one}, {command: [b], name: two, mode: observe}, {command: [c], name: three, limit: 1}]"
    )
    world = fleet(tmp_path, extra=extra, recover=recover)
    world.go()
    assert world.done == [("a", "one"), ("a", "three")]
    assert world.one("low").reason == "two: mode is observe; not well after the recovery"


def test_a_wait_that_a_crash_ended_begins_anew(tmp_path):
    world = fleet(tmp_path, cured_by("two"), recover="[{wait: 1h, name: pause}, {command: [b], name: two}]")
    world.go(wait=60.0)
    world.state = replace(world.state, tasks={})
    world.put(Resume({}))
    world.settle()
    assert (world.done, world.states()) == ([("a", "two")], {"a": "cured"})


def test_each_change_of_what_the_verification_sees_is_told_and_the_last_look(tmp_path):
    world = fleet(tmp_path, extra="verify: {within: 20s}", acts={"fix": done(1.0)})
    world.go()
    looks = world.kinds("verified.look")
    assert [(told.data["clear"], told.data["last"]) for told in looks] == [(False, False), (False, True)]
    world = fleet(tmp_path, cured_by("fix"), extra="verify: {for: 6s, within: 20s}")
    world.go()
    assert [told.data["clear"] for told in world.kinds("verified.look")] == [True, True]


def test_lanes_that_another_journals_run_keeps_off_wait_and_then_go_on_where_they_stand(tmp_path):
    held = Outcome(StepStatus.REFUSED, error="bob@b recovers it", data={"held": {"by": "bob@b", "until": 2e9}})
    answers = {name: [held, done()] for name in ("one", "two", "three")}
    acts = {name: lambda world, host, some=some: some.pop(0) for name, some in answers.items()}
    world = parallel(tmp_path, lambda world, host: WELL if len(world.over) > 3 else ILL, acts=acts)
    world.go()
    assert (world.states(), world.one("low").reason) == ({"a": "suppressed"}, "bob@b recovers it")
    world.again()
    assert world.states() == {"a": "cured"}
    assert [title for _, title in world.done] == ["one", "two", "three"] * 2
    assert world.kinds("recovery.begun") == []
