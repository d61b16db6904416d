"""Processes that end, units that fail, what the kernel and the journal say: heard at once."""

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import journald
import pytest
from hearing import Listener
from systemd_host import SystemdHost, lacking

from runbook.engine.fleet import here
from runbook.modules.logs import kernel

AT_ONCE = 0.5  # seconds, on a machine that has other work; bench/watch.py measures it
SLEEP = "import time; time.sleep(300)"


@pytest.fixture
def listener(tmp_path):
    with here(str(tmp_path / "agent")) as hosts:
        yield Listener(hosts)


@pytest.fixture
def start():
    """A function that starts processes that have a word of the test's own in their command lines."""
    started = []

    def begin(word):
        process = subprocess.Popen([sys.executable, "-S", "-c", SLEEP, word])
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def word():
    return f"sleeper-{uuid.uuid4().hex}"


def test_a_process_that_dies_is_seen_dead_at_once(listener, start, word):
    took = []
    for number in range(5):
        process = start(f"{word}-{number}")
        assert listener.watch(f"process {number}", "process", match=f"{word}-{number}") is True
        began = time.monotonic()
        process.kill()
        listener.answer(f"process {number}", lambda found: found[0]["count"] == 0)
        took.append(time.monotonic() - began)
    assert min(took) < AT_ONCE, took


def test_one_of_several_that_ends_is_heard_and_the_others_after_it(listener, start, word):
    processes = [start(word) for _ in range(3)]
    listener.watch("process", "process", match=word)
    for left in (2, 1, 0):
        processes.pop().terminate()
        listener.answer("process", lambda found, left=left: found[0]["count"] == left)


def test_a_process_that_comes_back_is_listened_to_from_the_next_look_on(listener, start, word):
    start(word).kill()
    listener.watch("process", "process", match=word)
    process = start(word)
    assert listener.records("process")[0]["count"] == 1
    process.kill()
    listener.answer("process", lambda found: found[0]["count"] == 0)


def test_a_dead_process_whose_parent_takes_no_note_stirs_once(listener, start, word):
    process = start(word)
    listener.watch("process", "process", name=Path(sys.executable).name, match=word)
    os.kill(process.pid, signal.SIGKILL)  # this test is the parent, and does not wait for it
    listener.await_stir("process")
    assert listener.records("process")[0]["count"] == 0
    assert listener.quiet() == []


def test_of_very_many_processes_so_many_are_listened_to_and_the_look_says_so(listener, word):
    crowd = [subprocess.Popen(["/bin/sleep", f"{300 + number / 10**9:.9f}"]) for number in range(260)]
    try:
        time_match = r"^/bin/sleep 300[.]\d+$"
        assert listener.watch("process", "process", match=time_match) == "256 of its 260 processes are listened to"
    finally:
        for process in crowd:
            process.kill()
        for process in crowd:
            process.wait()


def test_a_daemon_with_a_pidfile_is_seen_dead_and_seen_again(listener, start, word, tmp_path):
    process, pidfile = start(word), tmp_path / "x.pid"
    pidfile.write_text(f"{process.pid}\n")
    assert listener.watch("daemon", "daemon", unit=str(pidfile), match=word) is True
    process.kill()
    process.wait()
    listener.answer("daemon", lambda found: found[0]["state"] == "stale")
    pidfile.write_text(f"{start(word).pid}\n")
    listener.answer("daemon", lambda found: found[0]["state"] == "running")


@pytest.fixture(scope="module")
def booted(tmp_path_factory):
    if lacking():
        pytest.fail(lacking()) if os.environ.get("CI") == "true" else pytest.skip(lacking())
    host = SystemdHost(tmp_path_factory.mktemp("systemd").resolve())
    yield host
    host.close()


@pytest.fixture
def unit(booted, tmp_path, monkeypatch):
    """A unit of a real systemd that runs, and a listener to it."""
    for name, value in booted.env.items():
        monkeypatch.setenv(name, value)
    booted.unit("toy.service", "[Service]\nExecStart=/bin/sleep 300\n")
    booted.systemctl("start", "toy")
    with here(str(tmp_path / "agent")) as hosts:
        listener = Listener(hosts)
        assert listener.watch("daemon", "daemon", unit="toy", scope="user", manager="systemd") is True
        assert listener.records("daemon")[0]["state"] == "running"
        yield booted, listener
    booted.systemctl("stop", "toy")


def test_a_unit_that_fails_is_seen_failed(unit):
    booted, listener = unit
    os.kill(int(booted.show("toy", "MainPID")), signal.SIGKILL)
    assert listener.answer("daemon", lambda found: found[0]["state"] == "failed")[0]["exit_code"] == -signal.SIGKILL
    booted.systemctl("reset-failed", "toy")


def test_a_unit_that_is_stopped_by_somebody_is_seen_stopped(unit):
    booted, listener = unit
    booted.systemctl("stop", "toy")
    listener.answer("daemon", lambda found: found[0]["state"] == "stopped")


def test_a_unit_that_systemd_starts_again_is_seen_running_again(unit):
    booted, listener = unit
    booted.unit("toy.service", "[Service]\nExecStart=/bin/sleep 300\nRestart=always\nRestartSec=300ms\n")
    before = listener.records("daemon")[0]["pid"]
    os.kill(before, signal.SIGKILL)
    listener.answer("daemon", lambda found: found[0]["state"] == "running" and found[0]["pid"] != before)


@pytest.mark.skipif(not os.access(kernel.DEVICE, os.R_OK | os.W_OK), reason=f"{kernel.DEVICE} can't be written here")
def test_a_line_of_the_kernel_is_heard(listener, word):
    assert listener.watch("kernel", "log", kernel=True, patterns=(word,)) is True
    Path(kernel.DEVICE).write_text(f"{word}: Xid 79\n", encoding="ascii")
    assert word in listener.answer("kernel", bool)[0]["line"]


def test_an_entry_of_the_journal_is_heard(listener, tmp_path):
    if journald.lacking():
        pytest.skip(journald.lacking())
    (tmp_path / "journal").mkdir()
    daemon = journald.Journald(tmp_path / "journal")
    try:
        wanted = {"directory": str(daemon.directory)}
        assert listener.watch("journal", "log", journal=wanted, patterns=("ERROR",)) is True
        daemon.send("all is well", "ERROR of the journal")
        assert listener.answer("journal", bool)[0]["line"] == "ERROR of the journal"
        daemon.vacuum()
        listener.watch("journal", "log", journal=wanted, patterns=("ERROR",))
        daemon.send("ERROR behind a rotation")
        assert listener.answer("journal", bool)[0]["line"] == "ERROR behind a rotation"
    finally:
        daemon.close()
