"""`runbook install --cron`: a line that a real cron runs, taken away again without a trace."""

from __future__ import annotations

import shutil

import installed_host
import pytest
from installed_host import Machine

SERVING = """\
name: serving
every: 1m
writable: [/srv/app]
detectors:
  - name: port not told
    file: {path: /srv/app/app.json}
    when: size < 20B
    limit: 3 per 1h
    recover: [edit_config: {path: /srv/app/app.json, set: {told: "everything that there is"}}]
"""
THEIRS = "MAILTO=nobody@example.org\n0 3 * * * /usr/local/bin/backup # 100\\%\n"
SOON = "faketime '2026-03-04 05:06:58' cron -f"  # two seconds before a minute begins


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    if lacks := installed_host.lacking():
        pytest.skip(lacks)
    if missing := [name for name in ("cron", "crontab", "faketime") if shutil.which(name) is None]:
        pytest.skip(f"no {', '.join(missing)} here: `apt-get install cron faketime`")
    made = Machine(tmp_path_factory.mktemp("machine"))
    try:
        made.write("/etc/runbook/serving.yaml", SERVING)
        yield made
    finally:
        made.close()


@pytest.fixture
def ill(machine):
    machine.sh("mkdir -p /srv/app; echo '{\"port\": 1}' > /srv/app/app.json; rm -rf /var/lib/runbook")


def ticked(machine):
    """Let cron come to a whole minute, and wait until what it ran has ended."""
    machine.sh(f"{SOON} >/dev/null 2>&1 &")
    try:
        machine.until("grep -q told /srv/app/app.json")
        machine.until("! pgrep -f 'watch --onc[e]' >/dev/null")
    finally:
        machine.sh("pkill -x cron; while pgrep -x cron >/dev/null; do sleep 0.05; done")


def test_cron_runs_the_line_of_root_which_leaves_nothing_but_the_journal_and_its_log(machine, ill):
    before = machine.sh("find /etc /var/spool/cron | sort")
    done = machine.runbook("install", "/etc/runbook/serving.yaml", "--cron", "--yes")
    assert "note: no cron daemon runs here: start it" in done.stdout
    assert machine.sh("stat -c '%a %U' /etc/cron.d/runbook-serving") == "644 root"
    ticked(machine)
    log = machine.sh("cat /var/lib/runbook/runbook-serving.log")
    assert log.endswith("1 healed: nothing is left to do")
    assert machine.runbook("install", "--list").stdout.split() == [
        "runbook-serving",
        "cron",
        "/etc/cron.d/runbook-serving",
        "serving",
    ]
    gone = machine.runbook("uninstall", "/etc/runbook/serving.yaml", "--yes").stdout
    assert gone.splitlines()[-1] == "runbook-serving is gone; its journal stays: /var/lib/runbook/journal.db"
    assert machine.sh("find /etc /var/spool/cron | sort") == before


def test_a_line_in_a_crontab_with_others_runs_and_goes_without_them(machine, ill):
    machine.sh("mv /etc/cron.d /etc/cron.d.not")  # as where only crontabs are
    try:
        machine.run("crontab", "-", text=THEIRS)
        machine.runbook("install", "/etc/runbook/serving.yaml", "--cron", "--yes")
        machine.runbook("install", "/etc/runbook/serving.yaml", "--cron", "--yes")  # once more is not twice
        table = machine.sh("crontab -l")
        assert table.startswith(THEIRS)
        assert table.count("watch --once") == 1
        ticked(machine)
        assert "1 healed" in machine.sh("cat /var/lib/runbook/runbook-serving.log")
        machine.run("crontab", "-", text=table + "\n7 7 * * * /usr/local/bin/written-meanwhile\n")
        machine.runbook("uninstall", "--yes")
        assert machine.sh("crontab -l") + "\n" == THEIRS + "7 7 * * * /usr/local/bin/written-meanwhile\n"
    finally:
        machine.sh("crontab -r; mv /etc/cron.d.not /etc/cron.d")


def test_the_only_line_of_a_crontab_takes_the_crontab_along(machine, ill):
    machine.sh("mv /etc/cron.d /etc/cron.d.not")
    try:
        machine.runbook("install", "/etc/runbook/serving.yaml", "--cron", "--yes", "--mailto", "ops@example.org")
        assert machine.sh("crontab -l | grep MAILTO").splitlines() == ['MAILTO="ops@example.org"', 'MAILTO="root"']
        machine.runbook("uninstall", "--yes")
        assert "no crontab for root" in machine.run("crontab", "-l", check=False).stderr
    finally:
        machine.sh("mv /etc/cron.d.not /etc/cron.d")


def test_a_file_of_somebody_elses_is_not_written_over(machine):
    machine.write("/etc/cron.d/runbook-serving", "0 0 * * * root /usr/local/bin/theirs\n")
    try:
        done = machine.runbook("install", "/etc/runbook/serving.yaml", "--cron", "--yes", check=False)
        assert done.returncode == 1
        assert "`runbook install` did not write this file" in done.stderr
        assert "theirs" in machine.sh("cat /etc/cron.d/runbook-serving")
    finally:
        machine.sh("rm /etc/cron.d/runbook-serving")
