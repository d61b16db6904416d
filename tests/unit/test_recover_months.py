"""What months do to a state: it does not grow with what is over, guards still count, and a clock's jump holds nothing."""

from dataclasses import replace

import pytest
from fleet import Fleet, done, sign
from test_recover_cascades import lines
from world import seen

from runbook.engine.model import IncidentState
from runbook.engine.recover.advance import advance
from runbook.engine.recover.commands import Act, Ended, Forget, Jumped, Looked, Woke
from runbook.engine.recover.state import Settings, Turn

TEXT = """
name: months
detectors:
  - name: ill
    health: {}
    when: load1 > 1
    limit: 2 per 1h
    recover: [{restart_daemon: {unit: one}}]
    verify: {every: 1s, within: 10s}
"""
ILL, WELL = seen({"load1": 5}, subject="x"), seen({"load1": 0}, subject="x")


def healed(state, now):
    """Let it fall ill, be recovered, and be seen well."""
    state, commands = advance(state, Looked("a", {"ill": ILL}), now)
    for act in [each for each in commands if isinstance(each, Act)]:
        state, _ = advance(state, Ended(act.intent, done()), now + 1)
        state, _ = advance(state, Looked("a", {"ill": WELL}), now + 2)
        state, _ = advance(state, Woke(), now + 3)
    return state


def test_what_is_over_is_forgotten_and_what_a_limit_counts_is_not(tmp_path):
    world = Fleet(tmp_path, TEXT, looks={"ill": WELL})
    world.go()
    state, now = world.state, world.now + 10
    for _ in range(2):
        state = healed(state, now)
        now += 100
    assert len(state.ended) == 2
    state, _ = advance(state, Forget(now - 3600), now + 200)
    assert len(state.ended) == 0
    assert [len(times) for times in state.begun.values()] == [2]
    state, _ = advance(state, Looked("a", {"ill": ILL}), now + 300)
    (incident,) = state.incidents.values()
    assert incident.state is IncidentState.SUPPRESSED
    assert incident.reason.startswith("limit reached")


def test_a_year_of_recoveries_leaves_no_more_than_a_day_of_them(tmp_path):
    world = Fleet(tmp_path, TEXT, looks={"ill": WELL})
    world.go()
    state, now = world.state, world.now + 10

    def size(state):
        groups = ("ended", "past", "begun", "steps", "finished", "cleared", "tasks", "holds")
        return sum(len(getattr(state, group)) for group in groups) + sum(
            len(times) for group in ("begun", "steps", "cleared") for times in getattr(state, group).values()
        )

    sizes = []
    for day in range(60):
        for hour in range(4):
            state = healed(state, now + day * 86400 + hour * 7200)
        state, _ = advance(state, Forget(now + day * 86400 + 80_000 - 3600), now + day * 86400 + 80_000)
        sizes.append(size(state))
    assert max(sizes[1:]) <= sizes[0]


HELD = """
name: held
detectors:
  - name: ill
    health: {}
    when: load1 > 1
    for: 10m
    recover: [{restart_daemon: {unit: one}}]
"""


@pytest.mark.parametrize(("told", "begun"), [(True, 0), (False, 1)])
def test_a_clock_that_was_put_forward_makes_no_hold_longer(tmp_path, told, begun):
    world = Fleet(tmp_path, HELD, looks={"ill": ILL})
    world.go()
    state, now = world.state, world.now + 3600
    if told:
        state, _ = advance(state, Jumped(3600.0), now)
    state, commands = advance(state, Looked("a", {"ill": ILL}), now + 1)
    assert len([each for each in commands if isinstance(each, Act)]) == begun


CRASH = """
name: crash
detectors:
  - name: crash
    log: {paths: /var/log/app.log, signatures: [cuda.oom, nccl.watchdog]}
    verify: {for: 1s}
    recover: [{restart_daemon: {unit: one}}]
"""
ROOT, CASCADE = sign("cuda.oom", causes=["nccl.*"]), sign("nccl.watchdog", "cascade")


@pytest.mark.parametrize(
    ("name", "heard", "begun"),
    [
        ("cuda.oom", {"cuda.oom", "nccl.watchdog"}, 1),  # nothing that is heard leads to it
        ("nccl.watchdog", {"cuda.oom", "nccl.watchdog"}, 0),  # its root may yet come in
    ],
)
def test_only_what_may_follow_from_something_that_is_heard_waits_for_it(tmp_path, name, heard, begun):
    world = Fleet(tmp_path, CRASH, looks={"crash": seen()}, signs=[ROOT, CASCADE], settings=Settings(settle=10.0))
    world.go()
    plan = replace(world.state.plan, heard=frozenset(heard))
    state = replace(world.state, plan=plan)
    _, commands = advance(state, Looked("a", {"crash": lines((name, 1))}), world.now + 1)
    assert len([each for each in commands if isinstance(each, Act)]) == begun


def test_an_incident_that_ended_before_does_not_take_the_place_of_one_that_lives(tmp_path):
    world = Fleet(tmp_path, TEXT, looks={"ill": WELL})
    world.go()
    state = healed(world.state, world.now + 10)
    (over,) = state.ended.values()
    state, _ = advance(state, Looked("a", {"ill": ILL}), world.now + 100)
    turn = Turn(state, world.now + 101)
    turn.put(replace(over, reason="told of late"))
    after, _ = turn.end()
    assert {each.id for each in after.incidents.values()} == {each.id for each in state.incidents.values()} != set()
