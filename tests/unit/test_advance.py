"""The state machine, driven with a virtual clock through whole passes."""

from __future__ import annotations

import pytest

from runbook.engine.decide.guards import Caps
from runbook.engine.model import UNKNOWN, Impact, Lacking, Mode, NotSeen, Outcome, StepStatus
from runbook.engine.people import People
from runbook.engine.recover.commands import Asked, Told
from runbook.engine.recover.state import Settings
from tests.unit.world import DONE, World, failed, seen

HEALTH = """
name: t
{top}
detectors:
  - name: low
    health:
    when: memory_available < 1GB
    {extra}
    recover:
      {recover}
"""


def health(tmp_path, looks, *, extra="", recover="- command: [fix]", top="", **more) -> World:
    text = HEALTH.format(top=top, extra=extra, recover=recover)
    return World(tmp_path, text, looks={"low": looks} if not isinstance(looks, dict) else looks, **more)


def ill_until(*names: str):
    """Ill until every one of these steps was done."""
    return lambda world, _: seen({"memory_available": 2e9 if set(names) <= set(world.done) else 1})


ILL = seen({"memory_available": 1})
WELL = seen({"memory_available": 2e9})


def test_a_fault_is_recovered_and_cured_only_when_it_was_seen_to_be_well(tmp_path):
    world = health(tmp_path, ill_until("command"))
    world.go()
    assert world.done == ["command"]
    assert world.states() == {"low": "cured"}


def test_a_fault_that_stays_is_unhealed_after_within(tmp_path):
    world = health(tmp_path, ILL, extra="verify: {within: 20s}")
    start = world.now
    world.go()
    assert world.states() == {"low": "unhealed"}
    assert world.now - start == pytest.approx(21.0, abs=2)


def test_a_healthy_look_does_nothing(tmp_path):
    world = health(tmp_path, WELL)
    world.go()
    assert (world.done, world.states(), world.kinds()) == ([], {}, [])


def test_unknown_never_triggers_a_step_and_is_told(tmp_path):
    for look in (NotSeen("no permission"), seen({"memory_available": UNKNOWN}), seen({"memory_available": None})):
        world = health(tmp_path, look)
        world.go()
        assert world.done == []
        assert "look.unknown" in world.kinds()


def test_absent_is_no_fault(tmp_path):
    world = health(tmp_path, Lacking("no such thing"))
    world.go()
    assert (world.done, world.states()) == ([], {})
    assert world.kinds() == ["look.absent"]


def test_a_verification_whose_last_look_saw_nothing_ends_unverified(tmp_path):
    world = health(tmp_path, lambda w, _: NotSeen("gone") if w.done else ILL)
    world.go()
    assert world.states() == {"low": "unverified"}


def test_a_cure_must_hold_unbroken_for_the_time_the_runbook_asks(tmp_path):
    def flapping(world, _):
        return ILL if not world.done or (world.now - 1_000_000) % 8 < 2 else WELL

    world = health(tmp_path, flapping, extra="verify: {for: 10s, within: 40s}")
    world.go()
    assert world.states() == {"low": "unhealed"}


def test_a_failed_step_ends_a_sequence_unhealed(tmp_path):
    world = health(
        tmp_path, ILL, recover="[{command: [a], name: a}, {command: [b], name: b}]", acts={"a": failed("no such file")}
    )
    world.go()
    assert world.done == ["a"]
    assert world.states() == {"low": "unhealed"}
    assert any("no such file" in reason for reason in world.reasons("incident.ended"))


def test_a_sequence_takes_all_rungs_before_it_looks(tmp_path):
    world = health(tmp_path, ill_until("a"), recover="[{command: [a], name: a}, {command: [b], name: b}]")
    world.go()
    assert world.done == ["a", "b"]


def test_progressive_stops_at_the_first_rung_that_cured(tmp_path):
    world = health(
        tmp_path,
        ill_until("a"),
        extra="strategy: progressive",
        recover="[{command: [a], name: a}, {command: [b], name: b}]",
    )
    world.go()
    assert (world.done, world.states()) == (["a"], {"low": "cured"})


