"""The journal as a source: a real journald, its filters, its rotation, and what it can't say in text."""

import json
import time

import journald
import pytest

from runbook.modules.declare import Absent
from runbook.modules.host import Host
from runbook.modules.logs import journal
from runbook.modules.probes.log import Log


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    if journald.lacking():
        pytest.skip(journald.lacking())
    place = tmp_path_factory.mktemp("journal")
    daemon = journald.Journald(place)
    yield daemon
    daemon.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """A file's time follows an entry a little later: ask whatever it is."""
    monkeypatch.setattr(journal, "AGAIN", 0.0)


class Watch:
    def __init__(self, daemon, from_="end", patterns=("error",), **wanted):
        self.probe = Log(patterns=patterns, journal={"directory": str(daemon.directory), **wanted}, from_=from_)
        self.state = {}

    def look(self):
        host = Host(remembered=json.loads(json.dumps(self.state)))
        records = list(self.probe.look(host))
        self.state = host.kept
        return [record.line for record in records]


def test_entries_come_up_once_and_the_first_look_begins_at_the_end(daemon):
    daemon.send("error of yesterday")
    watch = Watch(daemon)
    assert watch.look() == []
    daemon.send("error 1", "all is well", "error 2")
    assert watch.look() == ["error 1", "error 2"]
    assert watch.look() == []
    daemon.send("error 3")
    assert watch.look() == ["error 3"]


def test_a_record_tells_where_and_when(daemon):
    watch = Watch(daemon)
    watch.look()
    daemon.send("error now")
    host = Host(remembered=watch.state)
    [record] = watch.probe.look(host)
    assert (record.path, record.line_no, record.signature) == ("journal", None, "error")
    assert abs(record.time - host.now()) < 30


def test_filters_are_those_of_journalctl(daemon):
    only, urgent = Watch(daemon, identifier="trainer"), Watch(daemon, priority="err", identifier=("trainer", "vllm"))
    assert only.look() == urgent.look() == []
    daemon.send("error of vllm", identifier="vllm", priority=3)
    daemon.send("error of a trainer", identifier="trainer", priority=6)
    assert only.look() == ["error of a trainer"]
    assert urgent.look() == ["error of vllm"]


def test_a_first_look_takes_in_what_is_wanted_of_what_is_there(daemon):
    daemon.send("error a", "error b", "error c", identifier="early")
    assert Watch(daemon, from_="start", identifier="early").look() == ["error a", "error b", "error c"]
    assert Watch(daemon, from_="last 2 lines", identifier="early").look() == ["error b", "error c"]
    assert Watch(daemon, from_="since 1h", identifier="early").look() == ["error a", "error b", "error c"]


def test_bytes_that_are_no_text_and_messages_of_several_lines_are_lines(daemon):
    watch = Watch(daemon)
    watch.look()
    daemon.send(b"error \xff\x00 7", "\x1b[31merror\x1b[0m 8\nnothing\nerror 9")
    assert watch.look() == ["error \ufffd  7", "error 8", "error 9"]


def test_a_traceback_among_entries_of_others_is_one_record(daemon):
    watch = Watch(daemon, patterns={"any": "train.py", "oom": "OutOfMemoryError", "other": "chatter"})
    watch.look()
    frames = [
        "Traceback (most recent call last):",
        '  File "train.py", line 7, in <module>',
        ("cron", "chatter"),
        "    main()",
    ]
    daemon.send(*frames, "torch.OutOfMemoryError: CUDA out of memory")
    assert sorted(watch.look()) == ["chatter", "torch.OutOfMemoryError: CUDA out of memory"]
    assert watch.look() == []


def test_a_cursor_whose_entry_was_vacuumed_goes_on_with_what_is_left(daemon):
    watch = Watch(daemon)
    watch.look()
    daemon.send("error before")
    assert watch.look() == ["error before"]
    daemon.vacuum()
    daemon.send("error behind")
    assert watch.look() == ["error behind"]


def test_a_cursor_that_journalctl_refuses_is_replaced_by_the_time(daemon):
    watch = Watch(daemon)
    watch.look()
    daemon.send("error seen")
    assert watch.look() == ["error seen"]
    watch.state["journal"]["cursor"] = "of another age"
    daemon.send("error new")
    assert watch.look() == ["error new"]


def test_a_look_takes_in_so_many_entries_and_the_next_one_goes_on(daemon, monkeypatch):
    watch = Watch(daemon)
    watch.look()
    daemon.send(*(f"error {number}" for number in range(25)))
    monkeypatch.setattr(journal, "MOST", 10)
    found, looks = watch.look(), 1
    while watch.state["behind"]:
        found += watch.look()
        looks += 1
    assert found == [f"error {number}" for number in range(25)]
    assert looks > 0


def test_a_journal_that_was_not_written_to_is_not_asked(daemon, monkeypatch):
    watch = Watch(daemon)
    watch.look()
    daemon.send("nothing")
    time.sleep(0.5)  # the file's time has followed
    watch.look()
    monkeypatch.setattr(journal, "AGAIN", 60.0)
    monkeypatch.setattr(journal, "_answer", None)  # would be called
    assert watch.look() == []


def test_a_host_without_a_journal_lacks_it(tmp_path):
    with pytest.raises(Absent, match="there is no journal"):
        list(Log(patterns=("x",), journal={"directory": str(tmp_path)}).look(Host()))
