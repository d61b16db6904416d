"""Files that change are heard of: appended to, rotated, replaced, made where nothing was; and a flood is one word."""

import os
import time

import pytest
from hearing import Listener

from runbook.engine.fleet import here

AT_ONCE = 0.5  # seconds, on a machine that has other work; bench/watch.py measures it


@pytest.fixture
def listener(tmp_path):
    with here(str(tmp_path / "agent")) as hosts:
        yield Listener(hosts)


@pytest.fixture
def logs(tmp_path):
    place = tmp_path / "logs"
    place.mkdir()
    return place


def append(path, *lines):
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in lines))


def lines(found):
    return [record["line"] for record in found]


def test_a_line_that_is_appended_is_in_a_look_at_once(listener, logs):
    append(logs / "x.log", "begin")
    assert listener.watch("log", "log", paths=(f"{logs}/x.log",), patterns=("ERROR",)) is True
    took = []
    for number in range(7):
        began = time.monotonic()
        append(logs / "x.log", f"ERROR {number}")
        assert lines(listener.answer("log", bool)) == [f"ERROR {number}"]
        took.append(time.monotonic() - began)
        listener.quiet(0.05)
        listener.records("log")
    assert min(took) < AT_ONCE, took


def test_what_nobody_asked_for_is_not_told(listener, logs):
    append(logs / "x.log", "begin")
    listener.watch("log", "log", paths=(f"{logs}/x.log",), patterns=("ERROR",))
    append(logs / "other.log", "ERROR")
    (logs / "folder").mkdir()
    assert listener.quiet() == []


def test_our_own_looks_do_not_stir(listener, logs):
    append(logs / "x.log", "begin")
    (logs / "s.json").write_text("{}")
    listener.watch("log", "log", paths=(f"{logs}/*.log",), patterns=("ERROR",))
    listener.watch("file", "file", path=(f"{logs}/s.json", f"{logs}"), format="json")
    for _ in range(3):
        listener.look("log", "file")
    assert listener.quiet() == []


def test_every_way_to_rotate_is_heard_and_no_line_is_lost(listener, logs):
    log = logs / "x.log"
    append(log, "begin")
    listener.watch("log", "log", paths=(str(log),), patterns=("ERROR",))

    log.rename(logs / "x.log.1")
    append(logs / "x.log.1", "ERROR late")
    append(log, "ERROR renamed")
    found = []
    listener.answer("log", lambda records: found.extend(lines(records)) or len(found) == 2)
    assert sorted(found) == ["ERROR late", "ERROR renamed"]

    log.write_text("")
    append(log, "ERROR cut")
    assert lines(listener.answer("log", bool)) == ["ERROR cut"]

    log.unlink()
    append(log, "ERROR made again")
    assert lines(listener.answer("log", bool)) == ["ERROR made again"]


def test_a_log_whose_directories_do_not_exist_yet_is_heard_when_it_comes(listener, logs):
    path = logs / "a" / "b" / "x.log"
    assert listener.watch("log", "log", paths=(str(path),), patterns=("ERROR",)) is True
    (logs / "a").mkdir()
    listener.await_stir("log")
    listener.records("log")
    path.parent.mkdir()
    append(path, "ERROR first")
    assert lines(listener.answer("log", bool)) == ["ERROR first"]


def test_a_directory_that_is_replaced_is_heard_in_its_new_place(listener, logs):
    (logs / "run").mkdir()
    append(logs / "run" / "x.log", "begin")
    listener.watch("log", "log", paths=(f"{logs}/run/x.log",), patterns=("ERROR",))
    (logs / "run").rename(logs / "old")
    (logs / "run").mkdir()
    append(logs / "run" / "x.log", "ERROR new")
    assert lines(listener.answer("log", bool)) == ["ERROR new"]
    append(logs / "run" / "x.log", "ERROR again")
    assert lines(listener.answer("log", bool)) == ["ERROR again"]


def test_a_pattern_hears_of_files_and_directories_that_come(listener, logs):
    (logs / "rank0").mkdir()
    listener.watch("flat", "log", paths=(f"{logs}/*.log",), patterns=("ERROR",))
    listener.watch("deep", "log", paths=(f"{logs}/rank*/x.log",), patterns=("ERROR",))
    listener.watch("any", "log", paths=(f"{logs}/**/x.log",), patterns=("ERROR",))
    append(logs / "new.log", "ERROR flat")
    assert lines(listener.answer("flat", bool)) == ["ERROR flat"]
    (logs / "rank7").mkdir()
    append(logs / "rank7" / "x.log", "ERROR deep")
    assert lines(listener.answer("deep", bool)) == ["ERROR deep"]
    assert lines(listener.answer("any", bool)) == ["ERROR deep"]
    append(logs / "rank7" / "x.log", "ERROR more")
    assert lines(listener.answer("any", bool)) == ["ERROR more"]