def test_progressive_goes_on_after_a_failed_rung_and_after_one_in_vain(tmp_path):
    world = health(
        tmp_path,
        ill_until("c"),
        extra="strategy: progressive\n    verify: {within: 10s}",
        acts={"a": failed()},
        recover="[{command: [a], name: a}, {block: [{command: [b], name: b}, {command: [b2], name: b2}]}, {command: [c], name: c}]",
    )
    world.go()
    assert (world.done, world.states()) == (["a", "b", "b2", "c"], {"low": "cured"})


def test_a_block_fails_as_one(tmp_path):
    world = health(
        tmp_path,
        ILL,
        acts={"a": failed()},
        extra="strategy: progressive\n    verify: {within: 4s}",
        recover="[{block: [{command: [a], name: a}, {command: [b], name: b}]}, {command: [c], name: c}]",
    )
    world.go()
    assert world.done == ["a", "c"]


def test_cured_and_unhealed_steps_run_at_the_end(tmp_path):
    text = (
        "cured: [{notify: well}]\n    unhealed: [{notify: '{{ incident.host }} stays ill'}]\n    verify: {within: 4s}"
    )
    world = health(tmp_path, ill_until("command"), extra=text)
    world.go()
    assert world.notified == ["well"]
    world = health(tmp_path, ILL, extra=text)
    world.go()
    assert world.notified == ["localhost stays ill"]


def test_a_hold_counts_across_passes_and_breaks_on_a_look_that_says_no(tmp_path):
    looks = {"low": ILL}
    world = health(tmp_path, looks, extra="for: 5m")
    world.go()
    assert (world.done, world.states()) == ([], {})
    looks["low"] = WELL
    world.again(after=200)
    looks["low"] = ILL
    world.again(after=200)
    assert world.done == []
    world.again(after=299)
    assert world.done == []
    world.again(after=2)
    assert world.done == ["command"]


def test_a_fault_that_was_not_healed_goes_on_to_hold_and_is_an_incident_again_at_the_next_look(tmp_path):
    looks = {"low": ILL}
    world = health(tmp_path, looks, extra="for: 5m\n    verify: {within: 4s}\n    limit: 2 per 1h")
    first = world.now
    world.go()
    world.again(after=301)
    assert (world.done, world.states()) == (["command"], {"low": "unhealed"})
    world.again(after=60)
    assert (world.done, world.states()) == (["command", "command"], {"low": "unhealed"})
    assert {each.since for each in world.state.ended.values()} == {first}, "it has been so all the time"
    world.again(after=60)
    assert (len(world.done), world.states()) == (2, {"low": "suppressed"}), "the limit binds it"
    looks["low"] = WELL
    world.again(after=60)
    looks["low"] = ILL
    world.again(after=3600)
    assert len(world.done) == 2, "a look that said no broke the hold"


def test_a_cure_breaks_the_hold(tmp_path):
    looks = {"low": ill_until("command")}
    world = health(tmp_path, looks, extra="for: 5m")
    world.go()
    world.again(after=301)
    assert world.states() == {"low": "cured"}
    looks["low"] = ILL
    world.again(after=60)
    assert (world.done, world.states()) == (["command"], {})


def test_a_verification_in_vain_tells_nobody_once_another_run_has_taken_the_subject(tmp_path):
    def look(world, _):
        if world.done and not world.state.lost:
            (found,) = world.state.incidents.values()
            world.put(Told(People(), lost={found.id: "ann took over its recovery"}))
        return ILL

    world = health(tmp_path, look, extra="verify: {within: 4s}\n    unhealed: [{notify: it stays ill}]")
    world.go()
    assert (world.notified, world.states()) == ([], {"low": "suppressed"})
    assert world.reasons("guard.refused") == ["ann took over its recovery; the next pass looks again"]
    world.looks["low"] = ILL
    world.put(Asked(frozenset()))
    world.again()
    assert (world.notified, world.done) == (["it stays ill"], ["command"])


def test_a_cooldown_holds_back_the_incident_that_follows_one_in_vain(tmp_path):
    world = health(tmp_path, ILL, extra="for: 5m\n    verify: {within: 4s}\n    cooldown: 10m")
    world.go()
    world.again(after=301)
    world.again(after=60)
    assert (world.done, world.states()) == (["command"], {"low": "suppressed"})
    world.again(after=600)
    assert world.done == ["command", "command"]


