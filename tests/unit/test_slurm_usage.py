"""What jobs used, as accountings of several versions tell it, and what to ask for: pure, and fuzzed."""

from __future__ import annotations

import csv
import io

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook.engine.cli.slurm import command
from runbook.engine.errors import UserError
from runbook.engine.model import NotSeen, Record, Seen
from runbook.engine.report import slurm_usage as shown
from runbook.engine.report.looks import Answer
from runbook.engine.report.paint import Paint
from runbook.modules.probes.slurm_usage import SlurmUsage
from runbook.modules.slurm import advice, kinds, usage

S = usage.SEPARATOR
G = 1 << 30


def row(job, **told):
    fields = dict.fromkeys(usage.COLUMNS, "")
    fields |= {"JobID": job, "User": "ml", "Partition": "gpu", "State": "COMPLETED", "ElapsedRaw": "3600"}
    fields |= {"TimelimitRaw": "600", "ReqMem": "8G", "ReqCPUS": "4", "AllocCPUS": "4", "NNodes": "1", "End": "5"}
    return S.join({**fields, "JobName": "train_1", **told}.values()) + "\n"


def run(**told):
    (one,) = usage.parsed(row("1", TotalCPU="00:00:01"))
    return one._replace(**{"peak": 6 * G, **told})


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("train_7", "train_*"), ("train_8", "train_*"), ("run.3-2026", "run.*-*"), ("llama-7b", "llama-7b"), ("gpt2", "gpt2"),
        ("7", "*"), ("resnet50_fold_3", "resnet50_fold_*"), ("", ""), ("épreuve_4", "épreuve_*"),
    ],
)  # fmt: skip
def test_a_number_that_stands_alone_counts_jobs_of_a_kind(name, kind):
    assert kinds.kind(name) == kind


def test_a_single_name_is_shown_as_it_is():
    assert [name for name, _ in kinds.grouped([run(name="train_7"), run(name="train_7")], "name")] == ["train_7"]


@pytest.mark.parametrize(
    ("told", "seconds"),
    [("00:00.448", 0.448), ("02:03.500", 123.5), ("1-00:00:01", 86401), ("", None), ("INVALID", None)],
)
def test_short_cpu_times_are_told_to_the_millisecond(told, seconds):
    peak = row("1.batch", MaxRSS="1M")
    (one,) = usage.parsed(row("1", TotalCPU=told) + peak)
    assert one.cpu_time == (pytest.approx(seconds) if seconds is not None else None)


@pytest.mark.parametrize(
    ("asked", "nodes", "cpus", "on_a_node"),
    [("8G", "2", "8", 4 * G), ("4Gn", "2", "8", 4 * G), ("1Gc", "2", "8", 4 * G), ("0", "1", "4", None), ("?", "1", "4", None)],
)  # fmt: skip
def test_memory_asked_for_is_that_of_a_node_whatever_the_version(asked, nodes, cpus, on_a_node):
    (one,) = usage.parsed(row("1", ReqMem=asked, NNodes=nodes, AllocCPUS=cpus))
    assert one.memory == on_a_node


def test_a_requeued_job_has_each_run_with_its_own_steps():
    told = row("1", State="NODE_FAIL") + row("1.batch", MaxRSS="1G") + row("1") + row("1.batch", MaxRSS="2G")
    assert [(one.state, one.peak) for one in usage.parsed(told)] == [("node_fail", G), ("completed", 2 * G)]


def test_more_than_was_had_is_suggested_though_the_sampled_peak_of_what_ran_out_is_small():
    runs = [run(), run(state="out_of_memory", memory=16 * G, peak=G)]
    assert advice.memory(runs, 95, 20).suggested == 24 * G


def test_nothing_is_suggested_below_what_others_ran_out_of():
    runs = [run(elapsed=60.0)] * 30 + [run(state="timeout", elapsed=36000.0, limit=36000.0)]
    assert advice.time(runs, 95, 20).suggested == 54000


def test_enough_stays_as_it_is():
    told = advice.memory([run(peak=int(7.5 * G))], 95, 20)
    assert (told.suggested, told.why) == (8 * G, "it is used, and enough")


def test_what_would_not_have_been_enough_is_counted():
    runs = [run(peak=G)] * 97 + [run(peak=6 * G)] * 3
    assert advice.memory(runs, 95, 20).why.endswith("; 3 would not have had enough")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["completed", "out_of_memory", "timeout", "failed", "cancelled"]),
                          st.none() | st.integers(1, 64 * G), st.none() | st.integers(1, 64 * G),
                          st.integers(0, 10**6), st.none() | st.integers(1, 10**6)), min_size=1, max_size=30),
       st.floats(1, 100), st.floats(0, 300))  # fmt: skip
