"""The GPU detectors of the language's own page, from `runbook check` and `apply` down to the (faked) driver."""

from __future__ import annotations

import json

import pytest

OVERHEATING = """
name: gpus
detectors:
  - name: gpu overheating
    gpu:
    when: temperature > 85 or memory_used_percent > 95
    for: 2m
    clear: temperature < 80 and memory_used_percent < 90
    recover: [{{command: {{argv: [mv, "{cooler}", "{state}"], cwd: /}}}}]
    verify: {{every: 200ms, within: 2s}}
"""
HUNG = """
name: hung
vars: {{root: "{home}"}}
detectors:
  - name: no progress
    progress: {{json: "{{{{ root }}}}/status.json", field: step}}
    when: stalled_for > 1s
  - name: gpus idle
    gpu:
    match: all
    when: utilization < 5
  - name: hung collective
    all: [no progress, gpus idle]
    within: 10m
    recover: [{{notify: hung}}]
    verify: {{within: 1s}}
"""
ILL = """
name: ill
detectors:
  - name: gpu ill
    gpu: {expected: 2}
    when: lost or action >= 'drain'
    recover: [{notify: "GPU {{ incident.subject }}: {{ incident.error }}, {{ incident.action }}"}]
    verify: {within: 1s}
"""


@pytest.fixture
def run(cli, gpus):
    def start(*words, environ=None):
        return cli.json(*words, env=gpus.environ if environ is None else environ)

    return start


def overheating(cli, gpus):
    """Write the runbook; its recovery leaves the state that `cooler` holds."""
    text = OVERHEATING.format(cooler=gpus.state.with_name("cooler"), state=gpus.state)
    return cli.write("gpus.yaml", text)


def cools_to(gpus, **values):
    hot = gpus.state.read_bytes()
    gpus.tell(2, **values)
    gpus.state.rename(gpus.state.with_name("cooler"))
    gpus.state.write_bytes(hot)


def test_a_hot_gpu_is_the_subject_and_its_hold_is_kept_between_passes(cli, gpus, run):
    runbook = overheating(cli, gpus)
    gpus.tell(2, gpu1__temperature=91)
    cools_to(gpus, gpu1__temperature=70)
    first = run("apply", runbook)
    assert (first.exit_code, [(one["subject"], one["state"]) for one in first.host["incidents"]]) == (
        0,
        [("1", "pending")],
    )
    [incident] = run("apply", runbook, "--now").host["incidents"]
    assert (incident["subject"], incident["state"]) == ("1", "cured")
    assert run("check", runbook).exit_code == 0


def test_a_gpu_that_cools_too_little_is_not_cured(cli, gpus, run):
    runbook = overheating(cli, gpus)
    gpus.tell(2, gpu0__temperature=91)
    cools_to(gpus, gpu0__temperature=82)
    [incident] = run("apply", runbook, "--now").host["incidents"]
    assert (incident["subject"], incident["state"]) == ("0", "unhealed")


def test_a_full_gpu_is_found_by_its_memory(cli, gpus, run):
    runbook = overheating(cli, gpus)
    gpus.tell(2, gpu1__memory_used=int(0.97 * (80 << 30)))
    [incident] = run("apply", runbook, "--now", "--check").host["incidents"]
    assert incident["subject"] == "1"
    assert "memory used 97%" in incident["evidence"], incident


def test_a_host_without_a_driver_is_well(cli, run, gpus, tmp_path):
    found = run("check", overheating(cli, gpus), environ={"LD_LIBRARY_PATH": str(tmp_path)})
    assert (found.exit_code, found.host["state"], found.host["incidents"]) == (0, "well", [])


def test_a_lost_and_a_missing_gpu_are_incidents_with_what_is_to_be_done(cli, gpus, run):
    runbook = cli.write("ill.yaml", ILL)
    gpus.tell(1, gpu0__handle=15)
    found = run("check", runbook)
    assert found.exit_code == 2
    fallen, missing = found.host["incidents"]
    assert (fallen["subject"], fallen["evidence"]) == ("0", "lost true, action reboot")
    assert (missing["subject"], missing["evidence"]) == ("1", "lost true, action reboot")
    told = run("apply", runbook)
    assert "GPU 0: it fell off the bus, or can't be reached otherwise, reboot" in told.out
    assert "GPU 1: the driver does not tell of it, reboot" in told.out


def test_a_driver_of_another_version_is_unknown_and_not_a_fault(cli, gpus, run):
    runbook = cli.write("ill.yaml", ILL)
    gpus.tell(2, init=18)
    found = run("check", runbook)
    assert (found.exit_code, found.host["incidents"]) == (4, [])
    assert "is another version than its library" in found.host["unknown"][0]["reason"]


def test_a_run_that_stands_still_on_idle_gpus_hangs_and_one_on_busy_gpus_does_not(cli, gpus, run):
    runbook = cli.write("hung.yaml", HUNG.format(home=cli.home))
    cli.write("status.json", json.dumps({"step": 7}))
    assert run("apply", runbook).host["incidents"] == []  # the first sight starts the clock
    gpus.tell(2, gpu0__utilization=0)
    assert run("apply", runbook).host["incidents"] == []  # one of the two is busy
    gpus.tell(2, all__utilization=0)
    found = []
    while not found:
        found = run("apply", runbook).host["incidents"]
    assert [one["detector"] for one in found] == ["hung collective"]
    cli.write("status.json", json.dumps({"step": 8}))
    assert run("apply", runbook).host["incidents"] == []


def test_check_does_not_start_the_clock(cli, gpus, run):
    runbook = cli.write("hung.yaml", HUNG.format(home=cli.home))
    gpus.tell(2, all__utilization=0)
    cli.write("status.json", json.dumps({"step": 7}))
    for _ in range(4):  # longer than the detector waits
        assert run("check", runbook).host["incidents"] == []