def test_an_unknown_look_neither_breaks_nor_advances_a_hold_to_action(tmp_path):
    looks = {"low": ILL}
    world = health(tmp_path, looks, extra="for: 5m")
    world.go()
    looks["low"] = NotSeen("hm")
    world.again(after=400)
    assert world.done == []
    looks["low"] = ILL
    world.again(after=10)
    assert world.done == ["command"]


def test_a_gap_without_looks_breaks_a_hold(tmp_path):
    world = health(tmp_path, ILL, extra="for: 5m")
    world.go()
    world.again(after=7300)
    assert world.done == []


def test_now_waits_for_no_hold(tmp_path):
    world = health(tmp_path, ILL, extra="for: 5m", settings=Settings(now=True))
    world.go()
    assert world.done == ["command"]


def test_limit_counts_recoveries_begun_and_a_cure_does_not_reset_it(tmp_path):
    flip = lambda world, _: WELL if world.now == flip.at else ILL  # noqa: E731
    flip.at = None
    world = health(tmp_path, ILL, extra="limit: 2 per 1h\n    verify: {within: 4s}")
    world.go()
    world.again()
    world.again()
    assert world.done == ["command", "command"]
    assert world.states() == {"low": "suppressed"}
    assert any("limit reached: 2 recoveries per 1h" in reason for reason in world.reasons("guard.refused"))
    world.again(after=3600)
    assert len(world.done) == 3


def test_a_limit_without_a_window_counts_for_ever(tmp_path):
    world = health(tmp_path, ILL, extra="limit: 1\n    verify: {within: 4s}")
    world.go()
    world.again(after=90 * 86400)
    assert world.done == ["command"]


def test_cooldown_counts_from_the_end_of_the_last_recovery(tmp_path):
    world = health(tmp_path, ILL, extra="cooldown: 10m\n    verify: {within: 4s}")
    world.go()
    world.again(after=300)
    assert world.done == ["command"]
    assert world.states() == {"low": "suppressed"}
    world.again(after=301)
    assert world.done == ["command", "command"]


@pytest.mark.parametrize(("extra", "settings", "state"), [
    ("mode: observe", Settings(), "observed"),
    ("mode: approve", Settings(), "waiting"),
    ("", Settings(Caps(mode=Mode.APPROVE)), "waiting"),
    ("", Settings(Caps(mode=Mode.OBSERVE)), "observed"),
    ("", Settings(Caps(impact=Impact.LOW)), "suppressed"),
])  # fmt: skip
def test_modes_and_caps_keep_a_recovery_from_beginning(tmp_path, extra, settings, state):
    world = health(tmp_path, ILL, extra=extra, settings=settings)
    world.go()
    assert (world.done, world.states()) == ([], {"low": state})


def test_yes_approves(tmp_path):
    world = health(tmp_path, ill_until("command"), extra="mode: approve", settings=Settings(Caps(approved=True)))
    world.go()
    assert world.states() == {"low": "cured"}


def test_a_destructive_step_waits_for_approval_unless_the_runbook_says_auto(tmp_path):
    shell = "- shell: {script: echo}"
    world = health(tmp_path, ILL, recover=shell)
    world.go()
    assert (world.done, world.states()) == ([], {"low": "waiting"})
    world = health(tmp_path, ill_until("shell"), recover=shell, extra="mode: auto")
    world.go()
    assert world.states() == {"low": "cured"}


def test_a_rung_that_needs_approval_parks_the_ladder_and_goes_on_when_it_has_come(tmp_path):
    world = health(
        tmp_path,
        ill_until("shell"),
        extra="strategy: progressive\n    verify: {within: 4s}",
        recover="[{command: [a], name: a}, {shell: {script: echo}}]",
    )
    world.go()
    assert (world.done, world.states()) == (["a"], {"low": "waiting"})
    world.again(Settings(Caps(approved=True)))
    assert (world.done, world.states()) == (["a", "shell"], {"low": "cured"})


def test_an_incident_that_clears_by_itself_ends(tmp_path):
    looks = {"low": ILL}
    world = health(tmp_path, looks, extra="mode: approve")
    world.go()
    looks["low"] = WELL
    world.again()
    assert world.states() == {"low": "cured"}
    assert world.done == []


def test_hysteresis_keeps_an_incident_open_until_clear_holds(tmp_path):
    looks = {"low": ILL}
    world = health(tmp_path, looks, extra="mode: approve\n    clear: memory_available > 3GB")
    world.go()
    looks["low"] = WELL
    world.again()
    assert world.states() == {"low": "waiting"}
    looks["low"] = seen({"memory_available": 4e9})
    world.again()
    assert world.states() == {"low": "cured"}


