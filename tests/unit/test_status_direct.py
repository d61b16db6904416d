"""`runbook status` in plain words goes past click; everything else goes through it, and both say the same."""

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

from runbook.engine.cli import _standing
from runbook.engine.journal.facts import Fact, IncidentRow, RunStart
from runbook.engine.journal.store import open_journal

RUNBOOK = str(Path(sys.executable).with_name("runbook"))


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RUNBOOK_CONFIG", raising=False)
    monkeypatch.setenv("RUNBOOK_JOURNAL", str(tmp_path / "journal.db"))
    with open_journal() as journal, journal.transaction() as batch:
        for name, host in (("web", "a"), ("db", "b")):
            run = f"r-{name}"
            batch.begin_run(RunStart(run, name, f"{name}.yaml", "d", "apply", 100.0, "root@here"))
            batch.event(Fact("run.begun", 100.0, run, data={"hosts": [host], "order": ["down"], "detectors": 1}))
            data = {"reason": "waits for a GPU — über 90 °C", "since": 100.0}
            row = IncidentRow(f"i{name}", name, "down", host, "", "waiting", "high", 100.0, 100.0, None, data)
            batch.incident(row)
            batch.end_run(run, 101.0, 3)
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["-h"],
        ["--host"],
        ["--host="],
        ["--host", ""],
        ["--host", "-x"],
        ["--format", "xml"],
        ["--format", "text", "--format", "json"],
        ["--colour", "red"],
        ["here", "there"],
    ],
)
def test_what_is_not_plain_is_for_click(place, capsys, words):
    assert _standing.direct(words) is None
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("words", [[], ["--host", "a"], ["--runbook", "db"], ["--format", "json"]])
def test_plain_words_are_answered_as_click_answers_them(place, words):
    straight = subprocess.run([RUNBOOK, "status", *words], capture_output=True, text=True, check=False)
    around = subprocess.run([RUNBOOK, "-v", "status", *words], capture_output=True, text=True, check=False)
    told, again = (re.sub(r"\d+", "#", done.stdout) for done in (straight, around))  # time goes on
    assert told == again
    assert "waits for a GPU" in told
    assert (straight.returncode, straight.stderr) == (around.returncode, around.stderr)


def test_defaults_of_the_configuration_are_heeded(place):
    (place / "runbook.toml").write_text('[defaults.status]\nformat = "json"\n', encoding="utf-8")
    (place / "runbook.toml").chmod(0o600)
    assert _standing.direct([]) is None
    done = subprocess.run([RUNBOOK, "status"], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("{"), done.stderr


def test_a_stream_that_can_not_carry_all_letters_is_for_click(place, monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert _standing.direct([]) is None
