"""Logs that are renamed, copied and cut, deleted and written anew: every line that is left comes up once."""

import os
import random
import shutil
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from log_watch import Watch, write


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "train.log"
    path.touch()
    return path


@pytest.fixture
def watch(log):
    watch = Watch(log)
    assert watch.look() == []
    return watch


@pytest.mark.parametrize("suffix", [".1", "-20260131", ".2026-01-31", ".old"])
def test_a_renamed_log_is_read_to_its_end_and_the_new_one_from_its_beginning(log, watch, suffix):
    write(log, 1)
    assert watch.numbers() == [1]
    write(log, 2)
    log.rename(f"{log}{suffix}")
    write(log, 3)
    records = watch.look()
    assert [record.n for record in records] == [2, 3]
    assert [record.path for record in records] == [f"{log}{suffix}", str(log)]
    assert watch.look() == []


def test_a_renamed_log_is_still_read_while_its_writer_holds_it_open(log, watch):
    with log.open("a", buffering=1) as file:
        file.write("line 1\n")
        log.rename(f"{log}.1")
        assert watch.numbers() == [1]
        file.write("line 2\n")
        assert watch.numbers() == [2]
        write(log, 3)
        file.write("line 4\n")
    assert sorted(watch.numbers()) == [3, 4]


def test_logs_that_came_and_were_rotated_between_two_looks_are_read_in_whole(log, watch):
    write(log, 1)
    assert watch.numbers() == [1]
    for number in (2, 3, 4):
        for age in (3, 2, 1):
            older = log.with_name(f"{log.name}.{age}")
            if older.exists():
                older.rename(log.with_name(f"{log.name}.{age + 1}"))
        log.rename(f"{log}.1")
        write(log, number)
    assert watch.numbers() == [2, 3, 4]
    assert watch.look() == []


def test_copytruncate_loses_and_doubles_nothing(log, watch):
    write(log, 1, 2)
    assert watch.numbers() == [1, 2]
    write(log, 3)
    shutil.copy(log, f"{log}.1")
    os.truncate(log, 0)
    write(log, 4)
    assert watch.numbers() == [3, 4]
    assert watch.look() == []


def test_copytruncate_is_seen_when_nothing_was_read_before(log, watch):
    write(log, 1, 2)
    shutil.copy(log, f"{log}.1")
    os.truncate(log, 0)
    write(log, 3)
    assert watch.numbers() == [1, 2, 3]


def test_a_log_that_grew_past_the_old_place_after_it_was_cut_is_read_anew(log, watch):
    write(log, 1, 2)
    assert watch.numbers() == [1, 2]
    os.truncate(log, 0)
    write(log, *range(10, 30))
    assert watch.numbers() == list(range(10, 30))


def test_a_look_between_the_copy_and_the_cut_doubles_nothing(tmp_path):
    log = tmp_path / "train.log"
    log.touch()
    watch = Watch(tmp_path / "train*")
    watch.look()
    write(log, 1, 2)
    assert watch.numbers() == [1, 2]
    write(log, 3)
    shutil.copy(log, f"{log}.1")
    assert watch.numbers() == [3]
    write(log, 4)
    assert watch.numbers() == [4]
    os.truncate(log, 0)
    write(log, 5)
    assert watch.numbers() == [5]


def test_a_deleted_log_that_is_written_anew_is_read_from_its_beginning(log, watch):
    write(log, 1, 2, 3)
    assert watch.numbers() == [1, 2, 3]
    log.unlink()
    write(log, 4)
    assert watch.numbers() == [4]


def test_a_server_that_dies_with_the_same_words_at_each_start_is_seen_each_time(log, watch):
    log.write_text("line 1\n")
    os.utime(log, (time.time() - 100, time.time() - 100))
    assert watch.numbers() == [1]
    log.write_text("line 1\n")
    os.utime(log, (time.time() - 50, time.time() - 50))
    assert watch.numbers() == [1]
    assert watch.look() == []


def test_a_server_that_dies_with_the_same_words_and_rotates_at_each_start_is_seen_each_time(log, watch):
    for start in (90, 60, 30):
        log.rename(f"{log}.{start}")
        log.write_text("line 1\n")
        os.utime(log, (time.time() - start, time.time() - start))
    assert watch.numbers() == [1, 1, 1]


def test_an_old_file_put_back_beside_the_log_is_no_news(log, watch):
    write(log, 1)
    assert watch.numbers() == [1]
    old = log.with_name("train.log.7")
    write(old, 70, 71)
    os.utime(old, (time.time() - 86400, time.time() - 86400))
    assert watch.look() == []


def test_a_disk_that_was_away_for_a_while_brings_no_old_lines_again(log, watch, tmp_path):
    write(log, 1, 2)
    assert watch.numbers() == [1, 2]
    log.rename(tmp_path / "elsewhere")
    assert watch.look() == []
    (tmp_path / "elsewhere").rename(log)
    write(log, 3)
    assert watch.numbers() == [3]


