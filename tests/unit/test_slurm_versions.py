"""What sacct, squeue, scontrol and sinfo of Slurm 20.11 to 25.x print, with values of our own; read exactly or not at all.

The formats are those that the versions' manual pages and public reports show; 22.05 was run. What was
recorded elsewhere is in test_slurm_recorded.py.
"""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook.modules.golden.host import FakeHost
from runbook.modules.slurm import accounts, evidence, queue, seeing, units

S = queue.SEPARATOR
G, M = 1 << 30, 1 << 20
START, END = 1795370000, 1795373600


def sacct(job, **told):
    """One row of sacct, with all columns."""
    fields = dict.fromkeys(accounts.COLUMNS, "")
    fields |= {"JobID": job, "JobIDRaw": job.partition("_")[0], "User": "ml", "State": "COMPLETED", "ExitCode": "0:0"}
    fields |= {"ElapsedRaw": "3600", "TimelimitRaw": "120", "AllocCPUS": "8", "NNodes": "1", "NodeList": "gpu01"}
    fields |= {"Submit": str(START - 60), "Start": str(START), "End": str(END), "Partition": "gpu", "JobName": "train"}
    return S.join({**fields, **told}.values()) + "\n"


def squeue(job, state="PENDING", **told):
    """One row of squeue, with all columns."""
    names = ("id", "raw", "user", "state", "reason", "partition", "account", "limit", "used", "memory", "cpus", "nodes")
    fields = dict.fromkeys((*names, "names", "submit", "start", "end", "dependency", "comment", "name"), "")
    fields |= {
        "id": job,
        "raw": job.partition("_")[0],
        "user": "ml",
        "state": state,
        "limit": "2:00:00",
        "used": "0:00",
    }
    fields |= {"memory": "4G", "cpus": "8", "nodes": "1", "submit": str(START), "start": "N/A", "dependency": "(null)"}
    return S.join({**fields, **told}.values()) + "\n"


@pytest.mark.parametrize(
    ("version", "told", "memory"),
    [
        ("20.11, a node", {"ReqMem": "4000Mn", "NNodes": "2"}, 4000 * M),
        ("20.11, a CPU", {"ReqMem": "2Gc", "NNodes": "2"}, 8 * G),
        ("20.11, the whole node", {"ReqMem": "0n"}, None),
        ("20.11, odd", {"ReqMem": "2.50Gn"}, 5 * G // 2),
        ("21.08 on, the job", {"ReqMem": "16G", "NNodes": "2"}, 8 * G),
        ("22.05", {"ReqMem": "40M"}, 40 * M),
        ("23.02, odd", {"ReqMem": "125.50G"}, round(125.5 * G)),
        ("24.05, none", {"ReqMem": "0"}, None),
        ("any, unknown", {"ReqMem": "?"}, None),
        ("any, NO_VAL64", {"ReqMem": "18446744073709551614M"}, None),
        ("any, NO_VAL64 in other units", {"ReqMem": "16E"}, None),
    ],
)
def test_memory_that_was_asked_for(version, told, memory):
    (job,) = accounts.parsed(sacct("7", **told))
    assert job.memory == memory, version


@pytest.mark.parametrize(
    ("text", "peak"),
    [("3284K", 3284 << 10), ("1.50G", 3 * G // 2), ("468500K", 468500 << 10), ("1234567", 1234567), ("0", 0), ("", None), ("16?", None)],
)  # fmt: skip
def test_peaks_of_steps_are_bytes_whatever_their_unit(text, peak):
    (job,) = accounts.parsed(sacct("7") + sacct("7.batch", MaxRSS=text) + sacct("7.extern", MaxRSS=""))
    assert job.peak == peak


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CANCELLED by 100278", ("cancelled", "100278")), ("CANCELLED by ann", ("cancelled", "ann")), ("CANCELLED", ("cancelled", None)),
        ("CANCELLED by+", ("cancelled", None)), ("OUT_OF_ME+", ("out_of_memory", None)), ("NODE_FAIL", ("node_fail", None)),
        ("LAUNCH_FAILED", ("launch_failed", None)), ("DEADLINE", ("deadline", None)), ("PREEMPTED", ("preempted", None)),
        ("RESIZING", ("resizing", None)), ("REVOKED", ("revoked", None)), ("STAGE_OUT", ("stage_out", None)), ("REQUEUE_HOLD", ("requeue_hold", None)),
        ("running", ("running", None)), ("COMPLETING*", ("completing", None)), ("OOM", ("out_of_memory", None)), ("EXPEDITING", (None, None)),
        ("1024", (None, None)), ("CANCELL", (None, None)),
    ],
)  # fmt: skip
def test_states_of_all_versions(text, expected):
    assert units.state(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0:125", (0, 125)), ("1:0", (1, 0)), ("137:0", (137, 0)), ("42", (42, 0)), ("4294967294:0", (None, None)), ("0:4294967295", (None, None)),
        ("None", (None, None)), ("-1:0", (None, None)), ("INVALID", (None, None)),
    ],
)  # fmt: skip
def test_exit_codes_that_are_none_are_none(text, expected):
    assert units.exit_code(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1795373234", 1795373234.0), ("2026-11-22T18:47:14", 1795373234.0), ("2026-11-22T18:47:14Z", 1795373234.0),
        ("2026-11-22T19:47:14+01:00", 1795373234.0), ("Unknown", None), ("None", None), ("N/A", None), ("0", None), ("4294967294", None),
        ("Tomorr 12:33", None), ("Ystday 10:00", None), ("22 Nov 18:47", None), ("²", None),
    ],
)  # fmt: skip
def test_moments_in_the_formats_of_slurm_time_format(text, expected):
    assert units.moment(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("UNLIMITED", math.inf),
        ("Partition_Limit", None),
        ("INVALID", None),
        ("4294967294", None),
        ("120", 7200),
        ("365-00:00:00", 31536000),
    ],
)
def test_limits_that_are_none_are_none(text, expected):
    assert units.duration(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("billing=64,cpu=9,gres/gpu:a100_3g.20gb=1,gres/gpu=1,mem=60G,node=1", 1), ("cpu=8,gres/gpu:a100=4,gres/gpu:v100=2,node=1", 6),
        ("cpu=8,gres/gpu=8,mem=1T,node=2", 8), ("cpu=1,gres/gpumem=80G,gres/gpuutil=100,node=1", 0), ("cpu=1,gres/shard=4", 0),
        ("", None), ("N/A", None),
    ],
)  # fmt: skip
def test_gpus_that_were_given(text, expected):
    assert units.gpus(text) == expected


