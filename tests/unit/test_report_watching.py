"""The log of a watch: a line for each fact that matters, at its level; repeats are folded, files may be rotated."""

from __future__ import annotations

import io
import json
import os
import resource
import sys

import pytest

from runbook.engine.errors import UserError
from runbook.engine.journal.facts import Fact
from runbook.engine.report.log_lines import LogLines
from runbook.engine.report.paint import Paint
from runbook.engine.report.watching import FOLD, WatchLog, watching

NOW = 1_767_225_600.0
BEGUN = {"runbook": "web", "detectors": 3, "hosts": ["gpu01", "gpu02"], "every": 30.0}
OPENED = {"fields": {"status": 0, "error": "connection refused"}, "when": "status != 200", "since": NOW - 30.0}


def fact(kind, after=0.0, run="r1", host="gpu01", **about):
    named = {
        name: about.pop(name) for name in ("detector", "subject", "incident", "operation", "step") if name in about
    }
    return Fact(kind, NOW + after, run, host, **named, data=about)


def server(kind, after=0.0, **data):
    return fact(kind, after, detector="server down", subject="vllm", incident="5c1f0a2e", **data)


def log(form="text", verbosity=0, redact=lambda text: text, paint=None, stamped=True):
    stream = io.StringIO()
    made = WatchLog(form, LogLines(stream), paint or Paint(), verbosity=verbosity, redact=redact, clock=lambda: NOW)
    made.stamped = stamped
    return made, stream


def said(facts, **how):
    """What is printed of facts, without the times."""
    made, stream = log(**how)
    for each in facts:
        made.fact(each)
    made.close()
    return [line.partition(" ")[2] if how.get("stamped", True) else line for line in stream.getvalue().splitlines()]


def test_a_fault_and_its_recovery_are_told_in_lines_that_can_be_searched_for():
    step = {"module": "restart_daemon", "title": "restart vllm", "status": "done", "changed": True, "duration": 2.0,
            "rung": 0, "phase": "recover", "actions": [{"action": "run", "what": "systemctl restart vllm"}]}  # fmt: skip
    facts = [
        fact("run.begun", host="", **BEGUN),
        server("incident.opened", **OPENED),
        server("decided", guards=[]),
        server("recovery.begun", strategy="sequence"),
        server("incident.changed", **{"from": "open", "to": "recovering", "reason": ""}),
        server("step.ended", 2.0, **step),
        server("incident.ended", 9.0, to="cured", reason="", opened=NOW),
    ]
    assert said(facts) == [
        "info    web: watched from now on: 3 detectors on 2 hosts, every 30s",
        "warning gpu01 web · server down · vllm: opened: status 0 (held for 30s) [5c1f0a2e]",
        "info    gpu01 web · server down · vllm: its recovery begins [5c1f0a2e]",
        "info    gpu01 web · server down · vllm: did rung 1: restart vllm: run systemctl restart vllm (2s) [5c1f0a2e]",
        "info    gpu01 web · server down · vllm: cured after 9s [5c1f0a2e]",
    ]


@pytest.mark.parametrize(
    ("kind", "data", "line"),
    [
        ("incident.ended", {"to": "unhealed", "reason": "all rungs were in vain", "opened": NOW - 60.0},
         "error   gpu01 server down · vllm: unhealed after 1m: all rungs were in vain (runbook explain 5c1f0a2e)"),
        ("guard.refused", {"guard": "cooldown", "reason": "cooldown until 12:00"},
         "warning gpu01 server down · vllm: not recovered now: cooldown until 12:00 [5c1f0a2e]"),
        ("guard.refused", {"guard": "mode", "reason": "its mode is observe"},
         "info    gpu01 server down · vllm: only observed: its mode is observe [5c1f0a2e]"),
        ("incident.changed", {"to": "waiting", "reason": "waits for approval"},
         "warning gpu01 server down · vllm: waits for approval (runbook approve 5c1f0a2e)"),
        ("approval.given", {"by": "ann@desk", "reason": "go"}, "info    gpu01 server down · vllm: approved by ann@desk: go [5c1f0a2e]"),
        ("incident.acked", {"by": "ann@desk", "reason": ""}, "info    gpu01 server down · vllm: acked by ann@desk [5c1f0a2e]"),
        ("incident.opened", {"first": NOW - 3600.0, "again": "aaaa", "fields": {"status": 0}, "when": "status != 200"},
         "warning gpu01 server down · vllm: opened again: status 0 (so for 1h) [5c1f0a2e]"),
        ("notified", {"unsent": True, "message": "it is down"},
         "info    gpu01 server down · vllm: told nobody (there is no channel): it is down [5c1f0a2e]"),
        ("rung.vain", {"rung": 0}, "warning gpu01 server down · vllm: in vain rung 1 did not cure it [5c1f0a2e]"),
        ("incident.folded", {"root": "aaaa", "root_host": "gpu02", "root_detector": "xid"},
         "info    gpu01 server down · vllm: follows from `xid` on gpu02 (aaaa) [5c1f0a2e]"),
        ("incident.resumed", {"state": "verifying", "opened": NOW - 5.0},
         "info    gpu01 server down · vllm: goes on with it: verifying for 5s [5c1f0a2e]"),
    ],
)  # fmt: skip
def test_what_becomes_of_an_incident_is_told_with_what_to_type(kind, data, line):
    assert said([server(kind, **data)]) == [line]


