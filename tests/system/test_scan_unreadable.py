"""What nobody can read: it is told, it makes the exit code, and nobody waits for it."""

import os
import subprocess
import sys

import pytest


@pytest.fixture
def logs(tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.log").write_text("all is well\n")
    os.mkfifo(tmp_path / "logs" / "pipe.log")
    return tmp_path / "logs"


def test_a_pipe_that_was_named_makes_nothing_found_uncertain(cli, logs):
    ran = cli("scan", "--no-journal", logs / "a.log", logs / "pipe.log", timeout=30)
    assert ran.exit_code == 4
    assert f"{logs}/pipe.log: a pipe" in " ".join(ran.out.split())


def test_what_was_found_beside_it_counts_more(cli, logs):
    (logs / "a.log").write_text("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.\n")
    ran = cli("scan", "--no-journal", logs / "a.log", logs / "pipe.log", "/dev/zero", timeout=30)
    assert ran.exit_code == 2
    assert "pipe.log" in ran.out


def test_one_that_lies_in_a_directory_was_asked_for_by_nobody(cli, logs):
    assert cli("scan", "--no-journal", logs, timeout=30).exit_code == 0


@pytest.mark.parametrize("kind", ["pipe", "device", "below"])
def test_signatures_in_a_pipe_or_a_device_are_an_error_at_once(cli, logs, kind):
    given = {"pipe": logs / "pipe.log", "device": "/dev/zero", "below": logs / "more"}[kind]
    if kind == "below":
        given.mkdir()
        os.mkfifo(given / "x.yaml")
    ran = cli("scan", "--no-journal", "--signatures", given, logs / "a.log", timeout=30)
    assert ran.exit_code == 1
    assert ("/dev/zero is not a regular file" if kind == "device" else " is a pipe") in ran.err


@pytest.mark.parametrize("words", [("lint",), ("check",), ("apply",)])
def test_a_runbook_in_a_pipe_is_an_error_at_once(cli, tmp_path, words):
    os.mkfifo(tmp_path / "x.yaml")
    ran = cli(*words, tmp_path / "x.yaml", timeout=30)
    assert ran.exit_code not in (0, 2)
    assert "x.yaml is a pipe" in ran.out + ran.err


def test_a_runbook_on_the_standard_input_is_read(cli):
    done = subprocess.run(
        [sys.executable, "-m", "runbook", "lint", "/dev/stdin"], input="name: x\n",
        capture_output=True, text=True, check=False, env=cli.env, timeout=30,
    )  # fmt: skip
    assert "is a pipe" not in done.stdout + done.stderr
    assert "RB051 nothing-to-do" in done.stdout
