"""Steps on system units where systemd is the first process: a container that boots, and runs what a person would type."""

import json
import os
import sys

import booted_host
import pytest

TOY = """#!/bin/sh
trap 'echo heard >> {kept}/heard' HUP
sleep 86400 &
while :; do wait; done
"""
# name, the words behind `runbook run`; each is tried in turn, and what systemd says of the toy afterwards is kept
STEPS = (
    ("stop first", "daemon unit=toy state=stopped"),
    ("start", "daemon unit=toy settle=200ms"),
    ("start again", "daemon unit=toy"),
    ("restart", "restart_daemon unit=toy settle=200ms"),
    ("check", "restart_daemon unit=toy --check"),
    ("hang up", "signal unit=toy signal=HUP"),
    ("kill", "signal unit=toy signal=KILL tree=true"),
    ("orphans", "kill_orphans unit=toy"),
    ("recover", "restart_daemon unit=toy settle=200ms"),
    ("stop", "daemon unit=toy state=stopped"),
    ("stop again", "daemon unit=toy state=stopped"),
    ("ourselves", "restart_daemon unit=tries"),
    ("the host", "restart_daemon unit=reboot.target"),
    ("nobody", "signal unit=toy signal=HUP"),
)
TRIES = """#!/bin/sh
number=0
while read -r words; do
    number=$((number + 1))
    {python} -m runbook run $words --format json > {kept}/out.$number 2>&1
    systemctl show --property=ActiveState --property=MainPID --value toy > {kept}/toy.$number
done < {kept}/steps
echo over > {kept}/over
"""
UNIT = """
[Service]
Environment=RUNBOOK_JOURNAL={kept}/journal.db RUNBOOK_AGENT_DIR={kept} PYTHONPATH={path} NO_COLOR=1
ExecStart=/bin/sh {kept}/tries.sh
"""


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """By the step's name: how it ended, and the toy's state and main process after it."""
    lacks = booted_host.lacking()
    if lacks and os.environ.get("CI") == "true":
        pytest.fail(lacks)
    if lacks:
        pytest.skip(lacks)
    place = tmp_path_factory.mktemp("booted").resolve()
    names = {"kept": place / "kept", "python": sys.executable, "path": os.environ.get("PYTHONPATH", "")}
    files = {
        "toy.sh": TOY.format(**names),
        "tries.sh": TRIES.format(**names),
        "steps": "".join(f"{words}\n" for _, words in STEPS),
    }
    units = {
        "tries.service": UNIT.format(**names),
        "toy.service": f"[Service]\nExecStart=/bin/sh {names['kept']}/toy.sh\n",
    }
    host = booted_host.BootedHost(place, units, files)
    try:
        host.wait_for("over", within=150.0)
        yield {name: seen(host, number) for number, (name, _) in enumerate(STEPS, 1)}
    finally:
        host.close()


def seen(host, number):
    document = json.loads((host.kept / f"out.{number}").read_text())
    (operation,) = document["runs"][0]["hosts"]["localhost"]["operations"]
    (step,) = operation["steps"]
    pid, state = sorted((host.kept / f"toy.{number}").read_text().split(), key=str.isalpha)
    return step["state"], step["changed"], step["error"] or "", state, int(pid)


def test_a_unit_is_started_once_restarted_and_not_touched_by_a_check(tried):
    assert tried["start"][:4] == ("done", True, "", "active")
    assert tried["start again"][:4] == ("done", False, "", "active")
    pid = tried["start again"][4]
    assert tried["restart"][:4] == ("done", True, "", "active")
    assert tried["restart"][4] not in {pid, 0}
    assert (tried["check"][0], tried["check"][4]) == ("planned", tried["restart"][4])


def test_a_unit_s_main_process_hears_a_signal_and_its_whole_tree_is_killed(tried):
    assert tried["hang up"] == ("done", True, "", "active", tried["restart"][4])
    assert tried["kill"][:4] == ("done", True, "", "failed")
    assert tried["orphans"][:2] == ("done", False)
    assert tried["recover"][:4] == ("done", True, "", "active")
    state, _, error, *_ = tried["nobody"]
    assert (state, error) == ("failed", "toy does not run, so nobody hears HUP")


def test_a_unit_is_stopped_once(tried):
    assert tried["stop first"][3:] == ("inactive", 0)
    assert tried["stop"][:4] == ("done", True, "", "inactive")
    assert tried["stop again"][:4] == ("done", False, "", "inactive")


def test_the_unit_that_the_agent_runs_in_and_the_host_s_own_end_are_refused(tried):
    for name, why in (("ourselves", "this agent runs in tries"), ("the host", "reboot.target is no daemon")):
        state, changed, error, *_ = tried[name]
        assert (state, changed, error.startswith(why)) == ("refused", False, True), error
