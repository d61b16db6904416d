"""`runbook test` and `runbook replay` at the command line, and the cases of the bundled runbooks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

BUNDLED = Path(__file__).parents[2] / "runbooks"
RUNBOOK = """
name: serve
limit: 2 per 1h
detectors:
  - name: oom
    log: {paths: /var/log/serve.log, signatures: [cuda.oom]}
    recover: [{command: [shrink], name: shrink}]
    verify: {for: 30s, within: 2m}
  - name: server down
    http: http://127.0.0.1:1/
    when: status != 200
    recover: [{restart_daemon: {unit: serve}}]
    verify: {within: 20s}
"""
CASES = """
cases:
  - name: it is restarted
    happens:
      - see: {server down: {status: 503}}
      - {after: restart_daemon, see: {server down: {status: 200}}}
    expect: {steps: [restart_daemon]}
  - name: "wrong \\e[31m on purpose"
    happens: [{see: {server down: {status: 503}}}]
    lasts: 1m
    expect: {steps: []}
"""
OOM = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 3 has a total capacity of 79.11 GiB"


@pytest.fixture
def place(tmp_path):
    (tmp_path / "serve.yaml").write_text(RUNBOOK, encoding="utf-8")
    (tmp_path / "serve.test.yaml").write_text(CASES, encoding="utf-8")
    return tmp_path


def runbook(place, *words):
    env = {**os.environ, "RUNBOOK_JOURNAL": str(place / "journal.db")}
    command = [sys.executable, "-m", "runbook", *words]
    return subprocess.run(command, cwd=place, env=env, capture_output=True, text=True, timeout=120, check=False)


def test_every_bundled_runbook_has_cases_that_hold_and_reach_all_of_it(tmp_path):
    bundled = {path.stem for path in BUNDLED.glob("*.yaml") if not path.name.endswith((".test.yaml", ".drill.yaml"))}
    assert bundled == {path.name.removesuffix(".test.yaml") for path in BUNDLED.glob("*.test.yaml")}
    done = runbook(tmp_path, "test", str(BUNDLED), "--fail-under", "100")
    assert done.returncode == 0, done.stdout


def test_a_failure_shows_both_sides_and_exits_1(place):
    done = runbook(place, "test")
    assert done.returncode == 1
    assert "+ restart_daemon, host localhost" in done.stdout
    assert "1 of 2 cases in 1 file" in done.stdout
    assert "\x1b[31m on" not in done.stdout


def test_one_case_may_be_chosen(place):
    assert runbook(place, "test", "serve.yaml", "-k", "it is*").returncode == 0
    done = runbook(place, "test", "-k", "nothing")
    assert done.returncode == 1
    assert "no case is named like 'nothing'" in done.stderr


def test_junit_and_json_say_the_same(place):
    done = runbook(place, "test", "--junit", "out.xml", "--format", "json", "--coverage")
    document = json.loads(done.stdout)
    assert [case["state"] for case in document["cases"]] == ["ok", "failed"]
    assert document["coverage"][0]["never_fired"] == ["oom"]
    root = ET.parse(place / "out.xml").getroot()
    assert (root.get("tests"), root.get("failures")) == ("2", "1")
    failure = root.find(".//failure")
    assert failure is not None
    assert "+ restart_daemon" in (failure.text or "")


def test_nothing_is_written_and_no_host_is_asked(place):
    before = sorted(place.iterdir())
    runbook(place, "test")
    assert sorted(place.iterdir()) == before


def test_lint_looks_at_cases_too(place):
    (place / "serve.test.yaml").write_text(CASES.replace("steps: []", "stpes: []"), encoding="utf-8")
    done = runbook(place, "lint")
    assert done.returncode == 1
    assert "stpes" in done.stdout
    assert "serve.test.yaml:11" in done.stdout


def test_old_logs_tell_what_would_have_been_done_and_what_would_have_stopped_it(place):
    minutes = ["03:00:00", "03:10:00", "03:20:00"]
    (place / "old.log").write_text("".join(f"2026-01-05 {at} {OOM}\n" for at in minutes), encoding="utf-8")
    done = runbook(place, "replay", "serve.yaml", "--log", "old.log", "--format", "json")
    (oom,) = json.loads(done.stdout)["detectors"]
    assert (oom["detector"], oom["incidents"], oom["recoveries"]) == ("oom", 3, 2)
    assert oom["steps"] == {"shrink": 2}
    assert "limit" in {refused["guard"] for refused in oom["refused"]}


def test_the_journals_past_is_lived_through_again_under_a_changed_limit(place):
    (place / "flag").touch()
    text = """
    name: flags
    writable: ["{{ runbook.dir }}"]
    detectors:
      - name: flag
        file: "{{ runbook.dir }}/flag"
        when: exists
        LIMIT
        recover: [{command: {argv: [rm, -f, "{{ runbook.dir }}/flag"]}}]
        verify: {every: 100ms, within: 60s}
    """
    file = place / "flags.yaml"
    file.write_text(text.replace("LIMIT", ""), encoding="utf-8")
    for _ in range(2):
        (place / "flag").touch()
        assert runbook(place, "apply", "flags.yaml").returncode == 0
    file.write_text(text.replace("LIMIT", "limit: 1 per 1h"), encoding="utf-8")
    done = runbook(place, "replay", "flags.yaml", "--format", "json")
    document = json.loads(done.stdout)
    assert document["periods"] == 2
    (flag,) = document["detectors"]
    assert flag["recoveries"] == 1
    assert [refused["guard"] for refused in flag["refused"]] == ["limit"]
