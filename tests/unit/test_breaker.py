"""Breakers: a fold over attempts; what an open one keeps from being tried, and what happens instead."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runbook.engine.detect.attempts import Attempt
from runbook.engine.detect.breaker import Position, Settings, fold
from runbook.engine.model import Outcome, StepStatus
from runbook.engine.people import People, Reset
from tests.unit.world import DONE, World, failed

SET = Settings(failures=3, successes=2, timeout=60.0)


def attempts(text: str, start: float = 0.0, every: float = 1.0) -> list[Attempt]:
    """Attempts a second apart: x failed, . succeeded, a blank is a minute without any."""
    at, found = start, []
    for sign in text:
        at += 60.0 if sign == " " else every
        if sign != " ":
            found.append(Attempt(at, ok=sign == ".", seconds=0.1))
    return found


@pytest.mark.parametrize(
    ("history", "now", "expected"),
    [
        ("", 1, "closed"),
        ("xx", 3, "closed"),
        ("xx.xx", 6, "closed"),
        ("xxx", 4, "open"),
        ("xxx", 62.9, "open"),
        ("xxx", 63, "half-open"),
        ("..xxx", 64, "open"),
        ("xxx .", 64, "half-open"),
        ("xxx ..", 66, "closed"),
        ("xxx ..xx", 68, "closed"),
        ("xxx x", 65, "open"),
        ("xxx x", 124, "half-open"),
        ("xxx .x", 66, "open"),
        ("xxx .x ..", 130, "closed"),
        ("xxx..", 6, "open"),  # they were under way when it opened
        ("xxxxxx", 63, "half-open"),
    ],
)
def test_a_breaker_is_told_from_the_attempts_alone(history, now, expected):
    assert fold(attempts(history), SET, now).position is Position(expected)


def test_an_open_breaker_says_since_when_after_how_many_and_until_when():
    found = fold(attempts(".xxx"), SET, 10.0)
    assert (found.opened, found.until, found.failures) == (4.0, 64.0, 3)


RUNBOOK = """
name: t
components:
  hub: {{breaker: {{failures: 3, successes: 2, timeout: 60s}}}}
operations:
  - name: download
    command: [fetch]
    component: hub
    retry: {{strategy: linear, attempts: 9, base: 1s, max: 1s}}
{extra}
"""


def world(tmp_path, acts, *, extra="") -> World:
    return World(tmp_path, RUNBOOK.format(extra=extra), looks={}, acts=acts)


def ended(one: World) -> dict[str, object]:
    return next(told.data for told in one.told if told.kind == "operation.ended" and told.operation == "download")


def test_an_open_breaker_ends_the_operation_at_once_and_says_when_it_is_tried_again(tmp_path):
    one = world(tmp_path, {"download": failed("503")})
    one.go()
    assert one.done == ["download"] * 3
    assert ended(one)["state"] == "failed"
    reason = (
        "the breaker of `hub` is open after 3 failures in a row; it lets an attempt through at 1970-01-12 13:47:42 UTC,"
        " or after `runbook reset hub`"
    )
    assert ended(one)["error"] == f"503; {reason}"
    (refused,) = [told for told in one.told if told.kind == "attempt.refused"]
    assert refused.operation == "download"
    assert dict(refused.data) == {
        "guard": "breaker", "component": "hub", "member": "", "reason": reason, "until": 1_000_062.0,
    }  # fmt: skip


def test_the_next_pass_makes_no_attempt_until_it_is_half_open(tmp_path):
    one = world(tmp_path, {"download": failed("503")})
    one.go()
    one.again(after=30)
    assert one.done == ["download"] * 3
    assert (ended(one)["state"], ended(one)["attempts"]) == ("failed", 0)
    one.again(after=30)
    assert one.done == ["download"] * 4
    assert ended(one)["attempts"] == 1


def test_a_half_open_breaker_closes_after_its_successes(tmp_path):
    left = [failed("503")] * 3
    one = world(tmp_path, {"download": lambda _: left.pop(0) if left else DONE})
    one.go()
    for _ in range(2):
        one.again(after=61)
        assert ended(one)["state"] == "succeeded"
    left += [failed("503")] * 2
    one.again(after=1)
    assert ended(one)["state"] == "succeeded"
    assert one.kinds().count("attempt.ended") == 3


def test_a_person_who_resets_the_component_closes_its_breaker(tmp_path):
    left = [failed("503")] * 3
    one = world(tmp_path, {"download": lambda _: left.pop(0) if left else DONE})
    one.go()
    one.state = replace(one.state, people=People(resets=(Reset("hub", "", one.now, "anna@desk"),)))
    one.again(after=1)
    assert ended(one)["state"] == "succeeded"


def test_an_open_breaker_leads_to_the_fallback_at_once(tmp_path):
    one = world(tmp_path, {"download": failed("503")}, extra="    fallback: [{command: [mirror], name: mirror}]")
    one.go()
    one.again(after=1)
    assert one.done == ["download"] * 3 + ["mirror"] * 2
    assert (ended(one)["state"], ended(one)["fallback"]) == ("succeeded", "mirror")


def test_a_breaker_stands_before_attempts_and_never_before_recoveries(tmp_path):
    extra = (
        "detectors:\n  - name: full\n    error: no space\n    retry: {strategy: immediate, attempts: 9}\n"
        "    recover: [{command: [clean], name: clean}]\n"
    )
    one = world(tmp_path, {"download": failed("no space")}, extra=extra)
    one.go()
    assert one.done == ["download", "clean"] * 3


def test_what_was_refused_before_it_began_says_nothing_of_the_component(tmp_path):
    text = RUNBOOK.format(extra="").replace("[fetch]", "['{{ nothing.at_all }}']")
    text = text.replace("name: t\n", "name: t\nvars: {nothing: {}}\n")
    one = World(tmp_path, text, looks={})
    one.go()
    assert ended(one)["state"] == "failed"
    assert ended(one)["attempts"] == 9
    assert one.state.attempts == {}


def test_what_failed_here_says_nothing_of_the_component(tmp_path):
    full = Outcome(StepStatus.FAILED, error="no space left", data={"local": True})
    one = world(tmp_path, {"download": full})
    one.go()
    assert one.done == ["download"] * 9
    assert one.state.attempts == {}
    assert all(told.data["local"] for told in one.told if told.kind == "attempt.ended")
