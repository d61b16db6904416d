"""`runbook test`: cases are played by the production engine, and differ from what is expected in words."""

from __future__ import annotations

import textwrap

import pytest

from runbook.engine.language import cases
from runbook.engine.rehearse import suite as suites

SERVER = """
name: serve
limit: 3 per 1h
detectors:
  - name: server down
    http: http://127.0.0.1:8000/health
    when: status != 200
    for: 1m
    strategy: progressive
    recover:
      - restart_daemon: {unit: vllm}
      - command: [reinstall]
        name: reinstall
    verify: {within: 2m, for: 10s, every: 10s}
    unhealed: [{notify: "{{ incident.host }}: vllm stays down"}]
  - name: oom
    log: {paths: /var/log/serve.log, signatures: [cuda.oom]}
    recover: [{command: [shrink], name: shrink}]
    verify: {for: 30s, within: 2m}
"""


def examined(tmp_path, body, runbook=SERVER):
    (tmp_path / "serve.yaml").write_text(runbook, encoding="utf-8")
    file = tmp_path / "serve.test.yaml"
    file.write_text(textwrap.dedent(body), encoding="utf-8")
    return cases.examine(file)


def played(tmp_path, body, runbook=SERVER):
    suite, findings, _ = examined(tmp_path, body, runbook)
    assert suite is not None, findings
    return suites.run(suite, lambda case: True)


def told(results):
    return [line for result in results for each in result.differences for line in each.lines]


def test_a_restart_that_cures_is_one_step_after_the_hold(tmp_path):
    results = played(
        tmp_path,
        """
        cases:
          - name: a restart cures
            every: 30s
            happens:
              - see: {server down: {status: 503}}
              - after: restart_daemon
                see: {server down: {status: 200}}
            expect:
              incidents: [{detector: server down, state: cured, at: 1m}]
              steps: [{step: restart_daemon, at: 1m}]
              refused: []
              notified: []
        """,
    )
    assert told(results) == []


def test_each_side_of_a_difference_is_shown(tmp_path):
    results = played(
        tmp_path,
        """
        cases:
          - name: wrong
            happens: [{see: {server down: {status: 503}}}]
            expect:
              steps: [restart_daemon]
              notified: []
        """,
    )
    lines = told(results)
    assert any(line.startswith("  restart_daemon, host localhost") for line in lines)
    assert any(line.startswith("+ reinstall") for line in lines)
    assert "+ localhost: vllm stays down" in lines
    assert not results[0].ok


def test_lines_are_read_by_the_real_probe_and_come_up_once(tmp_path):
    results = played(
        tmp_path,
        """
        cases:
          - name: out of memory
            happens:
              - at: 1m
                see:
                  oom:
                    lines:
                      - "INFO: serving"
                      - "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 3 has a total capacity of 79.11 GiB"
            expect:
              incidents: [{detector: oom, state: cured, at: 1m}]
              steps: [shrink]
        """,
    )
    assert told(results) == []


def test_unknown_is_told_and_nothing_is_done(tmp_path):
    results = played(
        tmp_path,
        """
        cases:
          - name: nothing can be seen
            happens: [{see: {server down: {unknown: no permission}}}]
            expect: {incidents: [], steps: [], unknown: [server down]}
        """,
    )
    assert told(results) == []


def test_a_crash_loop_stops_at_its_limit(tmp_path):
    results = played(
        tmp_path,
        """
        cases:
          - name: it dies again two minutes after every restart
            lasts: 50m
            happens:
              - {at: 0m, see: {server down: {status: 503}}}
              - {after: restart_daemon, see: {server down: {status: 200}}}
              - {at: 10m, see: {server down: {status: 503}}}
              - {at: 20m, see: {server down: {status: 503}}}
              - {at: 30m, see: {server down: {status: 503}}}
            expect:
              steps: [restart_daemon, restart_daemon, restart_daemon]
              refused: [{detector: server down, guard: limit, reason: "3 recoveries per 1h"}]
        """,
    )
    assert told(results) == []


