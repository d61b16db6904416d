"""What Slurm prints, of several versions, and what no Slurm ever printed: read exactly or not at all."""

from __future__ import annotations

import math
import resource
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook.modules.slurm import accounts, evidence, lineage, queue, submission, units
from runbook.modules.slurm.lineage import Mark

S = queue.SEPARATOR
G = 1 << 30


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4000M", (4000 << 20, "")), ("4Gn", (4 * G, "n")), ("1.50Gc", (1610612736, "c")), ("1080K", (1080 << 10, "")),
        ("0", (0, "")), ("", (None, "")), ("8G/node", (8 * G, "")), ("?", (None, "")), ("-4G", (None, "")),
    ],
)  # fmt: skip
def test_memory_is_read_with_its_unit(text, expected):
    assert units.memory(text) == expected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1-02:03:04", 93784), ("2-00", 172800), ("2-12:30", 217800), ("1:00:00", 3600), ("5:00", 300), ("90", 5400),
        ("00:00:01.500", 1), ("UNLIMITED", math.inf), ("INFINITE", math.inf), ("Partition_Limit", None), ("INVALID", None),
        ("", None), ("N/A", None), ("-5", None),
    ],
)  # fmt: skip
def test_limits_and_times_are_read(text, seconds):
    assert units.duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CANCELLED by 1000", ("cancelled", "1000")), ("CANCELLED+", ("cancelled", None)), ("OUT_OF_ME+", ("out_of_memory", None)),
        ("NODE_FAIL", ("node_fail", None)), ("TO", ("timeout", None)), ("COMPL+", (None, None)), ("COMPLETI+", ("completing", None)),
        ("R", ("running", None)), ("XYZZY", (None, None)), ("", (None, None)),
    ],
)  # fmt: skip
def test_states_are_read_where_a_column_was_too_narrow_as_well(text, expected):
    assert units.state(text) == expected


def test_a_moment_with_a_zone_is_the_same_moment():
    assert units.moment("2026-11-22T18:47:14") == units.moment("2026-11-22T19:47:14+01:00") == 1795373234.0
    assert [units.moment(text) for text in ("Unknown", "None", "N/A", "0")] == [None] * 4


def row(job, **told):
    fields = dict(zip(accounts.COLUMNS, [""] * len(accounts.COLUMNS), strict=True))
    fields |= {
        "JobID": job,
        "JobIDRaw": job.split(".")[0],
        "User": "ml",
        "NNodes": "1",
        "AllocCPUS": "1",
        "State": "COMPLETED",
    }
    fields |= {"ExitCode": "0:0", "Start": "100", "Submit": "90", "End": "200", **told}
    return S.join(fields.values()) + "\n"


def test_a_name_with_the_end_of_a_line_and_a_separator_is_one_name():
    jobs = accounts.parsed(row("1", JobName=f"a\nb|c{S}d") + row("2"))
    assert [(job.id, job.name) for job in jobs] == [("1", f"a\nb|c{S}d"), ("2", "")]


def test_memory_is_that_of_a_node_whatever_the_version():
    told = (
        row("1", ReqMem="200M", NNodes="2")
        + row("2", ReqMem="4Gn", NNodes="2")
        + row("3", ReqMem="1Gc", AllocCPUS="8", NNodes="2")
    )
    assert [job.memory for job in accounts.parsed(told)] == [100 << 20, 4 * G, 4 * G]


def test_of_several_runs_of_a_requeued_job_the_last_one_counts():
    told = (
        row("1", State="NODE_FAIL", Start="100")
        + row("1.batch", State="CANCELLED")
        + row("1", Submit="300", Start="400", End="500")
    )
    (job,) = accounts.parsed(told)
    assert (job.state, job.runs, job.parts) == ("completed", 2, ())


def test_a_command_line_is_taken_apart_and_its_own_options_are_left_out():
    line = "sbatch --parsable --comment=my tag -d afterok:3 --mem=4G -n 4 --gres=gpu:2 -a 1-9%3 -J run run.sh a b"
    options, path, args = submission.split(line, "#!/bin/sh\n", "/home/me/run.sh a b", "run", "/home/me")
    assert (path, args) == ("run.sh", ["a", "b"])
    assert submission.kept(options) == ["-n", "4", "--gres=gpu:2"]


def test_a_wrapped_command_is_not_taken_for_options():
    script = "#!/bin/sh\n# This script was created by sbatch --wrap.\n\npython a.py --mem=3 -x\n"
    options, path, args = submission.split(
        "sbatch --wrap python a.py --mem=3 -x --mem=30 -p gpu", script, "", "wrap", "/"
    )
    assert (options, path, args) == (["--mem=30", "-p", "gpu"], "", [])


def test_nodes_are_told_one_by_one():
    assert evidence.names("r[1-2]n[08-09],gpu12") == ["r1n08", "r1n09", "r2n08", "r2n09", "gpu12"]


words = st.text(alphabet=st.characters(codec="utf-8"), max_size=40)


@given(people=words, why=words, attempt=st.integers(1, 99), tries=st.integers(0, 99), held=st.booleans())
def test_a_mark_that_is_written_is_read_again(people, why, attempt, tries, held):
    mark = Mark("12_3", "14", attempt, tries=tries, best=1.5, bad=("n1", "n2"), held=held, why=why)
    found, said = lineage.read(lineage.written(people, mark))
    assert found is not None
    assert (found.first, found.after, found.attempt, found.tries, found.best, found.bad, found.held) == (
        "12_3", "14", attempt, tries, 1.5, ("n1", "n2"), held
    )  # fmt: skip
    assert said == people.strip()


@settings(max_examples=300)
@given(st.text(alphabet="0123456789-:.KMGTnc[],_+*()|=abUNLIMTED \n" + S, max_size=200))
def test_what_no_slurm_prints_is_read_without_a_fault(text):
    for read in (
        units.memory,
        units.duration,
        units.moment,
        units.state,
        units.exit_code,
        evidence.names,
        lineage.read,
    ):
        read(text)
    queue.parsed(text)
    accounts.parsed(text)
    queue.parsed(f"7{S}" * 19 + text)
    accounts.parsed(f"7{S}" * (len(accounts.COLUMNS) - 1) + text)
    submission.kept(submission._options(text.split(" ")))


def test_ten_thousand_jobs_are_read_in_time_and_space():
    told = "".join(
        row(str(n), State="FAILED" if n % 100 == 0 else "COMPLETED", ReqMem="4G", Partition="gpu")
        + row(f"{n}.batch", MaxRSS="1G")
        for n in range(1, 10_001)
    )
    began, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    jobs = accounts.parsed(told)
    assert len(jobs) == 10_000
    assert time.process_time() - began < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150 * 1024