def test_one_recovery_at_a_time_for_a_subject_and_the_next_looks_again_first(tmp_path):
    text = """
name: t
detectors:
  - {name: first, health: , when: memory_available < 1GB, recover: [{command: [a], name: a}]}
  - {name: second, health: , when: memory_available < 2GB, recover: [{command: [b], name: b}]}
"""
    look = ill_until("a")
    world = World(
        tmp_path, text, looks={"first": look, "second": lambda w, n: seen({"memory_available": 3e9 if w.done else 1})}
    )
    world.go()
    assert world.done == ["a"]
    assert world.states() == {"first": "cured", "second": "cured"}


def test_a_steps_own_limit_stops_it(tmp_path):
    world = health(tmp_path, ILL, extra="verify: {within: 4s}", recover="- {command: [a], name: a, limit: 1 per 1d}")
    world.go()
    world.again()
    assert world.done == ["a"]
    assert world.states() == {"low": "suppressed"}


def test_when_on_a_step_skips_it_and_register_carries_results(tmp_path):
    world = health(
        tmp_path,
        ill_until("b"),
        acts={"a": Outcome(StepStatus.DONE, changed=False, data={"n": 3})},
        recover="[{command: [a], name: a, register: r}, {command: [x], name: x, when: r.changed}, {command: [b], name: b, when: r.n == 3}]",
    )
    world.go()
    assert (world.done, world.states()) == (["a", "b"], {"low": "cured"})


def test_wait_and_wait_for_take_virtual_time(tmp_path):
    world = health(
        tmp_path,
        {"low": ill_until("b"), "port": lambda w, _: seen({"open": w.now >= 1_000_060})},
        recover="[{wait: 30s}, {wait_for: {probe: {port: 8000}, when: open, within: 5m}}, {command: [b], name: b}]",
    )
    world.go()
    assert world.states() == {"low": "cured"}
    assert world.now >= 1_000_060


def test_wait_for_fails_in_time(tmp_path):
    world = health(
        tmp_path,
        {"low": ILL, "port": seen({"open": False})},
        recover="[{wait_for: {probe: {port: 8000}, when: open, within: 10s}}]",
    )
    world.go()
    assert world.states() == {"low": "unhealed"}
    assert "open does not hold" in world.reasons("incident.ended")[0]


def test_fail_ends_the_recovery_with_its_message(tmp_path):
    world = health(tmp_path, ILL, recover="- fail: call somebody")
    world.go()
    assert "call somebody" in world.reasons("incident.ended")[0]


LOG = """
name: t
detectors:
  - name: oom
    log: {{paths: /x.log, patterns: 'oom (?P<size>[0-9]+)'}}
    {extra}
    recover: [{{command: [fix]}}]
"""


def events(*batches):
    """Each look gives the next batch of lines."""
    left = list(batches)
    return lambda world, _: left.pop(0) if left else seen()


def test_an_event_is_cured_by_silence(tmp_path):
    world = World(
        tmp_path, LOG.format(extra="verify: {for: 10s, within: 60s}"), looks={"oom": events(seen({"size": 1}))}
    )
    world.go()
    assert (world.done, world.states()) == (["command"], {"oom": "cured"})


def test_an_event_that_comes_again_is_not_cured(tmp_path):
    again = lambda world, _: seen({"size": 1})  # noqa: E731
    world = World(tmp_path, LOG.format(extra="verify: {for: 10s, within: 60s}"), looks={"oom": again})
    world.go()
    assert world.states() == {"oom": "unhealed"}


def test_many_events_are_one_incident_and_one_recovery(tmp_path):
    world = World(
        tmp_path,
        LOG.format(extra="verify: {for: 10s, within: 60s}"),
        looks={"oom": events(seen(*[{"size": n} for n in range(10_000)]))},
    )
    world.go()
    assert world.done == ["command"]
    [incident] = world.state.ended.values()
    assert incident.count == 10_000