@pytest.mark.parametrize(
    ("told", "line"),
    [
        (fact("host.unreachable", reason="no route to host"), "warning gpu01: does not answer: no route to host"),
        (fact("host.reached"), "info    gpu01: answers again"),
        (fact("look.unknown", detector="gpu hot", reason="nvidia-smi hangs"), "warning gpu01 gpu hot: can't be asked: nvidia-smi hangs"),
        (fact("look.seen", detector="gpu hot"), "info    gpu01 gpu hot: can be asked again"),
        (fact("operation.ended", operation="build", state="failed", error="exit 1\nno gcc"), "error   gpu01 `build`: failed: exit 1; no gcc"),
        (fact("watch.degraded", host="", message="the disk is full", level="error"), "error   the disk is full"),
        (fact("maintenance.begun", host="", hosts="gpu*", by="ann@desk", reason="fans", until=None),
         "info    maintenance of gpu* by ann@desk: fans"),
        (fact("maintenance.ended", host="", hosts="gpu*"), "info    the maintenance of gpu* is over"),
        (fact("watch.new", host="", message="all is well", level="info"), "info    all is well"),
        (fact("channel.told", channel="ops", status="failed", reason="403"), "warning gpu01: channel ops was not told: 403"),
    ],
)  # fmt: skip
def test_what_happens_to_hosts_and_to_the_watch_is_told(told, line):
    assert said([told]) == [line]


def test_what_a_failed_step_printed_last_stands_below_it():
    step = server("step.ended", module="shell", title="mend", status="failed", error="exit 3", output="a\nb\nc\nd\x1b[2J\n",
                  phase="recover", rung=0)  # fmt: skip
    assert said([step])[1:] == ["error       b", "error       c", "error       d\\x1b[2J"]


def test_quiet_tells_what_is_wrong_and_verbose_tells_the_decisions():
    facts = [server("incident.opened", **OPENED), server("decided", guards=[{"guard": "mode", "ok": True}]),
             server("incident.ended", to="cured", opened=NOW)]  # fmt: skip
    assert [line.split()[0] for line in said(facts, verbosity=-1)] == ["warning"]
    assert [line.split()[0] for line in said(facts)] == ["warning", "info"]
    assert [line.split()[0] for line in said(facts, verbosity=1)] == ["warning", "debug", "info"]


def test_the_same_line_is_said_once_in_ten_minutes_and_its_repeats_are_counted():
    again = [fact("look.unknown", after, detector="gpu hot", reason="nvidia-smi hangs") for after in range(0, 310, 10)]
    later = fact("host.reached", FOLD + 1.0, host="gpu02")
    anew = fact("look.unknown", FOLD + 2.0, detector="gpu hot", reason="nvidia-smi hangs")
    lines = said([*again, later, anew])
    assert lines[0] == lines[3] == "warning gpu01 gpu hot: can't be asked: nvidia-smi hangs"
    assert lines[1].startswith("warning said 30 times more since ")
    assert lines[1].endswith(": gpu01 gpu hot: can't be asked: nvidia-smi hangs")
    assert lines[2] == "info    gpu02: answers again"


def test_two_incidents_are_never_folded_into_one_line_nor_what_the_watch_says_of_itself():
    twice = [
        fact("incident.opened", after, detector="ill", incident=name) for after, name in ((0, "aaaa"), (5, "bbbb"))
    ]
    assert len(said(twice)) == 2
    assert len(said([fact("watch.reloaded", host="", message="read anew", level="info")] * 3)) == 3


def test_nothing_is_collected_however_long_it_runs():
    made, _ = log()
    for number in range(5000):
        made.fact(fact("run.begun", host="", run=f"r{number}", **{**BEGUN, "runbook": f"b{number % 7}"}))
        made.fact(fact("look.unknown", number / 100, run=f"r{number}", detector=f"d{number}", reason="?"))
    sizes = [len(value) for value in vars(made).values() if hasattr(value, "__len__")]
    assert max(sizes) <= 500


def test_a_reload_is_one_line_and_an_end_is_told_when_nothing_follows():
    begun, ended = fact("run.begun", host="", **BEGUN), fact("run.ended", host="")
    assert [line.partition(": ")[2].partition(":")[0] for line in said([begun, ended, begun, ended])] == [
        *("watched from now on", "read anew", "watched no more"),
    ]


