"""What was recovered in vain opens anew with the next round of looks, and not with the verification of another."""

from __future__ import annotations

from runbook.engine.language import cases
from runbook.engine.rehearse import suite as suites

RUNBOOK = """
name: two
detectors:
  - name: down
    gpu:
    when: lost
    recover: [{command: [mend], name: mend}]
    verify: {every: 1s, within: 2s}
"""
CASE = """
runbook: two.yaml
cases:
  - name: while the second is verified, the first is seen, and not tried again
    every: 1m
    lasts: 30s
    happens:
      - see: {down: [{index: 0, lost: true}, {index: 1, lost: false}]}
      - {at: 1500ms, see: {down: [{index: 0, lost: true}, {index: 1, lost: true}]}}
    expect:
      steps: [{step: mend, subject: 0}, {step: mend, subject: 1}]
      incidents: [{detector: down, subject: 0, state: unhealed}, {detector: down, subject: 1, state: unhealed}]
  - name: a minute later they are tried once more
    every: 1m
    lasts: 80s
    happens: [{see: {down: [{index: 0, lost: true}]}}]
    expect: {steps: [mend, mend]}
"""


def test_two_subjects_that_stay_ill_are_recovered_once_a_round_each(tmp_path):
    (tmp_path / "two.yaml").write_text(RUNBOOK, encoding="utf-8")
    file = tmp_path / "two.test.yaml"
    file.write_text(CASE, encoding="utf-8")
    suite, findings, _ = cases.examine(file)
    assert suite is not None, findings
    results = suites.run(suite, lambda case: True)
    assert [(each.error, [line for one in each.differences for line in one.lines]) for each in results] == [
        ("", []),
        ("", []),
    ]