def test_a_log_behind_links_is_heard_and_so_is_a_link_that_is_turned(listener, logs):
    for name in ("one", "two"):
        (logs / name).mkdir()
        append(logs / name / "x.log", "begin")
    (logs / "current").symlink_to("one")
    (logs / "x.log").symlink_to(logs / "current" / "x.log")
    listener.watch("log", "log", paths=(f"{logs}/x.log",), patterns=("ERROR",))
    append(logs / "one" / "x.log", "ERROR one")
    assert lines(listener.answer("log", bool)) == ["ERROR one"]
    (logs / "next").symlink_to("two")
    (logs / "next").rename(logs / "current")
    append(logs / "two" / "x.log", "ERROR two")
    assert lines(listener.answer("log", bool)) == ["ERROR two"]


def test_a_file_that_is_written_under_another_name_is_heard(listener, logs):
    elsewhere = logs / "elsewhere"
    elsewhere.mkdir()
    append(elsewhere / "real.log", "begin")
    os.link(elsewhere / "real.log", logs / "x.log")
    listener.watch("log", "log", paths=(f"{logs}/x.log",), patterns=("ERROR",))
    append(elsewhere / "real.log", "ERROR linked")
    assert lines(listener.answer("log", bool)) == ["ERROR linked"]


def test_a_json_file_that_is_replaced_in_one_piece_is_judged_at_once(listener, logs):
    path = logs / "s.json"
    path.write_text("{}")
    assert listener.watch("file", "file", path=(str(path),), format="json") is True
    for text, valid in (("{", False), ("{}", True)):
        (logs / "s.json.new").write_text(text)
        (logs / "s.json.new").rename(path)
        listener.answer("file", lambda found, valid=valid: found[0]["valid"] is valid)


def test_rights_and_removal_of_a_file_are_heard(listener, logs):
    path = logs / "token"
    path.write_text("x")
    path.chmod(0o600)
    listener.watch("file", "file", path=(str(path),))
    path.chmod(0o644)
    listener.answer("file", lambda found: found[0]["mode"] == "0644")
    path.unlink()
    listener.answer("file", lambda found: not found[0]["exists"])


def test_a_directory_and_a_pattern_of_directories_hear_of_what_is_below(listener, logs):
    (logs / "checkpoint-1" / "deep").mkdir(parents=True)
    assert listener.watch("files", "file", path=(f"{logs}/checkpoint-*",)) is True
    (logs / "checkpoint-1" / "deep" / "weights").write_text("x" * 10)
    listener.answer("files", lambda found: found[0]["size"] == 10)
    (logs / "checkpoint-2").mkdir()
    listener.answer("files", lambda found: found[0]["count"] == 2)


def test_numbers_that_stall_are_no_reason_to_hurry(listener, logs):
    (logs / "s.json").write_text('{"step": 1}')
    progress = {"json": f"{logs}/s.json", "field": "step"}
    assert listener.watch("progress", "progress", **progress) is None
    assert listener.watch("metric", "metric", **progress) is None
    (logs / "s.json").write_text('{"step": 2}')
    assert listener.quiet() == []


def test_a_flood_is_one_word_until_the_next_look(listener, logs):
    append(logs / "x.log", "begin")
    keys = [f"log {number}" for number in range(20)]
    for key in keys:
        listener.watch(key, "log", paths=(f"{logs}/x.log",), patterns=("ERROR",))
    listener.messages = 0
    for number in range(1000):
        append(logs / "x.log", f"line {number}")
    assert sorted(listener.quiet()) == sorted(keys)
    assert listener.messages <= 3, "what stirs together is told together"
    listener.look(*keys)
    append(logs / "x.log", "one more")
    assert sorted(listener.quiet()) == sorted(keys)


def test_what_stirs_all_the_time_is_looked_at_less_and_less_often(listener, logs):
    append(logs / "x.log", "begin")
    listener.watch("log", "log", paths=(f"{logs}/x.log",), patterns=("ERROR",))
    looks, until = 0, time.monotonic() + 1.5
    while time.monotonic() < until:
        append(logs / "x.log", "line")
        if listener.stirred:
            listener.stirred.clear()
            listener.records("log")
            looks += 1
        listener._receive(0.001)
    assert 4 <= looks <= 25
