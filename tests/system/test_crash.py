"""The engine and its agent are killed, the disk fills up: nothing is done twice, nothing is lost silently."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

BOOK = """
name: crash
writable: ["{home}/data"]
detectors:
  - name: ill
    file: {home}/data/ill
    when: exists
    mode: auto
    limit: 9
    verify: {{within: 4s}}
    recover:
      - {first}
      - command: {{argv: [rm, -f, "{home}/data/ill"], creates: "{home}/data/never"}}
"""
ONCE = 'shell: {{script: \'echo x >> "$D/ran"; touch "$D/begun"; sleep {sleep}\', env: {{D: "{home}/data"}}}}'
IDEMPOTENT = "command: {{argv: [sh, -c, 'echo x >> {home}/data/ran; touch {home}/data/begun; sleep {sleep}'], unless: [test, -e, {home}/data/no]}}"


def begin(cli, first: str, sleep: float):
    (cli.home / "data").mkdir()
    (cli.home / "data" / "ill").touch()
    book = cli.write("crash.yaml", BOOK.format(home=cli.home, first=first.format(home=cli.home, sleep=sleep)))
    engine = subprocess.Popen(
        [sys.executable, "-m", "runbook", "apply", str(book)],
        env=cli.env,
        cwd=cli.home,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    until((cli.home / "data" / "begun").exists)
    return book, engine


def until(holds, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.01)


def children(pid: int) -> list[int]:
    done = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in done.stdout.split()]


def kill(cli, engine) -> None:
    """The power goes: the engine, its agent, and the step in hand."""
    left = [engine.pid]
    for pid in left:
        left += children(pid)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):  # it ended by itself, for its engine is gone
            os.kill(pid, signal.SIGKILL)
    engine.wait()


def ran(cli) -> int:
    return (cli.home / "data" / "ran").read_text().count("x")


def test_a_step_whose_engine_was_killed_is_finished_by_the_agent_and_not_run_twice(cli):
    book, engine = begin(cli, ONCE, 1)
    engine.kill()
    engine.wait()
    after = cli.json("apply", book)
    assert ran(cli) == 1
    assert (after.exit_code, after.incidents["ill"]["state"]) == (0, "cured"), after.out


def test_a_step_whose_agent_was_killed_too_is_interrupted_and_waits_for_a_person(cli):
    book, engine = begin(cli, ONCE, 30)
    kill(cli, engine)
    after = cli.json("apply", book)
    assert ran(cli) == 1
    assert (after.exit_code, after.incidents["ill"]["state"]) == (2, "interrupted"), after.out
    again = cli.json("apply", book)
    assert ran(cli) == 1, "an interrupted recovery waits for a person"
    assert again.exit_code == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk_under_the_journal_keeps_the_step_from_running(cli):
    (cli.home / "data").mkdir()
    (cli.home / "data" / "ill").touch()
    book = cli.write("crash.yaml", BOOK.format(home=cli.home, first=ONCE.format(home=cli.home, sleep=0)))
    (cli.home / "small").mkdir()
    script = f"""
mount -t tmpfs -o size=400k tmpfs {cli.home}/small
RUNBOOK_JOURNAL={cli.home}/small/journal.db {sys.executable} -m runbook history >/dev/null
dd if=/dev/zero of={cli.home}/small/fill bs=1k count=4000 2>/dev/null
RUNBOOK_JOURNAL={cli.home}/small/journal.db {sys.executable} -m runbook apply {book}
"""
    done = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-c", script],
        env=cli.env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=cli.home,
    )
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr
    assert "full" in done.stderr or "space" in done.stderr
    assert not (cli.home / "data" / "ran").exists()


def test_a_released_incident_is_decided_anew(cli):
    book, engine = begin(cli, ONCE, 30)
    kill(cli, engine)
    interrupted = cli.json("apply", book).incidents["ill"]
    assert cli("release", "zzz").exit_code == 1
    assert cli("release", interrupted["id"]).exit_code == 0
    assert cli("release", interrupted["id"]).exit_code == 1
    (cli.home / "data" / "ill").unlink()
    assert cli("apply", book).exit_code == 0


def test_a_lost_step_that_may_run_twice_is_run_again_after_a_new_look(cli):
    book, engine = begin(cli, IDEMPOTENT, 2)
    kill(cli, engine)
    after = cli.json("apply", book)
    assert ran(cli) == 2
    assert after.incidents["ill"]["state"] == "cured"
