"""Logs as they really are: growing, rotated in every way, torn, huge and hostile; every line comes up once."""

import dataclasses
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runbook.modules.declare import Unclear
from runbook.modules.host import Host
from runbook.modules.logs import tail
from runbook.modules.probes.log import Log


class LaterHost(Host):
    later = 0.0

    def now(self):
        return time.time() + self.later


class Watch:
    """Looks again and again, its state passed through JSON as between processes."""

    def __init__(self, *paths, patterns=(r"line (?P<n>\d+)",), **options):
        self.probe = Log(tuple(str(path) for path in paths), patterns, **options)
        self.state = {}

    def look(self, later=0.0):
        host = LaterHost(remembered=json.loads(json.dumps(self.state)))
        host.later = later
        records = list(self.probe.look(host))
        self.state = host.kept
        return records

    def numbers(self, later=0.0):
        return [record.n for record in self.look(later)]


@contextmanager
def as_nobody():
    """Look with the eyes of somebody whom rights keep out; root looks into everything."""
    mine = os.geteuid()
    if mine == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(mine)


def write(path, *numbers):
    with path.open("a") as file:
        file.writelines(f"line {number}\n" for number in numbers)


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


def test_each_appended_line_comes_up_once_with_its_number(log, watch):
    write(log, 1, 2)
    assert [(record.line_no, record.line) for record in watch.look()] == [(1, "line 1"), (2, "line 2")]
    assert watch.look() == []
    write(log, 3)
    assert [(record.line_no, record.n) for record in watch.look()] == [(3, 3)]


def test_a_first_look_begins_at_the_end_and_still_numbers_lines_from_the_beginning(log):
    write(log, *range(5))
    watch = Watch(log)
    assert watch.look() == []
    write(log, 5)
    assert [(record.line_no, record.n) for record in watch.look()] == [(6, 5)]


def test_a_first_look_from_the_start_takes_in_what_rotation_has_left(log):
    write(log, 1)
    log.rename(f"{log}.1")
    write(log, 2)
    assert Watch(log, from_="start").numbers() == [1, 2]


def test_a_file_that_appears_after_the_first_look_is_read_from_its_beginning(tmp_path):
    watch = Watch(tmp_path / "*.log")
    assert watch.look() == []
    write(tmp_path / "a.log", 1)
    assert watch.numbers() == [1]


def test_a_missing_file_is_no_record_and_no_fault(tmp_path):
    assert Watch(tmp_path / "none" / "x.log").look() == []


def test_a_pattern_added_to_the_runbook_is_seen_for_the_first_time(log, watch, tmp_path):
    write(tmp_path / "other.log", 1)
    watch.probe = dataclasses.replace(watch.probe, paths=(*watch.probe.paths, str(tmp_path / "other.log")))
    assert watch.numbers() == []
    write(tmp_path / "other.log", 2)
    assert watch.numbers() == [2]


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


def test_a_half_written_line_waits_for_its_end(log, watch):
    with log.open("ab", buffering=0) as file:
        file.write(b"li")
        assert watch.look() == []
        file.write(b"ne 1\n")
    assert [(record.line_no, record.n) for record in watch.look()] == [(1, 1)]


def test_a_last_line_without_end_that_does_not_grow_is_taken_and_its_rest_is_no_news(log, watch):
    with log.open("ab", buffering=0) as file:
        file.write(b"line 1")
        assert watch.look() == []
        assert watch.numbers(later=3) == [1]
        assert watch.look(later=6) == []
        file.write(b" and more\nline 2\n")
    assert [(record.line_no, record.n) for record in watch.look()] == [(2, 2)]


def test_a_last_line_that_matches_only_when_it_is_whole_is_not_lost(log, watch):
    with log.open("ab", buffering=0) as file:
        file.write(b"x li")
        assert [watch.look(later) for later in (0, 5, 10)] == [[], [], []]
        file.write(b"ne 1\n")
    assert watch.numbers() == [1]


def test_an_old_last_line_without_end_is_taken_at_the_first_look(log):
    log.write_text("line 1")
    os.utime(log, (time.time() - 60, time.time() - 60))
    assert Watch(log, from_="start").numbers() == [1]


@pytest.mark.parametrize(
    ("written", "lines"),
    [
        (b"line 1\r\nline 2\r\n", [(1, "line 1"), (2, "line 2")]),
        (b" 10%|#  | 1/9\r 20%|## | 2/9\rline 1\nline 2\n", [(1, "line 1"), (2, "line 2")]),
        (b"\x1b[1;31mline\x1b[0m 1\n", [(1, "line 1")]),
        (b"\x1b]0;title\x07line 1\n", [(1, "line 1")]),
        (b"\x00\x00\x00line 1\n", [(1, "line 1")]),
        (b"a\x00line 1\n", [(1, "a line 1")]),
        (b"\xff\xfeline 1 \xc3\n", [(1, "\ufffd\ufffdline 1 \ufffd")]),
        ("line 1 \u2028 \x85 \x0b\n".encode(), [(1, "line 1 \u2028 \x85 \x0b")]),
        (b"\n\nline 1\n", [(3, "line 1")]),
    ],
)
def test_what_terminals_and_broken_writers_leave_in_logs(log, watch, written, lines):
    log.write_bytes(written)
    assert [(record.line_no, record.line) for record in watch.look()] == lines


