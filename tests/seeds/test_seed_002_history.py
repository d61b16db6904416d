"""Seed 002: performance history, trends, recommendations, recovery statistics and the transaction log."""

from __future__ import annotations

import json

import pytest

from runbook.engine.journal.ask.figures import Point, trend

BOOK = """
name: pool
writable: ["{place}"]
detectors:
  - name: browser ill
    file: {place}/state
    when: mode != '0600'
    strategy: progressive
    limit: 9 per 1h
    cooldown: 0s
    recover:
      - wait: 20ms
      - chown: {{path: {place}/state, mode: "0600"}}
    verify: {{every: 50ms, within: 150ms}}
"""


@pytest.fixture
def healed(runbook):
    """A browser's state that went wrong three times, and was put right by the second rung each time."""
    place = runbook.home / "pool"
    place.mkdir()
    book = runbook.write("pool.yaml", BOOK.format(place=place))
    for _ in range(3):
        (place / "state").touch()
        (place / "state").chmod(0o666)
        assert runbook("apply", book).exit_code == 0
    return runbook


def test_recovery_statistics(healed):
    (figures,) = healed.told("stats").json["detectors"]
    assert (figures["incidents"], figures["recoveries"], figures["cured"], figures["rate"]) == (3, 3, 3, 1.0)
    steps = {each["name"]: each for each in healed.told("stats").json["steps"]}
    assert (steps["chown"]["attempts"], steps["chown"]["failures"]) == (3, 0)


def test_performance_recommendations(healed):
    suggested = " ".join(each["text"] for each in healed.told("trends").json["suggestions"])
    assert "rung 1 (wait) never cured it" in suggested
    assert "put it first" in suggested


def test_transaction_log_is_a_complete_history_in_order(healed):
    told = [json.loads(line) for line in healed("export").out.splitlines()]
    kinds = [each["kind"] for each in told if each.get("kind")]
    wanted = ["incident.opened", "recovery.begun", "step.begun", "step.ended", "incident.ended"]
    places = [kinds.index(kind) for kind in wanted]
    assert places == sorted(places)
    assert kinds.count("step.begun") == kinds.count("step.ended") == 6


def test_transaction_log_of_one_recovery_can_be_traced(healed):
    incident = healed.told("history", "--incidents").json
    (first, *_) = incident["incidents"]
    story = healed("explain", first["id"]).out
    assert "rung 1" in story
    assert "cured" in story


def points(*seconds, ok=True):
    return [Point(float(number), ok, each) for number, each in enumerate(seconds)]


@pytest.mark.parametrize(
    ("seconds", "direction"),
    [
        pytest.param([1.0 + 0.1 * n for n in range(20)], "degrading", id="degrading performance"),
        pytest.param([3.0 - 0.1 * n for n in range(20)], "improving", id="improving performance"),
        pytest.param([1.0, 1.01] * 10, "stable", id="stable performance"),
    ],
)
def test_performance_trend_direction(seconds, direction):
    assert trend(points(*seconds)).direction == direction


def test_performance_analysis_average_least_most_success_rate_and_recency():
    found = trend([*points(*[2.0] * 10), *points(*[1.0] * 10), Point(99.0, ok=False, seconds=None)])
    assert (found.mean, found.least, found.most) == (1.5, 1.0, 2.0)
    assert found.rate == pytest.approx(20 / 21)
    assert (found.first_mean, found.last_mean) == (2.0, 1.0)


SWITCH = """
name: switch
detectors:
  - name: browser down
    http: http://127.0.0.1:9222/json/version
    when: status != 200
    recover: [{failover: browsers}]
    verify: {within: 2s}
pools:
  browsers:
    members: [{name: a}, {name: b}]
    switch: [{command: [one], name: one}, {command: [two], name: two}]
"""


def test_state_stays_consistent_where_a_migration_fails_halfway(rehearse):
    (result,) = rehearse(
        SWITCH,
        """
        runbook: played.yaml
        cases:
          - name: the second step of the switch fails
            lasts: 5s
            happens: [{see: {browser down: {status: 0}}, steps: {two: {fails: "no space"}}}]
            expect: {steps: [failover, one, two], incidents: [{detector: browser down, state: unhealed}]}
        """,
    )
    assert not result.played.of("pool.switched")
