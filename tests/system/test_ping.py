"""`runbook ping`: who is there."""

import json
import subprocess
import sys

import pytest
from sshds import USER, lacking, sshds

__all__ = ["sshds"]
pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking())


def ping(hosts, *words):
    argv = [sys.executable, "-m", "runbook", "ping", *words, "-i", str(hosts.inventory)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def test_hosts_that_answer_are_told_with_python_user_and_latency(sshds):
    hosts = sshds(2)
    done = ping(hosts)
    assert done.returncode == 0, done.stderr
    first, second, last = done.stdout.splitlines()
    assert first.startswith("✔ h1")
    assert f"as {USER}" in first
    assert " ms  Python 3." in second
    assert last == "2 reached"
    assert not hosts.remote()


def test_hosts_that_do_not_are_told_with_reason_and_mend(sshds):
    hosts = sshds(3)
    hosts["h2"].stop()
    known = [line for line in hosts.known_hosts.read_text().splitlines() if hosts["h3"].where() not in line]
    hosts.known_hosts.write_text("\n".join(known))
    done = ping(hosts, "all")
    assert done.returncode == 4
    assert done.stdout.splitlines()[-1] == "1 reached, 2 unreachable"
    assert "listens there\n    look whether sshd runs" in done.stdout
    assert "its host key is not known: ssh-ed25519 SHA256:" in " ".join(done.stdout.split())
    (command,) = [line for line in done.stdout.splitlines() if line.startswith("    echo '")]  # whole, to be copied
    assert command.endswith(f" >> {hosts.known_hosts}")
    assert max(len(line) for line in done.stdout.splitlines() if line != command) <= 80
    again = ping(hosts, "h3", "--accept-new")
    assert again.returncode == 0
    assert "h3: its host key was not known and is now" in again.stderr


def test_programs_are_told_as_json(sshds):
    hosts = sshds(2)
    hosts["h2"].stop()
    done = ping(hosts, "--format", "json")
    told = json.loads(done.stdout)
    assert (told["schema"], told["exit_code"], done.returncode) == (1, 4, 4)
    assert told["hosts"]["h1"]["state"] == "reached"
    assert 0 < told["hosts"]["h1"]["latency_s"] < 10
    assert told["hosts"]["h1"]["user"] == USER
    assert told["hosts"]["h2"]["state"] == "unreachable"
    assert "refuses the connection" in told["hosts"]["h2"]["reason"]


def test_this_machine_needs_no_inventory(tmp_path):
    env = {"RUNBOOK_AGENT_DIR": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    argv = [sys.executable, "-m", "runbook", "ping"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("✔ localhost")
