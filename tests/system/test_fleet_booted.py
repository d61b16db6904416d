"""Machines that boot, each with real systemd, healed by one pass over ssh: within the budget, and through a reboot.

The suite boots two; `BOOTED=8` in the environment is what a release is held to.
"""

from __future__ import annotations

import json
import os

import booted_fleet
import pytest
import sshds

COUNT = int(os.environ.get("BOOTED", "2"))
BUDGET = max(1, COUNT // 4)
BOOK = f"""
name: booted
hosts: all
max_unavailable: {100 // max(2, COUNT // 2)}%
detectors:
  - name: toy down
    daemon: toy
    when: not alive
    limit: 9 per 1h
    recover: [{{restart_daemon: {{unit: toy, settle: 300ms}}}}]
    verify: {{every: 200ms, within: 30s}}
  - name: wants a reboot
    file: /run/ill
    when: exists
    recover:
      - reboot: {{}}
        mode: auto
    verify: {{every: 500ms, within: 60s}}
"""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """Machines with a service that nobody but us starts again."""
    lacks = booted_fleet.lacking()
    if lacks:
        pytest.skip(lacks)
    toy = "[Service]\nExecStart=/bin/sleep 86400\nRestart=no\n"
    with booted_fleet.running(tmp_path_factory.mktemp("fleet") / "booted", COUNT, {"toy.service": toy}, {}) as hosts:
        yield hosts


def said(fleet, name, command):
    done = sshds.ssh(fleet, name, command)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def passed(cli, fleet):
    """Run a pass, and return its facts."""
    book = cli.write("booted.yaml", BOOK)
    ran = cli("apply", book, "-i", fleet.inventory, "--format", "jsonl", timeout=150)
    assert ran.exit_code == 0, ran.out + ran.err
    return [json.loads(line) for line in ran.out.splitlines()]


def ends(facts):
    return {fact["host"]: fact["data"]["to"] for fact in facts if fact["event"] == "incident.ended"}


def test_a_service_that_was_killed_on_all_is_started_on_all_within_the_budget(cli, fleet):
    for name in fleet:
        said(fleet, name, "systemctl kill --signal=KILL toy")
    facts = passed(cli, fleet)
    assert ends(facts) == dict.fromkeys(fleet, "cured")
    for name in fleet:
        assert said(fleet, name, "systemctl is-active toy") == "active"
    at_work, most = set(), 0
    for fact in facts:
        if fact["event"] == "step.begun":
            at_work.add(fact["host"])
        elif fact["event"] == "incident.ended":
            at_work.discard(fact["host"])
        most = max(most, len(at_work))
    assert most == BUDGET


def test_a_host_that_reboots_is_called_again_and_seen_to_be_well(cli, fleet):
    name = next(iter(fleet))
    others = {each: said(fleet, each, "cat /proc/sys/kernel/random/boot_id") for each in fleet}
    said(fleet, name, "touch /run/ill")  # gone with the boot
    facts = passed(cli, fleet)
    assert ends(facts) == {name: "cured"}
    booted = {each for each in fleet if said(fleet, each, "cat /proc/sys/kernel/random/boot_id") != others[each]}
    assert booted == {name}
    assert said(fleet, name, "systemctl is-active toy") == "active"
