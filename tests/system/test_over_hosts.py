"""`probe` and `run` over the hosts of an inventory, and what a pass over them leaves for `status` and `--log-dir`."""

import json
import subprocess
import sys
from collections import Counter

import agent_code
import pytest

INVENTORY = """
gpu:
  hosts:
    gpu[01:03]:
    gone: {{ansible_connection: ssh, ansible_host: 127.0.0.1, ansible_port: 1}}
  vars: {{ansible_connection: local, root: "{root}/{{{{ inventory_hostname }}}}"}}
"""
RUNBOOK = """
name: flags
hosts: gpu
detectors:
  - name: flag missing
    file: "{{ root }}/flag"
    when: not exists
    mode: observe
"""


@pytest.fixture
def runbook(tmp_path):
    agent_dir = agent_code.furnish(tmp_path / "agent")
    for number in range(1, 4):
        (tmp_path / f"gpu0{number}").mkdir()
    (tmp_path / "gpu01/flag").write_text("", "utf-8")
    (tmp_path / "inventory.yaml").write_text(INVENTORY.format(root=tmp_path), "utf-8")
    (tmp_path / "flags.yaml").write_text(RUNBOOK, "utf-8")

    def call(*words, code):
        env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "RUNBOOK_AGENT_DIR": agent_dir,
               "RUNBOOK_JOURNAL": str(tmp_path / "journal.db"), "LC_ALL": "C.UTF-8"}  # fmt: skip
        command = [sys.executable, "-m", "runbook", *words]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    return call


HOSTS = ("-i", "inventory.yaml")


def test_a_look_at_several_hosts_tells_what_is_the_same_once_and_who_did_not_answer(runbook, tmp_path):
    text = runbook("probe", "file", "/etc/hostname", *HOSTS, "--when", "exists", code=2)
    heads = [line for line in text.splitlines() if line.startswith(("✔", "!", "?", "-"))]
    assert heads == ["! 3 hosts: gpu01-gpu03", "! gone"]
    assert text.endswith("holds on 3 hosts, 1 unreachable\n")
    document = json.loads(runbook("probe", "file", f"{tmp_path}/nothing", *HOSTS, "--format", "json", code=4))
    assert Counter(host["status"] for host in document["hosts"].values()) == {"seen": 3, "unreachable": 1}
    assert document["hosts"]["gpu01"]["records"][0]["fields"]["exists"] is False
    assert runbook("probe", "file", "/etc/hostname", *HOSTS, "--when", "not exists", "-l", "!gone", code=0) == (
        "✔ does not hold on 3 hosts: gpu01-gpu03\n"
    )


def test_a_step_on_several_hosts_tells_what_it_printed_once(runbook):
    text = runbook("run", "command", *HOSTS, "-l", "!gone", "--", "echo", "hello", code=0)
    assert text.count("│ hello") == 1
    assert "\n1 step done on 3 hosts (" in text
    document = json.loads(runbook("run", "command", *HOSTS, "-l", "all", "--format", "json", "--", "false", code=2))
    hosts = document["runs"][0]["hosts"]
    assert Counter(host["state"] for host in hosts.values()) == {"unhealthy": 3, "unreachable": 1}
    assert (
        runbook("run", "command", *HOSTS, "--list-hosts", "-l", "gpu01", "true", code=0)
        == "command: hosts (1):\n  gpu01\n"
    )


def test_a_step_that_a_host_cannot_be_reached_for_is_an_unreachable_host(runbook):
    text = runbook("run", "command", *HOSTS, "-l", "gpu01,gone", "--", "true", code=4)
    assert "! unreachable  1  gone\n" in text
    assert "✔ done         1  gpu01\n" in text


def test_status_and_history_tell_once_what_is_alike_on_many_hosts(runbook, tmp_path):
    runbook("apply", "flags.yaml", *HOSTS, "--log-dir", "logs", code=2)
    status = runbook("status", code=2)
    assert "! flag missing on 2 hosts: gpu02, gpu03" in status
    assert "    about " in status
    assert "1 unknown" in status
    history = runbook("history", code=0)
    assert "! flag missing on 2 hosts: gpu02, gpu03" in history
    assert runbook("status", "--host", "gpu02", code=2).count("flag missing") == 1
    assert "incident.opened    flag missing" in (tmp_path / "logs/gpu02.log").read_text("utf-8")
    assert "host.unreachable" in (tmp_path / "logs/gone.log").read_text("utf-8")
