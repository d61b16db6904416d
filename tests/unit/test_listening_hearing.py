"""The ears of one agent, on the real kernel: what is armed, what is let go, and that nothing leaks."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from runbook.modules.declare import Probe, Record
from runbook.modules.frozen import frozen
from runbook.modules.host import Host
from runbook.modules.listening import inotify, seeking, sources
from runbook.modules.listening.hearing import Hearing
from runbook.modules.listening.processes import started
from runbook.modules.listening.seeking import sought
from runbook.modules.look import EARS, EPOCH


@frozen
class Told(Probe):
    """A probe that is told what can be heard."""

    record = Record
    told: tuple = ()

    def sources(self, host, records):
        return self.told


@pytest.fixture
def hearing(monkeypatch):
    monkeypatch.setattr(seeking, "_lately", {})  # another test's watches
    found = Hearing()
    yield found
    found.close()


def arm(hearing, key, *told):
    """Look, as a worker does, and arm what was told, as the agent does."""
    spec = {"listen": key, EPOCH: hearing.keys.begin(key)}
    return hearing.arm(key, sought(Told(told), Host(), (), {EARS: hearing.instance}, spec), 0.0)


def stirred(hearing, seconds=0.2):
    """Return what stirs within a while."""
    found, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        now = time.monotonic()
        if hearing.listens(now):
            hearing.hear(now)
        found += hearing.keys.due(now)
        time.sleep(0.001)
    return found


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_hundred_detectors_that_are_armed_anew_ten_thousand_times_leave_nothing_behind(hearing, tmp_path):
    sleeper = subprocess.Popen(["/bin/sleep", "300"])
    try:
        folders = [tmp_path / str(number) for number in range(3)]
        for folder in folders:
            folder.mkdir()
        process = sources.process(sleeper.pid, started(sleeper.pid))

        def turn(number):
            key = f"key {number % 100}"
            folder = folders[number % 3]
            arm(hearing, key, sources.path(f"{folder}/x.log"), *([process] if number % 2 else []))
            hearing.tidy(time.monotonic())

        for number in range(300):
            turn(number)
        before = descriptors(), len(inotify.watches(hearing.instance))
        for number in range(10_000):
            turn(number)
        assert (descriptors(), len(inotify.watches(hearing.instance))) == before
        for number in range(100):
            arm(hearing, f"key {number}")
        hearing.tidy(time.monotonic())
        assert inotify.watches(hearing.instance) == set()
        assert descriptors() == before[0] - 1  # the process's
    finally:
        sleeper.kill()
        sleeper.wait()


def test_to_arm_the_same_again_asks_the_kernel_for_nothing(hearing, tmp_path, monkeypatch):
    path = sources.path(f"{tmp_path}/x.log")
    arm(hearing, "a", path)
    stirred(hearing)
    spec = {"listen": "a", EPOCH: hearing.keys.begin("a")}
    first = sought(Told((path,)), Host(), (), {EARS: hearing.instance}, spec)
    for name in ("watch", "forget", "watches", "pidfd"):
        monkeypatch.delattr(inotify, name)
    again = sought(Told((path,)), Host(), (), {EARS: hearing.instance}, spec)
    assert again == first
    assert hearing.arm("a", again, 0.0) is True
    hearing.tidy(time.monotonic())


def test_a_process_whose_number_was_given_out_again_counts_as_ended(hearing):
    sleeper = subprocess.Popen(["/bin/sleep", "300"])
    try:
        arm(hearing, "a", sources.process(sleeper.pid, started(sleeper.pid) + 1))
        assert stirred(hearing) == ["a"]
        arm(hearing, "b", sources.process(sleeper.pid, started(sleeper.pid)))
        assert stirred(hearing) == []
    finally:
        sleeper.kill()
        sleeper.wait()
    assert stirred(hearing) == ["b"]


def test_a_process_that_several_wait_for_is_one_descriptor(hearing):
    sleeper = subprocess.Popen(["/bin/sleep", "300"])
    before = descriptors()
    for key in "abc":
        arm(hearing, key, sources.process(sleeper.pid, started(sleeper.pid)))
    assert descriptors() == before + 1
    sleeper.kill()
    sleeper.wait()
    assert sorted(stirred(hearing)) == ["a", "b", "c"]
    assert descriptors() == before


def test_what_is_armed_on_a_path_for_the_first_time_is_looked_at_once_more(hearing, tmp_path):
    arm(hearing, "a", sources.path(f"{tmp_path}/x.log"))
    assert stirred(hearing) == ["a"]
    arm(hearing, "a", sources.path(f"{tmp_path}/x.log"))
    assert stirred(hearing) == []


def test_when_the_kernel_has_lost_events_everybody_who_watches_looks(hearing, tmp_path):
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    for name in ("quiet", "busy"):
        (tmp_path / name).mkdir()
        arm(hearing, name, sources.path(f"{tmp_path}/{name}/x"))
    stirred(hearing)
    for name in ("quiet", "busy"):
        hearing.keys.begin(name)
    ends = [os.open(tmp_path / "busy" / name, os.O_CREAT | os.O_WRONLY) for name in ("a", "b")]
    for number in range(most + 2):
        os.write(ends[number % 2], b".")
    assert sorted(stirred(hearing, 1.0)) == ["busy", "quiet"]
    for end in ends:
        os.close(end)


def test_a_key_at_which_nobody_looks_after_its_stir_is_let_go(hearing, tmp_path):
    arm(hearing, "a", sources.path(f"{tmp_path}/x.log"))
    assert stirred(hearing) == ["a"]
    hearing.tidy(time.monotonic() + 700.0)
    assert inotify.watches(hearing.instance) == set()