def test_secrets_and_control_characters_stay_out():
    facts = [fact("watch.odd", host="", message="token hf_secret \x1b[31m\nred", level="error")]
    assert said(facts, redact=lambda text: text.replace("hf_secret", "***")) == ["error   token *** \\x1b[31m; red"]


def test_jsonl_is_the_fact_with_its_level_and_its_words():
    made, stream = log("jsonl")
    made.fact(fact("run.begun", host="", **BEGUN))
    made.fact(server("incident.opened", **OPENED))
    made.fact(server("look.well"))
    made.close()
    begun, opened = map(json.loads, stream.getvalue().splitlines())
    assert (begun["event"], begun["runbook"], begun["level"]) == ("run.begun", "web", "info")
    assert (opened["event"], opened["host"], opened["incident"], opened["runbook"]) == (
        *("incident.opened", "gpu01", "5c1f0a2e", "web"),
    )
    assert (opened["level"], opened["message"]) == ("warning", "opened: status 0 (held for 30s)")
    assert opened["data"]["fields"]["status"] == 0


def test_for_the_systemd_journal_lines_have_a_priority_and_no_time(tmp_path, monkeypatch):
    with (tmp_path / "out").open("w+") as stream:
        there = os.fstat(stream.fileno())
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setenv("JOURNAL_STREAM", f"{there.st_dev}:{there.st_ino}")
        with watching() as made:
            made.fact(fact("host.unreachable", reason="no route"))
            made.fact(fact("host.reached"))
            made.fact(fact("watch.odd", host="", message="lost", level="error"))
        stream.seek(0)
        assert stream.read() == "<4>gpu01: does not answer: no route\n<6>gpu01: answers again\n<3>lost\n"


def test_a_file_that_is_rotated_is_opened_anew_without_a_signal(tmp_path):
    path = tmp_path / "watch.log"
    with watching(file=str(path)) as made:
        made.fact(fact("host.unreachable", reason="one"))
        path.rename(tmp_path / "watch.log.1")
        made.fact(fact("host.unreachable", reason="two"))
        path.unlink()
        made.fact(fact("host.unreachable", reason="three"))
    assert "one" in (tmp_path / "watch.log.1").read_text()
    assert path.read_text().count("\n") == 1
    assert "three" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_log_that_can_t_be_opened_is_refused_at_the_start(tmp_path):
    with (
        pytest.raises(UserError, match="the log can't be written: no such file or directory"),
        watching(file=str(tmp_path / "no" / "log")),
    ):
        pass


def test_lines_that_a_full_disk_takes_are_counted_and_it_goes_on(tmp_path):
    path = tmp_path / "log"
    lines = LogLines(sys.stdout, str(path))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))  # no file has room for a byte more
    try:
        lines.write("one")
        lines.write("two")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)  # there is room again
    lines.write("three")
    lines.close()
    assert path.read_text() == "2 lines of this log were lost: they could not be written\nthree\n"


@pytest.fixture(params=["link", "dangling", "fifo", "read fifo", "device", "directory"])
def put(request):
    """Put something into a path that is no regular file."""
    opened = []

    def made(path):
        if request.param == "link":
            (path.parent / "theirs").touch()
            path.symlink_to(path.parent / "theirs")
        elif request.param == "dangling":
            path.symlink_to(path.parent / "nowhere")
        elif request.param == "device":
            path.symlink_to("/dev/null")
        elif request.param == "directory":
            path.mkdir()
        else:
            os.mkfifo(path)
            if request.param == "read fifo":
                opened.append(os.open(path, os.O_RDONLY | os.O_NONBLOCK))

    yield made
    for each in opened:
        os.close(each)


def test_what_is_no_regular_file_is_refused_at_the_start(tmp_path, put):
    put(tmp_path / "log")
    with pytest.raises(UserError, match="the log can't be written: it is no regular file"):
        LogLines(sys.stdout, str(tmp_path / "log"))


def test_what_takes_the_place_of_the_log_neither_hangs_the_watch_nor_gets_its_lines(tmp_path, put):
    path = tmp_path / "log"
    lines = LogLines(sys.stdout, str(path))
    lines.write("one")
    path.rename(tmp_path / "log.1")
    put(path)
    lines.write("two")
    lines.write("three")
    said = f"{path} is another file now, which is not written in: the log can't be written: it is no regular file"
    assert (tmp_path / "log.1").read_text() == f"one\n{said}\ntwo\nthree\n"
    path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    lines.write("four")
    lines.close()
    assert path.read_text() == "four\n"
    assert not (tmp_path / "nowhere").exists()
    assert not (tmp_path / "theirs").exists() or (tmp_path / "theirs").read_text() == ""
