"""Logs as they really are: growing, torn, huge and hostile; every line comes up once."""

import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from log_watch import Watch, write

from runbook.modules.declare import Unclear
from runbook.modules.logs import follow, span, tail


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
        f"print(len(list(Log(({str(log)!r},), ('line 1',), from_='start').look(host))));"
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
    assert [number for look in looks for number in look] == list(range(25_000))


def test_what_is_left_for_the_next_look_is_told(log, watch):
    write(log, *range(10_001))
    watch.look()
    assert watch.state["behind"] == len("line 10000\n")
    watch.look()
    assert watch.state["behind"] == 0


def test_the_bytes_of_files_that_were_not_opened_yet_are_left_too(tmp_path):
    watch = Watch(tmp_path / "*.log", tmp_path / "other" / "*.log")
    assert watch.look() == []
    (tmp_path / "other").mkdir()
    write(tmp_path / "a.log", *range(10_000))
    write(tmp_path / "b.log", 1)
    write(tmp_path / "other" / "c.log", 2, 3)
    assert len(watch.look()) == 10_000
    assert watch.state["behind"] == 3 * len("line 1\n")
    assert sorted(watch.numbers()) == [1, 2, 3]
    assert watch.state["behind"] == 0


def test_a_fault_behind_a_flood_is_found_by_looking_on_while_behind(log):
    watch = Watch(log, patterns={"noise": "noise", "fatal": "^fatal"})
    watch.look()
    log.write_text("noise\n" * 25_000 + "fatal\n")
    found = [record.signature for record in watch.look()]
    while watch.state["behind"]:
        found += [record.signature for record in watch.look()]
    assert found.count("fatal") == 1


def test_a_look_that_had_no_time_at_all_is_behind(log, watch, monkeypatch):
    write(log, 1)
    monkeypatch.setattr(tail, "BUDGET", -1.0)
    watch.look()
    assert watch.state["behind"] == len("line 1\n")


def test_a_file_that_is_cut_while_it_is_looked_at_leaves_the_look_behind(log, watch, monkeypatch):
    write(log, 1, 2, 3)
    monkeypatch.setattr(span.Span, "stands", lambda *_: False)
    assert watch.look() == []
    assert watch.state["behind"] > 0
    monkeypatch.undo()
    assert watch.numbers() == [1, 2, 3]
    assert watch.state["behind"] == 0


def test_a_log_that_is_renamed_between_finding_and_opening_it_is_not_read_again(log, watch, monkeypatch):
    write(log, 1, 2)
    assert watch.numbers() == [1, 2]
    write(log, 3)
    fits = follow._fits

    def rotate_first(*about):
        monkeypatch.undo()
        log.rename(f"{log}.1")
        write(log, 4)
        return fits(*about)

    monkeypatch.setattr(follow, "_fits", rotate_first)
    found = watch.numbers()
    assert watch.state["behind"] > 0
    assert sorted(found + watch.numbers() + watch.numbers()) == [3, 4]
    assert watch.state["behind"] == 0


@pytest.mark.parametrize("end", [b"\n", b""], ids=["whole", "without end"])
def test_a_line_that_keeps_a_pattern_busy_is_passed_over_and_told_and_the_others_are_found(log, end):
    slow = r"(?P<x>.*) error: (?P<y>.*) failed"
    watch = Watch(log, patterns={"slow": slow, "line": r"line (?P<n>\d+)"})
    watch.look()
    log.write_bytes(b"line 1\na error: b failed\nline 2\n" + b" failed" + b" error: " * 8000 + end)
    os.utime(log, (time.time() - 60, time.time() - 60))
    begun = time.process_time()
    found = watch.look(later=5)
    assert time.process_time() - begun < 5
    assert [(record.signature, record.line_no) for record in found] == [("line", 1), ("slow", 2), ("line", 3)]
    assert watch.state["passed_over"] == 1
    assert watch.state["trouble"] == (f"{log}: 1 line was passed over that could not be matched in time by `{slow}`")
    with log.open("a") as file:
        file.write(("" if end else "\n") + "line 5\n")
    assert [record.line_no for record in watch.look(later=5)] == [5]
    if end:
        assert "trouble" not in watch.state


def test_many_such_lines_end_a_look_in_time_and_the_next_one_goes_on(log, monkeypatch):
    watch = Watch(log, patterns={"slow": "^(a+)+$", "line": r"line (?P<n>\d+)"})
    watch.look()
    log.write_bytes(b"line 1\n" + (b"a" * 40 + b"b\n") * 6 + b"line 8\n")
    monkeypatch.setattr(tail, "BUDGET", 0.5)
    monkeypatch.setattr(tail, "LEAST", 0.5)
    found, looks, passed_over = [], 0, 0
    while not looks or watch.state["behind"]:
        found += [record.line_no for record in watch.look()]
        looks += 1
        passed_over += watch.state.get("passed_over", 0)
    assert found == [1, 8]
    assert passed_over == 6
    assert 1 < looks < 16  # each takes in a line at least, however busy the host is


def test_the_beginning_of_an_endless_line_that_is_too_slow_is_passed_over(log):
    watch = Watch(log, patterns=("(?P<x>.*) error: (?P<y>.*) failed",))
    watch.look()
    log.write_bytes(b" failed" + b" error: " * 20_000 + b"\na error: b failed\n")
    assert [record.line_no for record in watch.look()] == [2]
    assert watch.state["passed_over"] == 1


def test_no_line_begins_where_a_carriage_return_was_the_last_thing_read(log):
    watch = Watch(log, patterns=("^FATAL",))
    watch.look()
    with log.open("ab", buffering=0) as file:
        file.write(b"user said: \rFA")
        assert watch.look() == []
        file.write(b"TAL\n")
        assert watch.look() == []
        file.write(b"FATAL\n")
        assert [record.line_no for record in watch.look()] == [2]


def test_no_line_begins_behind_a_carriage_return_at_which_a_block_ends(log):
    watch = Watch(log, patterns=("^FATAL",), from_="start")
    block = b"x" * 99 + b"\n"
    log.write_bytes(block * 2621 + b"y" * 43 + b"\r" + b"FATAL" + b"z" * 40_000 + b"\nFATAL\n")
    assert [record.line_no for record in watch.look()] == [2623]


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
        watch = Watch(tmp_path / "*", from_="start")
        assert watch.look() == []
        assert watch.state.get("trouble") == (None if kind == "directory" else f"{path} is no file, so it is not read")


def test_a_pipe_among_logs_is_told_at_every_look_while_the_logs_are_read(tmp_path):
    write(tmp_path / "a.log", 1)
    os.mkfifo(tmp_path / "b.log")
    (tmp_path / "null.log").symlink_to("/dev/null")
    (tmp_path / "zero.log").symlink_to("/dev/zero")
    said = "; ".join(f"{tmp_path / name} is no file, so it is not read" for name in ("b.log", "zero.log"))
    watch = Watch(tmp_path / "*.log", from_="start")
    assert (watch.numbers(), watch.state["trouble"]) == ([1], said)
    assert (watch.numbers(), watch.state["trouble"]) == ([], said)
    write(tmp_path / "a.log", 2)
    assert (watch.numbers(), watch.state["trouble"]) == ([2], said)
    (tmp_path / "b.log").unlink()
    (tmp_path / "zero.log").unlink()
    write(tmp_path / "b.log", 3)
    assert watch.numbers() == [3]
    assert "trouble" not in watch.state


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
