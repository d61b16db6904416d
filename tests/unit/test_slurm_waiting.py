"""Jobs that wait for one that was sent again, whose mark counts, and what several looks of one tick ask."""

from __future__ import annotations

import itertools
import os
import threading

import pytest

from runbook.modules.declare import Unclear
from runbook.modules.host import Host
from runbook.modules.slurm import accounts, asked, queue, seeing, waiting

S = queue.SEPARATOR
TICKS = itertools.count()  # their answers are shared by all processes of one parent


@pytest.mark.parametrize(
    ("depends", "old", "left", "index", "now"),
    [
        ("afterok:5(failed)", "5", [], "", "afterok:9"),
        ("afterok:5:6(unfulfilled),afterany:4(unfulfilled)", "5", [], "", "afterok:9:6,afterany:4"),
        ("after:5+10(unfulfilled)", "5", [], "", "after:9"),
        ("afterok:55(unfulfilled)", "5", [], "", "afterok:55"),
        ("afterok:5_1(failed):5_2(failed)", "5_1", [], "", "afterok:9:5_2"),
        ("afterok:5_*(failed)", "5_1", ["5_2", "5_7"], "", "afterok:5_2:5_7:9"),
        ("afterany:5_*(unfulfilled)", "5_1", [], "", "afterany:9"),
        ("afternotok:5_*(unfulfilled)", "5_1", ["5_2"], "", "afternotok:5_*"),
        ("aftercorr:5_*(failed)", "5_1", ["5_2"], "1", "afterok:9"),
        ("aftercorr:5_*(failed)", "5_1", ["5_2"], "2", "aftercorr:5_*"),
        ("aftercorr:5_*:7_*(failed)", "5_1", [], "1", "aftercorr:7_*,afterok:9"),
        ("afterok:4(failed)?afterok:5(failed)", "5", [], "", "afterok:4?afterok:9"),
        ("singleton(unfulfilled)", "5", [], "", "singleton"),
    ],
)
def test_who_waits_for_a_job_that_was_sent_again_waits_for_the_new_one(depends, old, left, index, now):
    assert waiting.moved(depends, old, "9", left, index) == now


def row(job, **told):
    fields = {"JobID": job, "JobIDRaw": job, "User": "ml", "State": "FAILED", "Start": "100", "End": "200", **told}
    return S.join(fields.get(name, "") for name in accounts.COLUMNS) + "\n"


def test_a_comment_with_the_end_of_a_line_loses_no_job():
    jobs = accounts.parsed(row("1", JobName="a") + row("2", Comment="two\nlines\n3 of them", JobName="b") + row("3"))
    assert [(job.id, job.name, job.comment) for job in jobs] == [
        ("1", "a", ""),
        ("2", "b", "two\nlines\n3 of them"),
        ("3", "", ""),
    ]


def seen(*rows):
    found = seeing._newest(accounts.parsed("".join(rows)), seeing.Wanted(), {}, {})
    return {one.first: one.job.id for one in found}


def test_a_mark_counts_where_the_user_is_the_same():
    mine = row("5", User="ml")
    assert seen(mine, row("9", User="ml", Comment="[runbook first=5 after=5 attempt=2]")) == {"5": "9"}
    assert seen(mine, row("9", User="eve", Comment="[runbook first=5 after=5 attempt=2]")) == {"5": "5", "9": "9"}


def test_the_parts_of_one_job_are_one_lineage_told_by_the_part_that_failed():
    well = {"State": "COMPLETED"}
    assert seen(row("7+0", JobIDRaw="7"), row("7+1", JobIDRaw="8")) == {"7+0": "7+0"}
    assert seen(row("7+0", JobIDRaw="7", **well), row("7+1", JobIDRaw="8")) == {"7+0": "7+1"}


def looks(answer, count=3):
    """What as many looks of one tick get that begin while the first is still asking, and how often was asked."""
    begun, found, calls, tick = threading.Event(), [], [], f"{os.getpid()}-{next(TICKS)}"

    def ask():
        calls.append(1)
        begun.wait(5)
        return answer()

    def look():
        try:
            found.append(asked.once(Host(moment={}), "squeue", (tick,), 0.0, ask))
        except Unclear as error:
            found.append(str(error))

    threads = [threading.Thread(target=look) for _ in range(count)]
    for thread in threads:
        thread.start()
    begun.set()
    for thread in threads:
        thread.join(10)
    return found, len(calls)


def test_looks_of_one_tick_ask_once_and_see_the_same():
    jobs = accounts.parsed(row("1") + row("1.0", State="OUT_OF_MEMORY"))
    assert looks(lambda: jobs) == ([jobs, jobs, jobs], 1)


def test_what_could_not_be_told_is_not_asked_again_by_each():
    def unclear():
        raise Unclear("it does not answer")

    assert looks(unclear) == (["it does not answer"] * 3, 1)


def test_a_look_that_reaches_further_back_asks_for_itself():
    host, starts = Host(moment={}), []
    for start in (100.0, 200.0, 50.0):
        asked.once(host, "sacct", (), start, lambda start=start: starts.append(start) or [])
    assert starts == [100.0, 50.0]