def test_count_fires_at_the_nth_event_within_its_window(tmp_path):
    world = World(
        tmp_path,
        LOG.format(extra="count: 2 per 1h\n    verify: {for: 10s, within: 60s}"),
        looks={"oom": events(seen({"size": 1}), seen({"size": 1}), seen(), seen({"size": 2}))},
    )
    world.go()
    assert world.done == []
    world.again(after=3700)
    assert world.done == []
    world.again(after=60)
    world.again(after=60)
    assert world.done == ["command"]


def test_events_that_led_to_a_recovery_in_vain_are_spent(tmp_path):
    world = World(
        tmp_path,
        LOG.format(extra="count: 2 per 1h\n    verify: {for: 10s, within: 20s}"),
        looks=(looks := {"oom": events(seen({"size": 1}, {"size": 1}), *[seen({"size": 1})] * 40)}),
    )
    world.go()
    assert world.states() == {"oom": "unhealed"}
    looks["oom"] = events(seen(), seen({"size": 2}), seen({"size": 2}))
    world.again()
    world.again()
    assert (world.done, world.states()) == (["command"], {}), "one event is one, whatever came before the end"
    world.again()
    assert world.done == ["command", "command"]


def test_an_event_that_was_read_lives_on_and_is_decided_anew(tmp_path):
    world = World(
        tmp_path,
        LOG.format(extra="mode: approve\n    verify: {for: 10s, within: 60s}"),
        looks={"oom": events(seen({"size": 1}))},
    )
    world.go()
    assert world.states() == {"oom": "waiting"}
    world.again(Settings(Caps(approved=True)))
    assert world.states() == {"oom": "cured"}


CORRELATION = """
name: t
detectors:
  - {name: stalled, health: , when: load1 < 1}
  - {name: idle, health: , when: cpu_percent < 5}
  - name: hung
    %s: [stalled, idle]
    within: 10m
    recover: [{command: [fix]}]
"""


@pytest.mark.parametrize(("word", "stalled", "idle", "fires"), [
    ("all", seen({"load1": 0}), seen({"cpu_percent": 1}), True),
    ("all", seen({"load1": 0}), seen({"cpu_percent": 50}), False),
    ("all", seen({"load1": 0}), NotSeen("?"), False),
    ("any", seen({"load1": 0}), NotSeen("?"), True),
    ("any", seen({"load1": 9}), NotSeen("?"), False),
])  # fmt: skip
def test_correlations_use_three_values(tmp_path, word, stalled, idle, fires):
    world = World(tmp_path, CORRELATION % word, looks={"stalled": stalled, "idle": idle})
    world.go()
    assert bool(world.done) is fires
    assert set(world.states()) <= {"hung"}


def test_a_sequence_wants_its_order(tmp_path):
    looks = {"stalled": seen({"load1": 9}), "idle": seen({"cpu_percent": 1})}
    world = World(tmp_path, CORRELATION % "sequence", looks=looks)
    world.go()
    world.now += 10
    looks["stalled"] = seen({"load1": 0})
    world.look()
    world.settle(0)
    assert world.done == []


OPERATION = """
name: t
operations:
  - name: download
    command: [fetch]
    {retry}
  - name: serve
    command: [serve]
detectors:
  - name: network
    error: '(?i)timed? ?out'
    retry: {{strategy: fibonacci, attempts: 4, base: 2s, max: 2m}}
  - name: gated
    error: '401'
    retry: false
  - name: full
    error: 'no space'
    {extra}
    recover: [{{command: [clean], name: clean}}]
"""


def attempts(*outcomes):
    left = list(outcomes)
    return lambda world: left.pop(0) if left else DONE


def operate(tmp_path, *outcomes, retry="", extra="", **more):
    acts = {"download": attempts(*outcomes), "command": attempts(*outcomes)}
    world = World(tmp_path, OPERATION.format(retry=retry, extra=extra), looks={}, acts=acts, **more)
    world.go()
    return world


def ended(world):
    return {told.operation: told.data["state"] for told in world.told if told.kind == "operation.ended"}


def test_operations_run_in_order(tmp_path):
    world = operate(tmp_path)
    assert ended(world) == {"download": "succeeded", "serve": "succeeded"}


def test_an_error_detectors_retry_replaces_the_operations(tmp_path):
    world = operate(tmp_path, failed("timeout"), failed("timed out"), failed("TIMEOUT"))
    assert ended(world)["download"] == "succeeded"
    delays = [told.data["delay"] for told in world.told if told.kind == "attempt.delayed"]
    assert delays == [2.0, 2.0, 4.0]
    assert world.states()["network"] == "cured"


