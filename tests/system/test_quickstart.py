"""The bundled runbook that shows what this is: six real faults, healed, seen, and nothing left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

FAULTS = {
    "orphaned worker", "stale pidfile", "daemon down", "cache over its limit", "token readable by everybody", "batch too big",
}  # fmt: skip


@pytest.fixture
def temporary(cli, tmp_path):
    place = tmp_path / "tmp"
    place.mkdir()
    cli.env["TMPDIR"] = str(place)
    yield place
    left = [process for process in running() if str(place) in process]
    assert left == []


def running() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if (path / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.append((path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found


def test_quickstart_heals_six_faults_and_leaves_nothing(cli, temporary):
    ran = cli.json("apply", "quickstart")
    assert ran.exit_code == 0, ran.out
    assert {name: one["state"] for name, one in ran.incidents.items()} == dict.fromkeys(FAULTS, "cured")
    assert list(temporary.iterdir()) == []


def test_quickstart_that_was_stopped_leaves_nothing_and_does_not_spoil_the_next(cli, temporary):
    child = subprocess.Popen(
        [sys.executable, "-m", "runbook", "apply", "quickstart"], env=cli.env, cwd=cli.home,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    end = time.monotonic() + 20
    while not list(temporary.glob("*/run/trainer.pid")) and time.monotonic() < end:
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    assert child.wait(timeout=60) == 130
    assert list(temporary.iterdir()) == []
    assert cli("apply", "quickstart").exit_code == 0