def test_a_job_that_never_ran_was_nowhere_and_took_no_time():
    never = sacct(
        "7",
        State="CANCELLED by 1000",
        ElapsedRaw="0",
        NNodes="2",
        NodeList="None assigned",
        Start="Unknown",
        AllocCPUS="0",
    )
    (job,) = accounts.parsed(never + "7_[9201-10000%500]" + S + never.partition(S)[2])
    assert (job.nodes, job.elapsed, job.started, job.by, job.gpus) == ("", 0, None, "1000", None)


def test_arrays_heterogeneous_jobs_and_all_kinds_of_steps_are_told_apart():
    told = (
        sacct("15_3", JobIDRaw="18", State="FAILED", ExitCode="1:0") + sacct("15_3.batch", State="FAILED") + sacct("15_3.extern")
        + sacct("13+0", JobIDRaw="13") + sacct("13+0.batch") + sacct("13+0.0+1", State="OUT_OF_MEMORY", ExitCode="0:125")
        + sacct("13+1", JobIDRaw="14") + sacct("20") + sacct("20.interactive") + sacct("15_[4-9%2]", State="PENDING")
    )  # fmt: skip
    jobs = {job.id: job for job in accounts.parsed(told)}
    assert {name: job.raw for name, job in jobs.items()} == {"15_3": "18", "13+0": "13", "13+1": "14", "20": "20"}
    assert [part.name for part in jobs["13+0"].parts] == ["batch", "0+1"]
    assert [part.name for part in jobs["20"].parts] == ["interactive"]
    waiting = queue.parsed(squeue("15_4") + squeue("13+1") + squeue("16_[3-5%2]"))
    assert [job.id for job in waiting] == ["15_4", "13+1"]


SCONTROL = (  # scontrol show job -o; fields of 22.05, 23.11 (Restarts, StdErr behind others), 25.05
    "JobId=7 JobName=a b=c UserId=ml(1000) JobState=FAILED Reason=NonZeroExitCode WorkDir=/home/ml StdErr=/home/ml/e r.out StdIn=/dev/null StdOut=/home/ml/o.out Power=",
    "JobId=7 JobName=a JobState=FAILED StdErr=/home/ml/e r.out StdIn=/dev/null StdOut=/home/ml/o.out",
    "JobId=18 ArrayJobId=7 ArrayTaskId=3 JobState=FAILED StdErr=/home/ml/e r.out StdIn=/dev/null StdOut=/home/ml/o.out TresPerTask=cpu=4 MailUser=x",
)  # fmt: skip


@pytest.mark.parametrize("line", SCONTROL)
def test_where_a_job_writes_is_told_by_every_version(line):
    host = FakeHost(answers={"run": {"scontrol --oneliner show job 7": line + "\n"}})
    (job,) = accounts.parsed(sacct("7"))
    assert evidence.outputs(host, job) == ("/home/ml/e r.out", "/home/ml/o.out")


CHATTER = st.sampled_from(
    [
        "sbatch: Warning: can't honor --ntasks-per-node",
        "lua: job 7 goes to gpu",
        "slurm_load_jobs error: Unable to contact",
        "",
        "7",
        "\x1b[2J",
        "²" + S,
    ]
)


@settings(max_examples=60)
@given(st.lists(st.one_of(CHATTER, st.sampled_from(["row", "step", "cut"])), max_size=8), st.data())
def test_rows_between_which_others_write_are_read_or_unknown_and_never_another_job(parts, data):
    text = ""
    whole = set()
    for number, part in enumerate(parts):
        row = sacct(str(1000 + number), State="FAILED", ExitCode="1:0")
        if part == "row":
            whole.add(str(1000 + number))
            text += row
        elif part == "cut":
            text += row[: data.draw(st.integers(1, len(row) - 2))] + "\n"
        else:
            text += f"{part if part != 'step' else sacct('1000.batch').rstrip()}\n"
    jobs = accounts.parsed(text)
    assert {job.id for job in jobs} <= {str(1000 + number) for number in range(8)} | {"7"}
    assert all(job.state in {"failed", "unknown"} for job in jobs)
    seeing.Wanted(names=("*",)).take(jobs[0], None, "", "") if jobs else None


@settings(max_examples=100)
@given(st.text(max_size=30))
def test_no_text_is_a_fault(text):
    for read in (
        units.memory,
        units.duration,
        units.moment,
        units.state,
        units.exit_code,
        units.gpus,
        units.count,
        evidence.names,
    ):
        read(text)
    queue.parsed(squeue("7", text))
    accounts.parsed(sacct("7", State=text, ReqMem=text, NNodes=text, AllocCPUS=text, End=text, ExitCode=text))