def test_a_person_approves_and_the_ladder_goes_on(tmp_path):
    runbook = SERVER.replace("    for: 1m\n", "    mode: approve\n")
    results = played(
        tmp_path,
        """
        cases:
          - name: approved
            happens:
              - see: {server down: {status: 503}}
              - {at: 5m, people: {approve: server down}}
              - {after: restart_daemon, see: {server down: {status: 200}}}
            expect:
              steps: [{step: restart_daemon, after: 5m, by: 6m}]
              incidents: [{detector: server down, state: cured}]
        """,
        runbook,
    )
    assert told(results) == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("cases: []", "the list is empty"),
        ("cases: [{name: a, expect: {steps: [restart_deamon]}}]", "there is no step `restart_deamon`"),
        ("cases: [{name: a, happens: [{see: {server up: {status: 1}}}], expect: {steps: []}}]", "server up"),
        ("cases: [{name: a, happens: [{see: {server down: {statsu: 1}}}], expect: {steps: []}}]", "statsu"),
        ("cases: [{name: a, happens: [{at: soon}], expect: {steps: []}}]", "soon"),
        ("cases: [{name: a, expect: {}}]", "nothing is expected"),
        ("cases: [{name: a, expect: {incidents: [{state: curd, detector: oom}]}}]", "curd"),
        ("runbook: no.yaml\ncases: [{name: a, expect: {steps: []}}]", "there is no runbook"),
        ("cases: [{name: a, expect: {notified: ['(']}}]", "no regular expression"),
        ("vars: {x: 1}\ncases: [{name: a, expect: {steps: []}}]", "there is no variable `x`"),
    ],
)
def test_a_slip_of_the_pen_is_a_finding_at_its_place(tmp_path, body, message):
    suite, findings, _ = examined(tmp_path, body)
    assert suite is None
    assert any(message in finding.message for finding in findings), findings
    assert all(finding.span.line >= 1 for finding in findings)


def test_what_no_case_reaches_is_told(tmp_path):
    suite, findings, _ = examined(
        tmp_path,
        """
        cases:
          - name: a restart cures
            happens:
              - see: {server down: {status: 503}}
              - {after: restart_daemon, see: {server down: {status: 200}}}
            expect: {steps: [restart_daemon]}
        """,
    )
    assert suite is not None, findings
    covered = suites.coverage(suite.runbook, suites.run(suite, lambda case: True))
    assert dict(covered.detectors) == {"server down": True, "oom": False}
    assert [(name, number) for name, number, _, hit in covered.rungs if hit] == [("server down", 0)]
    assert covered.share == pytest.approx(2 / 5)


COMPONENT = """
name: hub
operations: [{name: fetch, command: [fetch], component: hub, timeout: 1m, fallback: [{name: mirror, command: [mirror]}]}]
detectors: [{name: hub ill, component: hub, when: level >= 'unhealthy'}]
"""


def test_what_a_component_has_been_through_can_be_said(tmp_path):
    results = played(
        tmp_path,
        """
        cases:
          - name: every third attempt failed
            lasts: 10s
            happens: [{components: {hub: {attempts: 30, failures: 10}}}]
            expect: {incidents: [hub ill]}
        """,
        COMPONENT,
    )
    assert told(results) == []


@pytest.mark.parametrize(
    ("happens", "message"),
    [
        ("see: {hub ill: {level: critical}}", "judged by the engine itself"),
        ("components: {hup: {attempts: 5}}", "`hup`"),
    ],
)
def test_a_component_is_not_seen_and_is_known_by_its_name(tmp_path, happens, message):
    body = f"cases: [{{name: x, happens: [{{{happens}}}], expect: {{incidents: []}}}}]"
    _, findings, _ = examined(tmp_path, body, COMPONENT)
    assert any(message in each.message for each in findings)


def test_a_fallback_ends_by_its_own_name_and_not_as_the_operation_does(tmp_path):
    results = played(
        tmp_path,
        """
        cases:
          - name: the mirror has it
            happens: [{operations: {fetch: {fails: "no"}}}]
            expect: {operations: {fetch: succeeded}, steps: [fetch, mirror]}
        """,
        COMPONENT,
    )
    assert told(results) == []
