"""Which files a look asks about: as few as can be while nothing has changed, and all that could have."""

import json
import os
import time

import pytest
from log_watch import Watch, write

from runbook.modules.logs import ground


def settle():
    """Let the directories' times be old enough to tell of the next change."""
    time.sleep(ground.TICK / 1e9 + 0.03)


@pytest.fixture
def logs(tmp_path):
    folder = tmp_path / "logs"
    folder.mkdir()
    for number in range(20):
        write(folder / f"{number}.log", number)
    return folder


@pytest.fixture
def watch(logs):
    watch = Watch(logs / "*.log")
    settle()
    assert watch.look() == watch.look() == []
    return watch


def test_a_look_at_idle_files_asks_for_each_once_and_changes_nothing_that_is_kept(watch, monkeypatch):
    asked = []
    stat = os.stat
    before = json.dumps(watch.state)
    for name in ("scandir", "listdir", "open", "pread", "fstat"):
        monkeypatch.setattr(os, name, lambda *_: pytest.fail("asked for more than files' states"))
    monkeypatch.setattr(os, "stat", lambda *args, **options: asked.append(args[0]) or stat(*args, **options))
    found = watch.look()
    monkeypatch.undo()
    assert found == []
    assert json.dumps(watch.state) == before
    assert len(asked) == 21  # twenty files and their directory


def test_one_file_that_grows_is_read_and_no_other_is_opened(watch, logs, monkeypatch):
    write(logs / "7.log", 70)
    opened = []
    real = os.open
    monkeypatch.setattr(os, "open", lambda path, *args, **options: opened.append(path) or real(path, *args, **options))
    found = watch.numbers()
    monkeypatch.undo()
    assert found == [70]
    assert set(opened) == {str(logs / "7.log")}


def test_a_pattern_gains_files_and_directories(tmp_path):
    watch = Watch(tmp_path / "jobs" / "*" / "**" / "rank*.log")
    assert watch.look() == []
    settle()
    assert watch.look() == []
    (tmp_path / "jobs" / "7").mkdir(parents=True)
    write(tmp_path / "jobs" / "7" / "rank0.log", 1)
    assert watch.numbers() == [1]
    settle()
    assert watch.look() == []
    (tmp_path / "jobs" / "7" / "deep").mkdir()
    assert watch.look() == []
    settle()
    assert watch.look() == []
    write(tmp_path / "jobs" / "7" / "deep" / "rank1.log", 2)
    assert watch.numbers() == [2]


def test_a_file_that_comes_within_the_tick_of_a_directorys_time_is_found(logs, watch):
    for number in range(100, 140):
        write(logs / f"{number}.log", number)
        assert watch.numbers() == [number]


def test_a_link_to_a_directory_that_is_set_anew_is_followed(tmp_path):
    for number in (1, 2):
        (tmp_path / f"run-{number}").mkdir()
    write(tmp_path / "run-1" / "x.log", 1)
    (tmp_path / "current").symlink_to("run-1")
    watch = Watch(tmp_path / "current" / "*.log", from_="start")
    assert watch.numbers() == [1]
    settle()
    assert watch.look() == []
    (tmp_path / "next").symlink_to("run-2")
    (tmp_path / "next").rename(tmp_path / "current")
    write(tmp_path / "run-2" / "x.log", 2)
    assert watch.numbers() == [2]


def test_a_log_in_a_directory_that_comes_later_is_read_from_its_beginning(tmp_path):
    watch = Watch(tmp_path / "a" / "b" / "x.log")
    assert watch.look() == []
    settle()
    assert watch.look() == []
    assert "nothing" in watch.state
    (tmp_path / "a" / "b").mkdir(parents=True)
    write(tmp_path / "a" / "b" / "x.log", 1)
    assert watch.numbers() == [1]
    assert "nothing" not in watch.state


def test_what_directories_times_do_not_tell_is_found_after_a_while(logs, watch):
    told = logs.stat()
    write(logs / "new.log", 1)
    os.utime(logs, ns=(told.st_atime_ns, told.st_mtime_ns))
    watch.state["folders"][str(logs)] = ground.stamp(logs.stat())
    assert watch.numbers() == []
    assert watch.numbers(later=ground.AGAIN + 1) == [1]


def test_a_rotation_of_one_log_among_many_is_worked_on_alone(logs, watch, monkeypatch):
    write(logs / "7.log", 70)
    (logs / "7.log").rename(logs / "7.log.1")
    write(logs / "7.log", 71)
    opened = []
    real = os.open
    monkeypatch.setattr(os, "open", lambda path, *args, **options: opened.append(path) or real(path, *args, **options))
    found = watch.numbers()
    monkeypatch.undo()
    assert found == [70, 71]
    assert set(opened) == {str(logs / "7.log"), str(logs / "7.log.1")}


def test_what_an_older_version_kept_is_understood(logs):
    log = logs / "7.log"
    watch = Watch(log)
    watch.look()
    write(log, 70)
    told = log.stat()
    cursor = json.loads(watch.state["cursors"][str(log)][str(log)].split(" ", 4)[4])
    old = {
        **cursor,
        "log": str(log),
        "path": str(log),
        "device": told.st_dev,
        "inode": told.st_ino,
        "size": 7,
        "changed": 1,
    }
    watch.state = {"cursors": {str(log): [old]}, "folders": {str(logs): 1}, "behind": 0}
    assert watch.numbers() == [70]
