"""Every command says what it does, and none shows a traceback for what a person can cause."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import agent_code
import click
import pytest

import runbook
from runbook.engine.cli import _ending
from runbook.engine.cli._commands import runbook as group
from runbook.engine.errors import UserError

RUNBOOK = [sys.executable, "-m", "runbook"]
NAMES = group.list_commands(click.Context(group))


def call(*words, cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, **environment):
    env = {**os.environ, "RUNBOOK_JOURNAL": str(Path(cwd, "journal.db")), **environment}
    return subprocess.run(
        [*RUNBOOK, *words],
        cwd=cwd,
        env=env,
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )


def because(error, cause):
    """An error with the one that led to it."""
    error.__cause__ = cause
    return error


def command(name):
    found = group.get_command(click.Context(group), name)
    assert found is not None
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_a_docstring_of_its_file_and_help(name):
    found = command(name)
    module = sys.modules[f"runbook.engine.cli.{name}"]
    assert module.__doc__
    assert module.__doc__.startswith(f"`runbook {name}`")
    assert found.help
    assert found.name == name


@pytest.mark.parametrize("name", NAMES)
def test_every_option_of_every_command_has_help(name):
    for parameter in command(name).params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


@pytest.mark.parametrize("name", NAMES)
def test_the_list_of_commands_says_each_in_one_line(name):
    short = command(name).get_short_help_str(limit=60)
    assert short
    assert not short.endswith("...")


def test_runbook_alone_shows_help(tmp_path):
    done = call(cwd=tmp_path)
    assert done.returncode == 0
    assert all(re.search(rf"^  {name} ", done.stdout, re.MULTILINE) for name in NAMES)
    assert done.stderr == ""


def test_the_version_is_the_packages(tmp_path):
    done = call("--version", cwd=tmp_path)
    assert done.stdout == f"runbook, version {runbook.__version__}\n"


def test_help_of_a_command_is_its_help(tmp_path):
    assert call("help", "lint", cwd=tmp_path).stdout == call("lint", "--help", cwd=tmp_path).stdout


def test_an_unknown_command_gives_the_nearest_name(tmp_path):
    done = call("aply", cwd=tmp_path)
    assert done.returncode == 1
    assert "there is no command 'aply'; did you mean `apply`?" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["apply"], "Missing argument 'RUNBOOK...'"),
        (["apply", "--chek"], "No such option"),
        (["lint", "--format", "xml"], "'xml' is not one of"),
        (["doc", "clear_cahce"], "did you mean `clear_cache`?"),
        (["doc", "--probe", "clear_cache"], "there is no probe `clear_cache`"),
        (["apply", "nothing-here"], "there is no runbook `nothing-here`"),
        (["apply", "\x1b[31mred"], "there is no runbook `\\x1b[31mred`"),
        (["new", "a/b/c"], "a/b/c.yaml: its directory is not there"),
        (["new", "../.."], "can't be a runbook's name"),
        (["completion", "csh"], "'csh' is not one of"),
        (["history", "--limit", "x"], "'x' is not a whole number"),
        (["lint", "--explain", "RB999"], "there is no rule `RB999`"),
        (["watch"], "Missing argument 'RUNBOOK|DIR...'"),
        (["watch", "quickstart", "--shard", "1/2"], "needs an inventory"),
        (["watch", "quickstart", "--grace", "soon"], "--grace"),
        (["apply", "quickstart", "-i", "nowhere.yaml"], "nowhere.yaml"),
        (["apply", "quickstart", "-l", "gpu"], "--limit needs an inventory"),
        (["apply", "quickstart", "--forks", "0"], "--forks"),
        (["run", "clear_cache", "path=/srv/x", "older_than=1d"], "--writable /srv/x"),
    ],
    ids=lambda part: " ".join(map(repr, part)) if isinstance(part, list) else "",
)
def test_wrong_usage_is_a_message_and_exit_1(words, told, tmp_path):
    done = call(*words, cwd=tmp_path)
    assert done.returncode == 1
    assert told in done.stderr
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stderr
    assert done.stdout == ""


def test_a_full_output_is_a_message(tmp_path):
    with Path("/dev/full").open("w") as full:
        done = call("doc", cwd=tmp_path, stdout=full)
    assert done.returncode == 74
    assert done.stderr == "error: the output can't be written: No space left on device\n"


@pytest.mark.parametrize("words", [["doc"], ["history"], ["lint", "quickstart"]], ids=" ".join)
def test_a_closed_output_is_a_message(words, tmp_path):
    done = closed(">&-", *words, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (74, "error: the output can't be written: stdout is closed\n")


@pytest.mark.parametrize(("where", "why"), [(">&-", "stdout is closed"), (">/dev/full", "No space left on device")])
@pytest.mark.parametrize("form", ["text", "json", "jsonl"])
def test_a_recovery_is_not_stopped_by_its_output(where, why, form, tmp_path):
    (tmp_path / "x.yaml").write_text("name: x\noperations: [{name: t, command: [touch, done], timeout: 9s}]\n")
    done = closed(where, "apply", "x.yaml", "--format", form, cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr == f"error: the output can't be written: {why}\n  the run goes on without it\n"
    assert "done in" in call("history", cwd=tmp_path).stdout


def test_all_streams_may_be_closed(tmp_path):
    (tmp_path / "x.yaml").write_text("name: x\noperations: [{name: t, command: [touch, done], timeout: 9s}]\n")
    done = closed("<&- >&- 2>&-", "apply", "x.yaml", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert "done in" in call("history", cwd=tmp_path).stdout


def closed(streams, *words, cwd):
    """Call with streams that are closed, or lead nowhere."""
    script = f'exec "$@" {streams}'
    env = {**os.environ, "RUNBOOK_JOURNAL": str(Path(cwd, "journal.db"))}
    argv = ["sh", "-c", script, "sh", *RUNBOOK, *words]
    return subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_a_reader_that_leaves_is_no_error(tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = call("doc", "--format", "json", cwd=tmp_path, stdout=writing)
    finally:
        os.close(writing)
    assert done.returncode == 141
    assert done.stderr == ""


def test_an_interrupt_is_130_without_a_traceback(tmp_path):
    begun = tmp_path / "begun"
    argv = [*RUNBOOK, "probe", "command", "--", "sh", "-c", f"touch {begun}; exec sleep 60"]
    environment = {**os.environ, "RUNBOOK_AGENT_DIR": agent_code.furnish(tmp_path / "agent")}
    with subprocess.Popen(argv, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as looking:
        until = time.monotonic() + 30
        while not begun.exists() and time.monotonic() < until:
            time.sleep(0.01)
        looking.send_signal(signal.SIGINT)
        _, told = looking.communicate(timeout=30)
    assert begun.exists()
    assert looking.returncode == 130
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (KeyboardInterrupt(), 130, ""),
        (click.exceptions.Abort(), 130, ""),
        (UserError("it is gone", where="a.yaml:3:1", mend="bring it back"), 1,
         "error: a.yaml:3:1: it is gone\n  bring it back\n"),
        (UserError("bell \a and \x1b[2J"), 1, "error: bell \\x07 and \\x1b[2J\n"),
        (PermissionError(13, "Permission denied", "/etc/shadow"), 1, "error: /etc/shadow: Permission denied\n"),
        (because(UserError("can't be read: [Errno 13] Permission denied: '/x'"), PermissionError(13, "Permission denied", "/x")),
         1, "error: can't be read: permission denied\n"),
        (OSError(28, "No space left on device"), 74, "error: the output can't be written: No space left on device\n"),
        (ValueError("boo\x1b"), 70, "error: this is a bug in runbook: ValueError: boo\\x1b\n  `runbook -vv …`"),
    ],
    ids=lambda part: type(part).__name__ if isinstance(part, BaseException) else "",
)  # fmt: skip
def test_how_it_ends(error, code, told, capsys, monkeypatch):
    monkeypatch.setattr(_ending, "_silenced", lambda: 141)
    assert _ending.told(error, ["apply", "x"]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(told)
    assert "Traceback" not in shown.err


@pytest.mark.parametrize(
    "words", [["-vv", "lint"], ["apply", "x", "-v", "-v"], ["run", "--verbose", "-v"]], ids=" ".join
)
def test_vv_shows_the_traceback_of_a_bug(words, capsys):
    assert _ending.told(ValueError("boo"), words) == 70
    assert "ValueError: boo" in capsys.readouterr().err.partition("error: this is a bug")[0]


@pytest.mark.parametrize(
    "words", [["lint", "-v"], ["run", "command", "--", "ls", "-vv"], ["lint", "-vx"]], ids=" ".join
)
def test_less_than_vv_shows_none(words):
    assert not _ending.wants_traceback(words)


def test_a_run_that_an_error_ended_is_not_taken_for_one_that_was_killed(tmp_path):
    text = "name: x\nwritable: ['{{ host }}/x']\noperations: [{name: t, wait: 1s}]\n"
    (tmp_path / "x.yaml").write_text(text)
    done = call("apply", "x.yaml", cwd=tmp_path)
    assert (done.returncode, "no absolute path" in done.stderr) == (1, True)
    assert "x apply: exit code 1 (" in call("history", cwd=tmp_path).stdout