def test_retry_false_fails_at_once_and_skips_what_follows(tmp_path):
    world = operate(tmp_path, failed("401 Client Error"), retry="retry: {attempts: 9}")
    assert ended(world) == {"download": "failed", "serve": "skipped"}
    assert world.states()["gated"] == "unhealed"


def test_each_error_detector_counts_its_own_failures(tmp_path):
    world = operate(
        tmp_path,
        failed("timeout"),
        failed("other"),
        failed("timeout"),
        failed("other"),
        failed("timeout"),
        retry="retry: {attempts: 3, base: 1s}",
    )
    assert ended(world)["download"] == "succeeded"


def test_a_failure_that_nothing_matches_uses_the_operations_retry(tmp_path):
    world = operate(tmp_path, failed("x"), failed("x"), failed("x"), retry="retry: {attempts: 3, base: 1s}")
    assert ended(world)["download"] == "failed"


def test_an_error_detectors_steps_run_before_the_next_attempt(tmp_path):
    world = operate(tmp_path, failed("no space left"))
    assert world.done[:3] == ["download", "clean", "download"]
    assert ended(world)["download"] == "succeeded"
    assert world.states()["full"] == "cured"


def test_an_operation_waits_while_its_recovery_waits_for_approval(tmp_path):
    world = operate(tmp_path, failed("no space left"), extra="mode: approve")
    assert ended(world) == {"download": "waiting", "serve": "skipped"}
    assert world.states()["full"] == "waiting"


def test_finally_runs_whatever_happened(tmp_path):
    text = (
        OPERATION.format(retry="", extra="")
        + "finally:\n  - {command: [tidy], name: tidy}\n  - {command: [up], name: up}\n"
    )
    world = World(tmp_path, text, looks={}, acts={"download": failed("401"), "tidy": failed("x")})
    world.go()
    assert world.done[-2:] == ["tidy", "up"]
    assert ended(world)["download"] == "failed"


def test_check_plans_every_rung_and_counts_nothing(tmp_path):
    plan = Outcome(StepStatus.PLANNED, actions=({"action": "run", "what": "x"},))
    world = health(
        tmp_path,
        ILL,
        extra="limit: 1",
        recover="[{command: [a], name: a}, {command: [b], name: b}]",
        acts={"a": plan, "b": plan},
        settings=Settings(check=True),
    )
    world.go()
    assert world.done == ["a", "b"]
    assert world.states() == {"low": "open"}
    assert not world.state.begun


def test_a_state_seen_before_the_operations_opens_nothing(tmp_path):
    text = """
name: t
operations: [{name: repair, command: [repair]}]
detectors:
  - {name: low, health: , when: memory_available < 1GB, recover: [{command: [fix], name: fix}]}
"""
    world = World(tmp_path, text, looks={"low": ill_until("repair")})
    world.go()
    assert world.done == ["repair"]
    assert world.states() == {}


def test_check_plans_what_would_wait_for_approval_and_says_that_it_waits(tmp_path):
    plan = Outcome(StepStatus.PLANNED)
    world = health(
        tmp_path, ILL, recover="- shell: {script: echo}", acts={"shell": plan}, settings=Settings(check=True)
    )
    world.go()
    assert (world.done, world.states()) == (["shell"], {"low": "waiting"})


def test_a_hold_that_goes_on_is_told_once_a_run(tmp_path):
    world = health(tmp_path, ILL, extra="for: 5m")
    world.go()
    world.look()
    world.settle()
    assert world.kinds().count("incident.pending") == 1
    world.again(after=60)
    assert world.kinds().count("incident.pending") == 1


def test_an_incident_that_waited_in_an_earlier_pass_is_cured_when_its_operation_succeeds(tmp_path):
    world = operate(tmp_path, failed("no space left"), extra="mode: approve")
    assert world.states()["full"] == "waiting"
    world.again()
    assert ended(world)["download"] == "succeeded"
    assert world.states() == {"full": "cured"}


def both(word, extra=""):
    return f"""
name: t
detectors:
  - {{name: a, health: , when: load1 < 1}}
  - {{name: b, health: , when: cpu_percent < 5}}
  - name: hung
    {word}: [a, b]
    within: 10m
    verify: {{within: 4s}}
    {extra}
    recover: [{{command: [fix]}}]
"""


