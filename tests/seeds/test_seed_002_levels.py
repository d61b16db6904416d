"""Seed 002: fault tolerance levels, recovery strategies and the records of both, on the bundled pool of browsers."""

from __future__ import annotations

import pytest
from command_line import BUNDLED

BOOK = (BUNDLED / "browser-pool.yaml").read_text(encoding="utf-8")
HUNG = """
runbook: played.yaml
vars: {{root: /srv/pool}}
cases:
  - name: the first browser does not answer
    options: {{operations: false}}
    lasts: 9s
    happens:
      - see: {{first does not answer: {{status: 0}}}}
      - steps: {{reconnect: {{fails: no answer}}, restart_daemon: {{fails: it ended at once}}}}
    expect: {{incidents: [{{detector: first does not answer}}], steps: {steps}}}
"""
ASK = """
runbook: played.yaml
vars: {{root: /srv/pool}}
cases:
  - name: two of three attempts fail
    lasts: 20s
    happens: [{{operations: {{run the model: {{fails: Connection refused, times: {times}}}}}}}]
    expect: {{operations: {{run the model: {{state: {state}, attempts: {attempts}}}}}}}
"""


@pytest.mark.parametrize(
    ("level", "steps"),
    [
        pytest.param("none", "[]", id="none: error reporting only"),
        pytest.param("low", "[reconnect]", id="low: simple reconnection attempts"),
        pytest.param(
            "medium", "[reconnect, kill_orphans, restart_daemon]", id="medium: state persistence and recovery"
        ),
        pytest.param(
            "high",
            "[reconnect, kill_orphans, restart_daemon, failover, edit_config, bring its pages along]",
            id="high: full state replication and migration",
        ),
        pytest.param(
            "critical",
            "[reconnect, kill_orphans, restart_daemon, failover, edit_config, bring its pages along]",
            id="critical: maximum reliability",
        ),
    ],
)
def test_fault_tolerance_level(rehearse, level, steps):
    rehearse(f"{BOOK}\nfault_tolerance: {level}\n", HUNG.format(steps=steps))


@pytest.mark.parametrize(
    ("level", "times", "state", "attempts"),
    [("none", 1, "failed", 1), ("low", 1, "succeeded", 2), ("high", 1, "succeeded", 2), ("high", 2, "succeeded", 3)],
)
def test_fault_tolerance_level_of_an_operation(rehearse, level, times, state, attempts):
    rehearse(f"{BOOK}\nfault_tolerance: {level}\n", ASK.format(times=times, state=state, attempts=attempts))


VOTED = """
name: voted
fault_tolerance: {level}
operations: [{{name: infer, pool: browsers, redundancy: 3, command: [infer], timeout: 1m}}]
pools: {{browsers: {{members: [{{name: a}}, {{name: b}}, {{name: c}}]}}}}
"""
COUNTED = """
runbook: played.yaml
cases:
  - name: it is asked as often as its level says
    happens: []
    expect: {{steps: {steps}}}
"""


@pytest.mark.parametrize(("level", "count"), [("high", 1), ("critical", 3)])
def test_level_critical_redundant_operations(rehearse, level, count):
    rehearse(VOTED.format(level=level), COUNTED.format(steps=["infer"] * count))


STRATEGY = """
name: strategies
detectors:
  - name: browser down
    http: http://127.0.0.1:9222/json/version
    when: status != 200
    strategy: {strategy}
    recover: [{recover}]
    verify: {{within: 10s}}
pools: {{browsers: {{members: [{{name: a}}, {{name: b}}]}}}}
"""
PLAYED = """
runbook: played.yaml
cases:
  - name: it is cured
    lasts: 25s
    happens:
      - see: {{browser down: {{status: 0}}}}
      - {{{cure}, see: {{browser down: {{status: 200}}}}}}
    expect: {{incidents: [{{detector: browser down, state: cured}}], steps: {steps}}}
"""
RUNGS = "reconnect: 127.0.0.1:9222}, {restart_daemon: {unit: browser}}, {failover: browsers"


@pytest.mark.parametrize(
    ("strategy", "recover", "cure", "steps"),
    [
        pytest.param("sequence", "{restart_daemon: {unit: browser}}", "after: restart_daemon", ["restart_daemon"], id="restart"),
        pytest.param("sequence", "{reconnect: 127.0.0.1:9222}", "after: reconnect", ["reconnect"], id="reconnect"),
        pytest.param("sequence", "{failover: browsers}", "at: 3s", ["failover"], id="failover"),
        pytest.param("progressive", f"{{{RUNGS}}}", "after: reconnect", ["reconnect"], id="progressive: 1. reconnection"),
        pytest.param(
            "progressive", f"{{{RUNGS}}}", "after: restart_daemon", ["reconnect", "restart_daemon"], id="progressive: 2. restart"
        ),
        pytest.param(
            "progressive", f"{{{RUNGS}}}", "at: 23s", ["reconnect", "restart_daemon", "failover"],
            id="progressive: 3. failover",
        ),
        pytest.param(
            "parallel", f"{{{RUNGS}}}", "after: restart_daemon", ["reconnect", "restart_daemon", "failover"],
            id="parallel: all at once, the first that helps counts",
        ),
    ],
)  # fmt: skip
def test_recovery_strategy(rehearse, strategy, recover, cure, steps):
    rehearse(STRATEGY.format(strategy=strategy, recover=recover), PLAYED.format(cure=cure, steps=steps))


def test_parallel_begins_all_at_the_same_time(rehearse):
    (result,) = rehearse(
        STRATEGY.format(strategy="parallel", recover=f"{{{RUNGS}}}"),
        PLAYED.format(cure="after: reconnect", steps=["reconnect", "restart_daemon", "failover"]),
    )
    begun = [told.at for told in result.played.of("step.begun") if told.subject or told.incident]
    assert begun
    assert set(begun) == {0.0}


@pytest.mark.parametrize(
    ("category", "message", "detector"),
    [
        ("CONNECTION", "Connection refused", "connection lost"),
        ("TIMEOUT", "Runtime.evaluate timed out", "too slow"),
        ("MEMORY", "the page crashed: out of memory", "page out of memory"),
        ("UNKNOWN", "ReferenceError: bert is not defined", "the model fails"),
    ],
)
def test_failure_category_of_an_operation(rehearse, category, message, detector):
    rehearse(
        BOOK,
        f"""
        runbook: played.yaml
        cases:
          - name: {category}
            lasts: 15s
            happens: [{{operations: {{run the model: {{fails: "{message}", times: 1}}}}}}]
            expect: {{incidents: [{{detector: {detector}, state: cured}}]}}
        """,
    )


def test_custom_recovery_strategy_by_category_crash_restarts_memory_fails_over(rehearse):
    rehearse(
        BOOK,
        """
        runbook: played.yaml
        vars: {root: /srv/pool}
        cases:
          - name: crash
            options: {operations: false}
            happens:
              - see: {first crashed: {unit: /srv/pool/first.pid, alive: false}}
              - {after: restart_daemon, see: {first crashed: {unit: /srv/pool/first.pid, alive: true}}}
            expect: {steps: [kill_orphans, restart_daemon, reconnect first, bring its pages back]}
          - name: memory
            options: {operations: false}
            lasts: 1s
            happens: [{see: {first takes too much memory: {count: 9, rss: 9GB}}}]
            expect: {steps: [failover, edit_config, bring its pages along]}
        """,
    )
