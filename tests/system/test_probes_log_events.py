"""Events of several lines in logs that are being written: one record each, however looks and blocks cut them."""

import json
import threading
import time

import pytest
from log_watch import Watch

from runbook.modules.host import Host
from runbook.modules.logs import reading
from runbook.modules.logs.unended import LONGEST
from runbook.modules.probes.log import Log

FRAMES = 'Traceback (most recent call last):\n  File "train.py", line 7, in <module>\n    main()\n'
FINAL = "torch.OutOfMemoryError: CUDA out of memory\n"
PATTERNS = {"frame": "train.py", "oom": "OutOfMemoryError", "line": r"line (?P<n>\d+)$"}


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "train.log"
    path.touch()
    return path


@pytest.fixture
def watch(log):
    watch = Watch(log, patterns=PATTERNS)
    assert watch.look() == []
    return watch


def append(log, text):
    with log.open("a") as file:
        file.write(text)


def names(records):
    return [record.signature for record in records]


def test_a_traceback_is_one_record_at_its_last_line(log, watch):
    append(log, "line 1\n" + FRAMES + FINAL + "line 2\n")
    assert [(record.signature, record.line_no) for record in watch.look()] == [("line", 1), ("oom", 5), ("line", 6)]
    assert watch.look() == []


def test_a_traceback_that_is_being_written_is_waited_for(log, watch):
    append(log, FRAMES)
    writer = threading.Timer(0.4, append, (log, FINAL))
    writer.start()
    found = names(watch.look())
    writer.join()
    assert found == ["oom"]
    assert watch.look() == []


def test_a_whole_traceback_at_the_end_of_a_log_that_is_written_all_the_time_does_not_wait_for_silence(log, watch):
    done = threading.Event()

    def chatter():
        while not done.is_set():
            append(log, "[other] chatter\n")
            time.sleep(0.02)

    append(log, "".join(f"[rank0]: {line}\n" for line in (FRAMES + FINAL).splitlines()))
    thread = threading.Thread(target=chatter)
    thread.start()
    try:
        assert names(watch.look()) == ["oom"]
    finally:
        done.set()
        thread.join()
    assert watch.look() == []


def test_a_traceback_that_breaks_off_is_taken_as_it_stands_and_its_rest_is_no_news(log, watch):
    append(log, FRAMES)
    assert names(watch.look(later=5)) == ["frame"]
    assert watch.look(later=6) == []
    append(log, FINAL + "line 2\n")
    assert names(watch.look(later=7)) == ["line"]


def test_a_traceback_in_which_nothing_matched_so_far_is_news_once_it_does(log):
    watch = Watch(log, patterns={"oom": "OutOfMemoryError"})
    watch.look()
    append(log, FRAMES)
    assert watch.look(later=5) == []
    append(log, FINAL)
    assert names(watch.look(later=9)) == ["oom"]
    assert watch.look(later=12) == []


def test_a_traceback_over_the_end_of_a_block_is_one_record(log, watch, monkeypatch):
    monkeypatch.setattr(reading, "BLOCK", 64)
    append(log, "x\n" * 20 + FRAMES + FINAL + "line 2\n")
    assert names(watch.look()) == ["oom", "line"]


def test_tracebacks_of_ranks_that_fall_into_each_other_are_one_record_each(log, watch):
    ranks = [[f"[rank{rank}]: {line}\n" for line in (FRAMES + FINAL).splitlines()] for rank in range(8)]
    append(log, "".join(line for lines in zip(*ranks, strict=True) for line in lines) + "line 9\n")
    assert names(watch.look()) == ["oom"] * 8 + ["line"]


def test_a_traceback_without_an_end_holds_nothing_up_for_ever(log, watch):
    append(log, FRAMES + "    x\n" * 3000 + "line 1\n")
    assert names(watch.look()) == ["frame", "line"]


