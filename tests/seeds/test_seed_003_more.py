"""Seed 003: what its configuration offers, and alerts, system health and statistics, with the virtual clock."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runbook.engine.language import cases
from runbook.engine.model import Backoff, Retry
from runbook.engine.recover.retry import delay
from runbook.engine.rehearse import suite as suites

FALLBACKS = """
name: fallbacks
operations:
  - name: primary
    command: [openai]
    timeout: 30s
    retry: {attempts: 1}
    fallback:
      - {name: second, command: [anthropic]}
      - {name: third, command: [google]}
      - {name: local model, command: [local]}
"""


@pytest.mark.parametrize(
    ("failing", "steps"),
    [
        ([], ["primary"]),
        (["primary"], ["primary", "second"]),
        (["primary", "second"], ["primary", "second", "third"]),
        (["primary", "second", "third"], ["primary", "second", "third", "local model"]),
    ],
)
def test_multiple_fallback_strategies(rehearse, failing, steps):
    no = {"fails": "no"}
    world = {"operations": dict.fromkeys(failing[:1], no), "steps": dict.fromkeys(failing[1:], no)}
    expect = {"operations": {"primary": "succeeded"}, "steps": steps}
    cases = [{"name": "so many fail", "happens": [world], "expect": expect}]
    rehearse(FALLBACKS, json.dumps({"runbook": "played.yaml", "cases": cases}))


def test_retry_config_initial_delay_exponential_base_and_max_delay():
    plan = Retry(Backoff.EXPONENTIAL, base=1.0, max=60.0)
    assert [delay(plan, failures) for failures in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_retry_config_jitter_spreads_the_herd():
    plan = Retry(Backoff.EXPONENTIAL, base=10.0, max=60.0, jitter=0.2)
    waits = {round(delay(plan, 1, seed=f"client {number}"), 3) for number in range(50)}
    assert len(waits) > 25
    assert all(8.0 <= wait <= 12.0 for wait in waits)


BREAKER = """
name: breaker
components: {api: {breaker: {failures: 5, successes: 2, timeout: 60s}}}
operations:
  - {name: call, command: [call], component: api, timeout: 5s, retry: {strategy: immediate, attempts: 9}}
"""


@pytest.mark.parametrize(
    ("fails", "attempts", "state"),
    [
        pytest.param(4, 5, "succeeded", id="CLOSED: requests pass through"),
        pytest.param(9, 5, "failed", id="OPEN: requests blocked immediately after 5 failures"),
    ],
)
def test_circuit_breaker_state(rehearse, fails, attempts, state):
    rehearse(
        BREAKER,
        f"""
        runbook: played.yaml
        cases:
          - name: it fails
            happens: [{{operations: {{call: {{fails: "no", takes: 0s, times: {fails}}}}}}}]
            expect: {{operations: {{call: {{state: {state}, attempts: {attempts}}}}}}}
        """,
    )


ALERTS = """
name: alerts
detectors:
  - name: critical
    http: http://127.0.0.1:1/
    when: status == 0
    severity: critical
    recover: [{notify: {message: "CRITICAL: {{ incident.detector }}", severity: critical}}]
    verify: {within: 1s, every: 500ms}
  - name: unhealthy
    http: http://127.0.0.1:2/
    when: status == 0
    severity: medium
    recover: [{notify: "WARNING: {{ incident.detector }}"}]
    verify: {within: 1s, every: 500ms}
limit: 1 per 1h
every: 30s
"""


def test_health_based_alerting_by_severity(rehearse):
    (result,) = rehearse(
        ALERTS,
        """
        runbook: played.yaml
        cases:
          - name: two alerts, once each
            lasts: 10m
            happens: [{see: {critical: {status: 0}, unhealthy: {status: 0}}}]
            expect: {notified: ["CRITICAL: critical", "WARNING: unhealthy"]}
        """,
    )
    assert [told.data["severity"] for told in result.played.of("notified")] == ["critical", "medium"]


def test_continuous_monitoring_every_30_seconds(rehearse):
    (result,) = rehearse(
        ALERTS,
        """
        runbook: played.yaml
        cases:
          - name: it is seen at the next look
            happens: [{at: 31s, see: {unhealthy: {status: 0}}}]
            lasts: 61s
            expect: {notified: [unhealthy], incidents: [{detector: unhealthy, at: 1m}]}
        """,
    )
    assert result.played.looks == 3


def test_rollback_undoes_a_multi_step_recovery(rehearse):
    (result,) = rehearse(
        """
        name: rollback
        writable: [/srv/app]
        detectors:
          - name: app ill
            http: http://127.0.0.1:1/
            when: status != 200
            recover: [{edit_config: {path: /srv/app/a.json, set: {port: 1}}}]
            rollback: true
            verify: {within: 2s}
        """,
        """
        runbook: played.yaml
        cases:
          - name: what was in vain is undone
            lasts: 5s
            happens: [{see: {app ill: {status: 500}}}]
            expect: {incidents: [{detector: app ill, state: unhealed}]}
        """,
    )
    assert result.played.of("step.undone", "recovery.undone", "undone")


CATEGORIES = Path(__file__).with_name("003-categories.test.yaml")


@pytest.fixture(scope="module")
def categories():
    return cases.examine(CATEGORIES)[0]


@pytest.mark.parametrize(
    ("row", "severity"),
    [
        pytest.param("category RATE_LIMIT", "low", id="LOW: minor issues, can be ignored"),
        ("category VALIDATION", "low"),
        ("health level DEGRADED", "low"),
        pytest.param("category API", "medium", id="MEDIUM: needs attention but not critical"),
        ("category TIMEOUT", "medium"),
        ("category NETWORK", "medium"),
        ("category UNKNOWN", "medium"),
        pytest.param("category AUTHENTICATION", "high", id="HIGH: requires immediate action"),
        ("category CONFIGURATION", "high"),
        ("category RESOURCE", "high"),
        ("category DATABASE", "high"),
        ("health level UNHEALTHY", "high"),
        pytest.param("health level CRITICAL", "critical", id="CRITICAL: system-threatening, urgent recovery"),
    ],
)
def test_error_severity(categories, row, severity):
    played = [result.played for result in suites.run(categories, lambda case: case.name.startswith(row))]
    assert {incident.severity for each in played for incident in each.incidents} == {severity}