def test_a_correlation_is_cured_by_what_its_members_say_now_and_does_not_fire_again(tmp_path):
    looks = {
        "a": lambda w, _: seen({"load1": 9 if w.done else 0}),
        "b": lambda w, _: seen({"cpu_percent": 50 if w.done else 1}),
    }
    world = World(tmp_path, both("all"), looks=looks)
    world.go()
    assert (world.done, world.states()) == (["command"], {"hung": "cured"})
    world.again()
    assert (world.done, world.states()) == (["command"], {})


def test_within_counts_across_passes(tmp_path):
    looks = {"a": seen({"load1": 0}), "b": seen({"cpu_percent": 50})}
    world = World(tmp_path, both("sequence"), looks=looks)
    world.go()
    assert world.done == []
    looks.update(a=seen({"load1": 9}), b=seen({"cpu_percent": 1}))
    world.again(after=60, keep_said=True)
    assert world.done == ["command"]


def test_a_sequence_of_what_was_seen_at_one_look_has_no_order(tmp_path):
    world = World(tmp_path, both("sequence"), looks={"a": seen({"load1": 0}), "b": seen({"cpu_percent": 1})})
    world.go()
    assert world.done == []


def test_silence_does_not_count_while_a_log_is_not_read_to_its_end(tmp_path):
    from dataclasses import replace as changed

    behind = lambda n, *records: changed(seen(*records), state={"behind": n})  # noqa: E731
    world = World(
        tmp_path,
        LOG.format(extra="verify: {for: 4s, within: 20s}"),
        looks={"oom": events(behind(9, {"size": 1}), *[behind(9)] * 4, behind(5, {"size": 1}))},
    )
    world.go()
    assert world.states() == {"oom": "cured"}
    assert world.done == ["command"]
    [incident] = world.state.ended.values()
    assert incident.closed - incident.begun > 4


def test_an_incident_whose_subject_is_gone_is_not_called_cured(tmp_path):
    looks = {"low": seen({"memory_available": 1, "subject": "x"})}
    world = health(tmp_path, looks, extra="mode: approve")
    world.go()
    looks["low"] = seen({"memory_available": 1e12, "subject": "y"})
    world.again()
    assert world.states() == {"low": "unverified"}


def test_finally_is_left_out_when_no_operation_began(tmp_path):
    text = OPERATION.format(retry="", extra="") + "finally:\n  - {command: [tidy], name: tidy}\n"
    world = World(tmp_path, text, looks={}, settings=Settings(tags=frozenset({"none"})))
    world.go()
    assert world.done == []


def test_a_step_that_an_earlier_run_still_has_in_hand_is_left_alone(tmp_path):
    from dataclasses import replace as changed

    from runbook.engine.recover.commands import Resume

    world = health(tmp_path, ILL, extra="mode: approve")
    world.go()
    [key] = world.state.incidents
    from runbook.engine.model import IncidentState
    from runbook.engine.recover.state import Phase

    busy = changed(world.state.incidents[key], state=IncidentState.RECOVERING, phase=Phase.RECOVER, intent="old-1")
    world.state = changed(world.state, incidents={key: busy})
    world.put(Resume({}))
    assert (world.done, world.state.incidents[key].intent) == ([], "old-1")


def test_a_log_that_is_not_there_is_shown_and_its_silence_cures_nothing(tmp_path):
    from dataclasses import replace as changed

    gone = changed(seen(), state={"nothing": "no file at /x.log"})
    looks = {"oom": lambda w, _: gone if w.done else seen({"size": 1})}
    world = World(tmp_path, LOG.format(extra="verify: {for: 4s, within: 20s}"), looks=looks)
    world.go()
    assert world.states() == {"oom": "unverified"}
    assert world.reasons("look.absent") == ["no file at /x.log"]


def test_check_leaves_an_incident_open_whose_recovery_cannot_be_planned(tmp_path):
    refused = Outcome(StepStatus.REFUSED, error="nothing is writable")
    world = health(tmp_path, ILL, acts={"command": refused}, settings=Settings(check=True))
    world.go()
    assert [incident.state.value for incident in world.state.incidents.values()] == ["open"]
    assert "nothing is writable" in next(iter(world.state.incidents.values())).reason