def test_a_suggestion_is_enough_for_its_share_and_for_more_than_what_ran_out(told, quantile, headroom):
    runs = [run(state=state)._replace(memory=memory, peak=peak, elapsed=elapsed, limit=limit)
            for state, memory, peak, elapsed, limit in told]  # fmt: skip
    for what, out, asks, uses in (
        ("memory", "out_of_memory", "memory", "peak"),
        ("time", "timeout", "limit", "elapsed"),
    ):
        found = getattr(advice, what)(runs, quantile, headroom)
        done = [value for one in runs if one.state == "completed" and (value := getattr(one, uses)) is not None]
        short = [max(getattr(one, asks) or 0, getattr(one, uses) or 0) for one in runs if one.state == out]
        if found.suggested is None:
            assert not done
            continue
        assert found.why
        assert all(found.suggested >= each for each in short)
        if done:
            enough = sum(value <= max(found.suggested, found.used or 0) for value in done)
            assert enough >= len(done) * quantile / 100 - 1e-9


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.text(max_size=8), min_size=16, max_size=18), max_size=4), st.text(max_size=40))
def test_whatever_is_printed_is_read_or_left_out(cells, noise):
    told = "\n".join(S.join([str(number), *row]) for number, row in enumerate(cells)) + "\n" + noise
    for one in usage.parsed(told):
        assert one.elapsed >= 0
        assert one.nodes >= 1


def answered(told):
    probe = SlurmUsage()
    runs = usage.parsed(told)
    records = [probe._record(kind, mine) for kind, mine in kinds.grouped(runs, "name")]
    fields = [{name: getattr(one, name) for name in one.__dataclass_fields__} for one in records]
    return Answer(Seen(tuple(Record(each["kind"], each) for each in fields)))


def test_the_table_for_spreadsheets_has_no_formula_and_no_control_character():
    told = row("1", JobName="=cmd|' /C calc'!A0") + row("2", JobName="a\x1b[31m,b")
    columns = ("kind", "jobs", "gpus_asked")
    rows = list(csv.reader(io.StringIO(shown.table({"here": answered(told)}, columns, alone=True))))
    assert rows[0] == list(columns)
    assert sorted(rows[1:]) == [["'=cmd|' /C calc'!A0", "1", ""], ["a\\x1b[31m,b", "1", ""]]


def test_hosts_are_a_column_where_there_are_several_and_one_that_is_silent_is_told_beside():
    answers = {"b": answered(row("1")), "a": Answer(NotSeen("the Slurm accounting does not answer: down"))}
    assert shown.table(answers, ("kind",), alone=False).splitlines() == ["host,kind", "b,train_1"]
    assert list(shown.silent(answers)) == ["a: unknown: the Slurm accounting does not answer: down"]
    assert shown.exit_code(answers) == 4


def test_people_see_what_is_to_be_changed_and_why():
    told = (
        row("1")
        + row("1.batch", MaxRSS="2G")
        + row("2", State="OUT_OF_MEMORY", JobName="train_2")
        + row("3", JobName="\x1b[2J")
    )
    text = "\n".join(shown.text(Paint(columns=100), {"localhost": answered(told)}, 20, alone=True))
    assert "  memory     8 GiB    2 GiB     12 GiB  1 of 2 ran out of memory with 8 GiB" in text
    assert "\x1b" not in text
    assert "4 in jobs that did not complete" in text


def test_what_nobody_knows_is_a_dash():
    text = "\n".join(shown.text(Paint(), {"localhost": answered(row("1"))}, 20, alone=True))
    assert "  memory     8 GiB        -          -  the accounting" in text
    assert "This accounting knows no peaks" in text


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--since", "2d", "--until", "3d"], "--until: the time ends before it begins"),
        (["--state", "complete"], "did you mean `completed`?"),
        (["--since", "yesterday"], "such as 7d or 2026-11-20T10:00"),
        (["12x"], "`12x` is no job's id"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else "",
)
def test_wrong_words_are_told_before_anything_is_asked(words, told):
    with pytest.raises((UserError, click.UsageError)) as caught:
        command.main(["report", *words], standalone_mode=False)
    assert told in str(getattr(caught.value, "message", None) or caught.value)