def test_a_traceback_behind_a_progress_bar_of_hours_is_found(log, watch):
    bar = b"".join(b"\r%3d%%|###   | %d/100000" % (step // 1000, step) for step in range(100_000))
    log.write_bytes(bar + b"\nline 1\n")
    assert watch.numbers() == [1]


def test_a_long_line_is_matched_by_its_first_64_kib_and_kept_around_the_match(log, watch):
    log.write_bytes(b"x" * 30_000 + b"line 1" + b"y" * 300_000 + b"line 2\nline 3\n")
    first, second = watch.look()
    assert (first.n, second.n) == (1, 3)
    assert "line 1" in first.line
    assert len(first.line) == 8192


def test_a_huge_line_is_passed_over_in_bounded_memory_and_not_read_again(log, watch, tmp_path):
    with log.open("wb") as file:
        file.write(b"line 1 ")
        for _ in range(300):
            file.write(b"z" * 1_000_000)
    script = (
        "import resource, sys; from runbook.modules.host import Host; from runbook.modules.probes.log import Log;"
        "base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; host = Host();"
        f"print(len(list(Log(({str(log)!r},), ('line 1',), 'start').look(host))));"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base)"
    )
    out = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, cwd=tmp_path)
    found, grown = map(int, out.stdout.split())
    assert found == 1
    assert grown < 20_000  # KiB
    watch.look()
    with log.open("ab") as file:
        file.write(b"line 2\nline 3\n")
    assert watch.numbers() == [3]


def test_a_hole_that_truncation_leaves_under_a_writer_is_no_line(log, watch):
    with log.open("wb", buffering=0) as file:  # not in append mode, as many programs write
        file.write(b"line 1\n" * 1000)
        assert len(watch.look()) == 1000
        os.truncate(log, 0)
        file.write(b"line 2\n")
        assert watch.numbers() == [2]
    assert watch.look() == []


def test_a_terabyte_of_nothing_is_leapt_over(log, watch):
    os.truncate(log, 1 << 40)
    write(log, 1)
    begun = time.monotonic()
    assert watch.numbers() == [1]
    assert time.monotonic() - begun < 5


def test_a_look_takes_in_so_much_and_the_next_one_goes_on(log, watch):
    write(log, *range(25_000))
    looks = [watch.numbers() for _ in range(4)]
    assert [len(look) for look in looks] == [10_000, 10_000, 5_000, 0]
    assert sum(looks, []) == list(range(25_000))


def test_what_is_left_for_the_next_look_is_told(log, watch):
    write(log, *range(10_001))
    watch.look()
    assert watch.state["behind"] == len("line 10000\n")
    watch.look()
    assert watch.state["behind"] == 0


def test_a_look_without_time_left_goes_on_at_the_next(log, watch, monkeypatch):
    write(log, 1)
    monkeypatch.setattr(tail, "BUDGET", -1.0)
    assert watch.look() == []
    monkeypatch.setattr(tail, "BUDGET", 10.0)
    assert watch.numbers() == [1]


@pytest.mark.parametrize("kind", ["fifo", "directory", "socket", "device"])
def test_what_is_no_file_is_not_read(tmp_path, kind):
    import socket

    path = tmp_path / "x"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    else:
        path = "/dev/zero"
    with pytest.raises(Unclear, match="is a directory" if kind == "directory" else "is no file"):
        Watch(path).look()
    if kind != "device":
        assert Watch(tmp_path / "*", from_="start").look() == []


def test_a_file_that_may_not_be_read_is_unclear():
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "x.log")
        Path(folder).chmod(0o755)
        log.touch()
        watch = Watch(log)
        watch.look()
        log.write_text("line 1\n")
        log.chmod(0)
        with as_nobody(), pytest.raises(Unclear, match=f"{log} can't be read: Permission denied"):
            watch.look()
        log.chmod(0o644)
        with as_nobody():
            assert watch.numbers() == [1]


def test_a_loop_of_links_ends(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "up").symlink_to("..")
    (tmp_path / "a" / "again").symlink_to("../a")
    write(tmp_path / "a" / "x.log", 1)
    assert Watch(tmp_path / "**" / "*.log", from_="start").numbers() == [1]


def test_a_link_to_itself_is_unclear(tmp_path):
    (tmp_path / "x").symlink_to("x")
    with pytest.raises(Unclear, match="levels of symbolic links"):
        Watch(tmp_path / "x").look()


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
        chance = random.Random(7)  # noqa: S311
        number = 0
        while number < total:
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
        done.set()

    thread = threading.Thread(target=writing)
    thread.start()
    seen = []
    while not done.is_set():
        seen += watch.numbers()
    thread.join()
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
