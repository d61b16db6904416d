"""The verdict about a fault, from what the journal says; no process and no clock."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from runbook.engine.drill import verdict
from runbook.engine.drill.verdict import Watcher
from runbook.engine.journal.facts import Fact


@pytest.fixture
def watch():
    def watching(*told, expect="cured", detector="down", operation="", steps=None, injected=100.0):
        fault = SimpleNamespace(name="fault", about=detector or operation, detector=detector, operation=operation,
                                expect=expect, steps=steps, within=30.0, of_attempts=False, given=SimpleNamespace(faked=()))  # fmt: skip
        watcher = Watcher(fault)
        watcher.injected = injected
        for fact in told:
            watcher.fact(fact)
        return watcher

    return watching


def fact(kind, at=101.0, *, detector="down", incident="1", operation="", subject="", **data):
    return Fact(kind, at, "run", "localhost", detector, subject, incident, operation, data=data)


def word(watcher):
    return verdict.judge(watcher, 1.0).word


OPENED = fact("incident.opened")
CURED = fact("incident.ended", 104.5, to="cured")
STEP = fact("step.ended", 102, phase="recover", module="restart_daemon", title="restart it")


def test_seen_and_cured_is_healed_with_the_times_since_the_injection(watch):
    found = verdict.judge(watch(OPENED, STEP, CURED), 9.0)
    assert (found.word, found.seen, found.healed, found.steps, found.took) == ("healed", 1.0, 4.5, ("restart it",), 9.0)
    assert found.good


def test_nothing_that_fired_is_not_seen(watch):
    watcher = watch(fact("look.well", fields={"alive": True}))
    found = verdict.judge(watcher, 1.0)
    assert (found.word, found.good, found.evidence) == ("not seen", False, {"fields": {"alive": True}})
    assert "within 30 s" in found.reason


def test_why_it_could_not_be_seen_is_the_reason(watch):
    assert "no such driver" in verdict.judge(watch(fact("look.unknown", reason="no such driver")), 1.0).reason


def test_what_is_still_at_work_is_not_healed(watch):
    found = verdict.judge(watch(OPENED, fact("incident.changed", to="verifying")), 1.0)
    assert (found.word, found.healed) == ("not healed", None)
    assert found.reason == "still verifying after 30 s"


def test_a_failed_step_stands_in_the_reason(watch):
    failed = fact("step.ended", 102, phase="recover", module="command", title="mend", error="exit code 3")
    found = verdict.judge(watch(OPENED, failed, fact("incident.ended", to="unhealed")), 1.0)
    assert found.reason == "unhealed: mend: exit code 3"


def test_of_several_incidents_all_must_be_cured(watch):
    second = fact("incident.opened", 102, incident="2", subject="1")
    watcher = watch(OPENED, second, CURED)
    assert not watcher.over
    watcher.fact(fact("incident.ended", 109.0, incident="2", to="cured"))
    assert watcher.over
    assert verdict.judge(watcher, 1.0).healed == 9.0


@pytest.mark.parametrize("state", ["unhealed", "unverified", "interrupted"])
def test_after_the_end_there_is_nothing_to_wait_for(state, watch):
    assert watch(OPENED, fact("incident.ended", to=state)).over


@pytest.mark.parametrize("state", ["waiting", "observed"])
def test_nobody_acts_on_what_waits(state, watch):
    assert watch(fact("incident.opened", state=state)).over
    assert watch(fact("incident.opened", state=state), expect=state).over
    assert word(watch(fact("incident.opened", state=state), expect=state)) == "as expected"


@pytest.mark.parametrize("state", ["suppressed", "recovering", "verifying"])
def test_what_may_go_on_is_waited_for(state, watch):
    assert not watch(OPENED, fact("incident.changed", to=state)).over


def test_a_cure_where_something_else_was_expected_is_wrong(watch):
    assert word(watch(OPENED, CURED, expect="unhealed")) == "not healed"


@pytest.mark.parametrize(("steps", "expected"), [
    (("restart it",), "healed"), (("restart_daemon",), "healed"), ((), "other steps"), (("restart it", "more"), "other steps"),
])  # fmt: skip
def test_steps_are_known_by_their_names_and_modules(steps, expected, watch):
    assert word(watch(OPENED, STEP, CURED, steps=steps)) == expected


def test_steps_of_other_detectors_and_of_later_phases_do_not_count(watch):
    others = [
        fact("step.ended", phase="recover", detector="other", module="x"),
        fact("step.ended", phase="cured", module="y"),
    ]
    assert verdict.judge(watch(OPENED, STEP, *others, CURED), 1.0).steps == ("restart it",)


def test_other_detectors_are_told_once(watch):
    other = fact("incident.opened", detector="other", incident="7")
    assert verdict.judge(watch(OPENED, other, other, CURED), 1.0).also == ("other",)


def test_an_operation_is_seen_to_fail_and_healed_when_it_succeeds(watch):
    told = [
        fact("attempt.ended", 101, operation="fetch", detector="", ok=False, error="reset"),
        fact("attempt.ended", 103, operation="fetch", detector="", ok=True),
        fact("operation.ended", 103, operation="fetch", detector="", state="succeeded"),
    ]
    found = verdict.judge(watch(*told, detector="", operation="fetch", expect="succeeded"), 1.0)
    assert (found.word, found.seen, found.healed) == ("healed", 1.0, 3.0)


def test_an_operation_that_never_failed_met_no_fault(watch):
    told = fact("operation.ended", 103, operation="fetch", detector="", state="succeeded")
    assert word(watch(told, detector="", operation="fetch", expect="succeeded")) == "not seen"


@pytest.mark.parametrize("kind", ["incident.opened", "incident.pending"])
def test_whatever_fires_before_the_fault_is_noise(kind, watch):
    watcher = watch(fact(kind, detector="other", subject="0", fields={"x": 1}), injected=None)
    found = verdict.noisy(watcher, 1.0)
    assert (found.word, found.reason) == ("noisy", "`other` fires before the fault is there, about 0")
    assert found.evidence == {"fields": {"x": 1}}


def test_an_operation_that_fails_before_the_fault_is_trouble(watch):
    watcher = watch(fact("operation.ended", operation="serve", detector="", state="failed", error="no"), injected=None)
    assert watcher.trouble == ["the operation `serve` did not work: no"]