def test_a_rotated_file_that_the_pattern_matches_too_is_read_once(tmp_path):
    watch = Watch(tmp_path / "train*")
    watch.look()
    log = tmp_path / "train.log"
    write(log, 1)
    assert watch.numbers() == [1]
    write(log, 2)
    log.rename(f"{log}.1")
    write(log, 3)
    assert watch.numbers() == [2, 3]
    assert watch.look() == []


def test_a_link_to_the_newest_log_is_followed_from_one_to_the_next(tmp_path):
    write(tmp_path / "run-1.log", 1)
    latest = tmp_path / "latest"
    latest.symlink_to("run-1.log")
    watch = Watch(latest, from_="start")
    assert watch.numbers() == [1]
    write(tmp_path / "run-1.log", 2)
    write(tmp_path / "run-2.log", 3)
    latest.unlink()
    latest.symlink_to("run-2.log")
    assert watch.numbers() == [2, 3]


def test_two_names_of_one_file_are_read_once(log, watch, tmp_path):
    os.link(log, tmp_path / "same.log")
    watch = Watch(tmp_path / "*.log")
    watch.look()
    write(log, 1)
    assert watch.numbers() == [1]


def rename(log):
    log.rename(f"{log}.{time.monotonic_ns()}")


def copytruncate(log):
    shutil.copyfile(log, f"{log}.{time.monotonic_ns()}")
    os.truncate(log, 0)


def numbered(log):
    for age in range(40, 0, -1):
        older = log.with_name(f"{log.name}.{age}")
        if older.exists():
            older.rename(log.with_name(f"{log.name}.{age + 1}"))
    log.rename(f"{log}.1")


@pytest.mark.parametrize("rotate", [rename, copytruncate, numbered])
@pytest.mark.parametrize("name", ["train.log", "train*"])
def test_a_log_that_is_written_and_rotated_while_it_is_read_gives_every_line_once(log, rotate, name):
    """Writing and rotating take turns under a lock, so that copytruncate itself loses nothing."""
    watch = Watch(log.parent / name)
    watch.look()
    lock, done = threading.Lock(), threading.Event()
    total = 10_000

    def writing():
        chance = random.Random(7)
        number = 0
        while number < total and not done.is_set():
            with lock, log.open("ab", buffering=0) as file:
                count = min(chance.randint(1, 400), total - number)
                text = b"".join(b"line %d\n" % n for n in range(number, number + count))
                cut = chance.randrange(len(text))
                file.write(text[:cut])
                file.write(text[cut:])
                number += count
            if chance.random() < 0.1:
                with lock:
                    rotate(log)
                    log.touch()

    thread = threading.Thread(target=writing, daemon=True)
    thread.start()
    seen = []
    until = time.monotonic() + 60
    while thread.is_alive() and time.monotonic() < until:
        seen += watch.numbers()
    done.set()
    thread.join(10)
    assert not thread.is_alive()
    seen += watch.numbers() + watch.numbers() + watch.numbers()
    assert sorted(seen) == list(range(total))


ACTIONS = st.one_of(
    st.tuples(st.just("write"), st.integers(1, 5), st.booleans()),
    st.sampled_from([("rename",), ("copytruncate",), ("look",), ("half",), ("vanish",)]),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ACTIONS, max_size=25), st.sampled_from(["x.log", "*.log*"]))
def test_whatever_happens_between_looks_every_line_comes_up_once(tmp_path_factory, actions, pattern):
    folder = tmp_path_factory.mktemp("logs")
    log = folder / "x.log"
    log.touch()
    watch = Watch(folder / pattern)
    watch.look()
    number, rotations, seen, lost, open_line = 0, 0, [], set(), False
    unseen = set()
    for action in actions:
        if action[0] == "write":
            with log.open("a") as file:
                for _ in range(action[1]):
                    file.write(f"line {number}\n" if not open_line else f" line {number}\n")
                    if not open_line:
                        unseen.add(number)
                        number += 1
                    open_line = False
        elif action[0] == "half":
            with log.open("a") as file:
                if not open_line:
                    file.write(f"line {number}")
                    unseen.add(number)
                    number += 1
                    open_line = True
        elif action[0] == "rename":
            rotations += 1
            log.rename(f"{log}.{rotations}")
            log.touch()
            open_line = False
        elif action[0] == "copytruncate":
            rotations += 1
            shutil.copyfile(log, f"{log}.{rotations}")
            os.truncate(log, 0)
            open_line = False
        elif action[0] == "vanish":
            log.unlink()
            lost |= unseen
            log.touch()
            open_line = False
        else:
            found = watch.numbers()
            seen += found
            unseen -= set(found)
    for later in (0, 5, 10):
        seen += watch.numbers(later)
    assert len(seen) == len(set(seen)), "a line came up twice"
    assert set(range(number)) - lost <= set(seen), "a line was lost"
    shutil.rmtree(folder)
