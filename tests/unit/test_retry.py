"""When the next attempt of an operation is: strategies, what a server asks for, budgets, progress."""

from __future__ import annotations

import pytest

from runbook.engine.model import Backoff, Outcome, Retry, StepStatus
from runbook.engine.recover.retry import MOST_FREE, Failures, delay, exhausted, pause
from tests.unit.world import DONE, World, failed

RUNBOOK = """
name: t
operations:
  - name: download
    command: [fetch]
    retry: {retry}
detectors:
  - name: network
    error: timeout
    retry: {{strategy: linear, base: 10s, max: 1h, within: 1m}}
"""


def after(seconds: float, message: str = "429 Too Many Requests") -> Outcome:
    return Outcome(StepStatus.FAILED, error=message, data={"retry_after": seconds})


def onward(progress: object) -> Outcome:
    return Outcome(StepStatus.FAILED, error="connection reset", data={"progress": progress})


def operate(tmp_path, *outcomes: Outcome, retry: str, **more) -> World:
    left = list(outcomes)
    acts = {"download": lambda _: left.pop(0) if left else DONE}
    world = World(tmp_path, RUNBOOK.format(retry=retry), looks={}, acts=acts, **more)
    world.go()
    return world


def delays(world: World) -> list[float]:
    return [told.data["delay"] for told in world.told if told.kind == "attempt.delayed"]


def ended(world: World) -> dict[str, object]:
    (told,) = [told.data for told in world.told if told.kind == "operation.ended"]
    return told


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("immediate", [0.0] * 6),
        ("linear", [2.0, 4.0, 6.0, 8.0, 10.0, 12.0]),
        ("exponential", [2.0, 4.0, 8.0, 16.0, 20.0, 20.0]),
        ("fibonacci", [2.0, 2.0, 4.0, 6.0, 10.0, 16.0]),
    ],
)
def test_the_delay_grows_by_its_strategy_and_not_over_max(strategy, expected):
    retry = Retry(Backoff(strategy), base=2.0, max=20.0)
    assert [delay(retry, failures) for failures in range(1, 7)] == expected


def test_jitter_spreads_the_delay_by_its_share_and_a_replay_spreads_it_alike():
    retry = Retry(Backoff.LINEAR, base=10.0, max=1000.0, jitter=0.2)
    found = [delay(retry, 1, f"run{number}") for number in range(200)]
    assert found == [delay(retry, 1, f"run{number}") for number in range(200)]
    assert 8.0 <= min(found) < 8.5
    assert 11.5 < max(found) <= 12.0


def test_no_delay_overflows_after_very_many_failures():
    for strategy in Backoff:
        assert delay(Retry(strategy, base=1.0, max=60.0), 10**9) <= 60.0


@pytest.mark.parametrize(
    ("asked", "waits"),
    [(30, 30.0), (1, 5.0), (86400, 600.0), (-3, 5.0), (True, 5.0), ("soon", 5.0), (None, 5.0), (float("nan"), 5.0)],
)
def test_retry_after_is_honoured_up_to_ten_minutes(asked, waits):
    assert pause(Retry(), Failures(1), {"retry_after": asked}) == waits


def test_retry_after_is_honoured_up_to_max_where_that_is_longer():
    assert pause(Retry(max=3600.0), Failures(1), {"retry_after": 86400}) == 3600.0


def test_the_operation_waits_for_as_long_as_the_server_asked(tmp_path):
    world = operate(tmp_path, after(42), after(7), retry="{attempts: 3, base: 10s}")
    assert delays(world) == [42.0, 20.0]
    assert ended(world)["state"] == "succeeded"


def test_attempts_that_made_progress_are_not_charged(tmp_path):
    world = operate(tmp_path, *[onward(10**9)] * 7, failed(), onward(True), failed(), retry="{attempts: 3, base: 1s}")
    assert (ended(world)["state"], ended(world)["attempts"]) == ("succeeded", 11)
    progress = [told.data.get("progress") for told in world.told if told.kind == "attempt.ended"]
    assert progress[:2] == [10**9, 10**9]


@pytest.mark.parametrize("progress", [0, False, None, "much"])
def test_what_is_no_progress_is_charged(tmp_path, progress):
    world = operate(tmp_path, *[onward(progress)] * 5, retry="{attempts: 2, base: 1s}")
    assert (ended(world)["state"], ended(world)["attempts"]) == ("failed", 2)


def test_progress_without_an_end_ends(tmp_path):
    world = operate(tmp_path, *[onward(1)] * (MOST_FREE + 5), retry="{attempts: 2, base: 1s}")
    assert (ended(world)["state"], ended(world)["attempts"]) == ("failed", MOST_FREE)
    assert "did not come to an end" in str(ended(world)["error"])


def test_no_attempt_begins_later_than_within_after_the_first(tmp_path):
    outcomes = [Outcome(StepStatus.FAILED, error="no answer", duration=10.0)] * 9
    world = operate(tmp_path, *outcomes, retry="{strategy: linear, attempts: 9, base: 5s, within: 1m}")
    assert ended(world)["attempts"] == 4  # they begin at 0, 15, 35 and 60 s; the next one would at 90
    assert str(ended(world)["error"]) == "no answer; the next attempt would begin later than 1m after the first"


def test_with_within_alone_it_is_tried_as_often_as_fits(tmp_path):
    world = operate(tmp_path, *[failed()] * 50, retry="{strategy: linear, base: 1s, max: 1s, within: 30s}")
    assert ended(world)["attempts"] == 31


def test_without_any_budget_of_its_own_it_is_tried_three_times(tmp_path):
    assert ended(operate(tmp_path, *[failed()] * 9, retry="{base: 1s}"))["attempts"] == 3


def test_an_error_detectors_time_begins_with_its_own_first_failure(tmp_path):
    other = [failed("other")] * 3
    world = operate(
        tmp_path, *other, *[failed("timeout")] * 9, retry="{strategy: linear, attempts: 9, base: 1m, max: 1m}"
    )
    # three times a minute passes for the operation's own retry; then 10 + 20 + 30 s fit into the detector's
    assert delays(world) == [60.0, 60.0, 60.0, 10.0, 20.0, 30.0]
    assert ended(world)["state"] == "failed"


def test_a_budget_says_nothing_while_it_lasts():
    retry = Retry(attempts=3, within=60.0)
    assert exhausted(retry, Failures(2, since=100.0), 160.0) is None
    assert exhausted(retry, Failures(3, since=100.0), 101.0) == ""
    assert exhausted(retry, Failures(1, since=100.0), 160.5) is not None