OOM = [
    ["kill", r"Killed process (?P<pid>\d+)", "root", 1, "oom"],
    ["context", r"oom-kill:.*task_memcg=(?P<task_memcg>[^,]*)", None, 1, "oom"],
    ["begun", r"(?P<comm>\S+) invoked oom-killer", None, 1, "oom"],
]
REPORT = [
    "python invoked oom-killer: gfp_mask=0x1",
    *["x"] * 60,
    "oom-kill:constraint=1,task_memcg=/job_7,task=y",
    "Memory cgroup out of memory: Killed process 77 (python)",
]


class Kernel(Watch):
    def __init__(self, *paths):
        super().__init__(*paths)
        self.probe = Log(tuple(map(str, paths)), signatures=("oom",), _catalogue={"patterns": OOM})


def test_a_report_is_one_record_named_by_the_first_pattern_with_the_groups_of_all(log):
    watch = Kernel(log)
    watch.look()
    append(log, "\n".join(REPORT) + "\n")
    [record] = watch.look()
    assert (record.signature, record.role, record.line_no) == ("kill", "root", 63)
    assert (record.pid, record.task_memcg, record.comm) == (77, "/job_7", "python")


def test_a_report_that_is_being_written_is_waited_for(log):
    watch = Kernel(log)
    watch.look()
    append(log, "\n".join(REPORT[:30]) + "\n")
    writer = threading.Timer(0.2, append, (log, "\n".join(REPORT[30:]) + "\n"))
    writer.start()
    found = watch.look()
    writer.join()
    assert [(record.signature, record.pid) for record in found] == [("kill", 77)]


def test_a_report_that_went_on_after_a_look_is_no_second_record(log):
    watch = Kernel(log)
    watch.look()
    append(log, "\n".join(REPORT[:30]) + "\n")
    assert names(watch.look(later=1)) == ["begun"]
    append(log, "\n".join(REPORT[30:]) + "\n")
    assert watch.look(later=2) == []


def test_two_kills_that_follow_each_other_are_two_records(log):
    watch = Kernel(log)
    watch.look()
    append(log, "\n".join([*REPORT, *REPORT]) + "\n")
    assert [(record.signature, record.line_no) for record in watch.look()] == [("kill", 63), ("kill", 126)]


def test_lines_of_one_match_may_come_in_two_looks(log):
    known = {"patterns": [["bus", r"(?s)The GPU (?P<pci>\S+).{0,99}?fallen off the bus", None, 3, ""]]}
    probe = Log((str(log),), signatures=("bus",), _catalogue=known)
    host = Host()
    assert list(probe.look(host)) == []
    append(log, "The GPU 0000:b3:00.0\n(PCI ID) installed has\n")
    host = Host(remembered=json.loads(json.dumps(host.kept)))
    assert list(probe.look(host)) == []
    append(log, "fallen off the bus\n")
    host = Host(remembered=json.loads(json.dumps(host.kept)))
    assert [(record.pci, record.line_no) for record in probe.look(host)] == [("0000:b3:00.0", 3)]


@pytest.mark.parametrize("block", [1, 7, 64, 1000])
def test_blocks_of_any_length_make_the_same_records(log, watch, monkeypatch, block):
    ranks = [[f"[rank{rank}]: {line}\n" for line in (FRAMES + FINAL).splitlines()] for rank in range(3)]
    text = "".join(line for lines in zip(*ranks, strict=True) for line in lines)
    text = "line 1\r\nstep\r" + text + FRAMES + FINAL + "line 3\n" + text + "[rank1]: line 4\n"
    append(log, text)
    monkeypatch.setattr(reading, "BLOCK", block)
    found = watch.look()
    assert sorted(names(found)) == sorted(["line"] * 3 + ["oom"] * 7)
    assert [r.line_no for r in found if r.signature == "oom"] == [11, 12, 13, 17, 28, 29, 30]


def test_an_endless_traceback_hides_nothing_of_what_comes_after_its_bounds(log, watch):
    append(log, FRAMES + "    line 5\n" * 600 + "line 6\n")
    found = watch.look()
    assert len(found) == 1 + 600 - (LONGEST - 3) + 1
    assert (found[-1].signature, found[-1].n) == ("line", 6)
