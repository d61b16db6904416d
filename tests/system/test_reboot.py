"""The step `reboot`, on a machine that boots: a pass reboots the very machine that it runs on, the next one goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time

import booted_host
import pytest

RUNBOOK = """
name: reboots
detectors:
  - name: ill
    file: {sign}
    when: exists
    recover:
      - reboot: {{controller: true}}
        mode: auto
      - command: [touch, {kept}/after]
    verify: {{every: 100ms, within: 1s}}
"""
PASS = """\
#!/bin/sh
# what cron would run at each boot: a pass, and after the second boot another one
cat /proc/sys/kernel/random/boot_id >> {kept}/boots
[ -e {kept}/begun ] || {{ : > {kept}/begun; : > {sign}; }}
boot=$(wc -l < {kept}/boots)
for pass in 1 2; do
    {python} -m runbook apply {kept}/reboots.yaml --format json > {kept}/out.$boot.$pass 2> {kept}/err.$boot.$pass
    echo $? > {kept}/code.$boot.$pass
done
"""
UNIT = """
[Unit]
DefaultDependencies=yes
[Service]
Type=oneshot
Environment=RUNBOOK_JOURNAL={kept}/journal.db RUNBOOK_AGENT_DIR={kept} PYTHONPATH={path} NO_COLOR=1
ExecStart=/bin/sh {kept}/pass.sh
"""


@pytest.fixture
def machine(tmp_path):
    """Boot a machine on which `sign` tells that it is ill, and that runs a pass at each boot."""
    if lacks := booted_host.lacking():
        pytest.skip(lacks)
    booted = []

    def boot(sign):
        kept = tmp_path / "kept"
        names = {
            "kept": kept,
            "sign": sign.format(kept=kept),
            "python": sys.executable,
            "path": os.environ.get("PYTHONPATH", ""),
        }
        host = booted_host.BootedHost(tmp_path, {"pass.service": UNIT.format(**names)}, {
            "reboots.yaml": textwrap.dedent(RUNBOOK).format(**names), "pass.sh": PASS.format(**names)})  # fmt: skip
        booted.append(host)
        return host

    yield boot
    for host in booted:
        host.close()


def incidents(host, name):
    return json.loads(host.wait_for(name))["runs"][0]["hosts"]["localhost"]["incidents"]


def test_the_pass_after_the_boot_goes_on_where_the_reboot_cut_the_one_before_it_short(machine):
    host = machine("/run/ill")  # gone with the boot
    assert host.wait_for("code.2.2") == "0\n", (host.kept / "out.2.2").read_text()
    boots = (host.kept / "boots").read_text().split()
    assert len(set(boots)) == len(boots) == 2
    [incident] = incidents(host, "out.2.1")
    assert incident["state"] == "cured", incident
    reboot = next(step for step in incident["steps"] if step["module"] == "reboot")
    assert (reboot["state"], reboot["changed"]) == ("done", True)
    assert (host.kept / "after").exists()  # the step behind it was taken, too
    assert incidents(host, "out.2.2") == []


def test_a_machine_that_stays_ill_is_rebooted_once(machine):
    host = machine("{kept}/ill")
    host.wait_for("code.2.2")
    [incident] = incidents(host, "out.2.1")
    assert (incident["state"], incident["reason"]) == ("unhealed", "not well after the recovery")
    [again] = incidents(host, "out.2.2")
    assert again["state"] == "suppressed"
    assert "limit reached: 1 run of reboot per 1d" in again["reason"]
    assert len((host.kept / "boots").read_text().split()) == 2


@pytest.fixture
def programs(tmp_path):
    """A systemctl that only says that it was called."""
    place = tmp_path / "bin"
    place.mkdir()
    program = place / "systemctl"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/called\n')
    program.chmod(0o755)
    return {"PATH": f"{place}:{os.environ['PATH']}"}


def test_outside_of_a_recovery_nothing_is_rebooted(cli, programs, tmp_path):
    done = cli.json("run", "reboot", "controller=true", env=programs)
    assert done.exit_code == 2
    assert "`reboot` is part of a recovery only" in done.host["operations"][0]["error"]
    assert not (tmp_path / "called").exists()


def test_the_machine_that_runbook_runs_on_is_left_alone_unless_the_runbook_says_otherwise(cli, programs, tmp_path):
    runbook = cli.write(
        "r.yaml", RUNBOOK.format(sign=cli.write("ill", "x"), kept=tmp_path).replace("{controller: true}", "{}")
    )
    [incident] = cli.json("apply", runbook, env=programs).host["incidents"]
    assert incident["state"] == "unhealed"
    assert "this is the machine that runbook itself runs on" in incident["reason"]
    assert not (tmp_path / "called").exists()


def test_a_machine_that_does_not_go_down_is_told(cli, programs, tmp_path):
    text = RUNBOOK.format(sign=cli.write("ill", "x"), kept=tmp_path).replace("true}", "true, within: 1s}")
    [incident] = cli.json("apply", cli.write("r.yaml", text), env=programs).host["incidents"]
    assert "did not see that the machine goes down within 1 s" in incident["reason"]
    assert (tmp_path / "called").read_text() == "reboot\n"


def test_a_step_that_is_in_hand_on_the_machine_ends_before_it_goes_down(cli, programs, tmp_path):
    work = tmp_path / "work"
    work.write_text(f"touch {tmp_path}/begun; sleep 1; touch {tmp_path}/ended\n")
    (tmp_path / "bin/systemctl").write_text(f"#!/bin/sh\nls {tmp_path} > {tmp_path}/called\n")
    other = subprocess.Popen(
        [sys.executable, "-m", "runbook", "run", "command", "sh", str(work), "-q"], env={**cli.env, **programs}
    )
    until = time.monotonic() + 30
    while not (tmp_path / "begun").exists():
        assert time.monotonic() < until
        time.sleep(0.02)
    text = RUNBOOK.format(sign=cli.write("ill", "x"), kept=tmp_path).replace("true}", "true, within: 1s}")
    cli.json("apply", cli.write("r.yaml", text), env=programs)
    assert "ended" in (tmp_path / "called").read_text().split()
    assert other.wait(30) == 0
