"""`slurm-recover` on a real Slurm: four slurmd, slurmdbd, MariaDB, munge."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
import slurm_accounting
from watching import Watching

import runbook

OOM = 'python3 -c "x=bytearray({size}<<20); import time; time.sleep(0.5)"'
TWICE = "echo x >> $SLURM_JOB_NAME.tries; [ $(wc -l < $SLURM_JOB_NAME.tries) -gt 2 ]"
ONCE = "[ -e $SLURM_JOB_NAME.been ] || {{ touch $SLURM_JOB_NAME.been; {first}; }}"
ARRAY = "f=arr.$SLURM_ARRAY_TASK_ID; [ -e $f ] && exit 0; touch $f; [ $SLURM_ARRAY_TASK_ID -gt 3 ]"


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    if lacks := slurm_accounting.lacking():
        pytest.skip(lacks)
    running = slurm_accounting.Accounted(tmp_path_factory.mktemp("slurm"))
    yield running
    running.close()


@pytest.fixture
def recover(cli, slurm):
    """The bundled runbook, which looks every second."""
    text = (Path(runbook.__file__).parent / "runbooks" / "slurm-recover.yaml").read_text()
    file = cli.write(
        "recover.yaml",
        re.sub(r"every: 30s( *#|$|,)", r"every: 1s\1", text, flags=re.MULTILINE).replace("follow: 30s", "follow: 1s"),
    )
    cli.env = {**cli.env, **slurm.env}
    return file


def lineages(slurm):
    """Each lineage's runs, in their order: (job, name, state, comment, start, end)."""
    found = {}
    for job, name, state, start, end, comment in slurm.rows("JobID", "JobName", "State", "Start", "End", "Comment"):
        mark = re.search(r"\[runbook first=(\S+)", comment)
        found.setdefault(mark[1] if mark else job, []).append((job, name, state, comment, start, end))
    return found


@pytest.mark.slow
def test_forty_jobs_end_well_with_the_least_attempts_and_the_others_are_named(cli, slurm, recover):
    send = lambda name, script, *options: slurm.submit(script, f"--job-name={name}", *options)  # noqa: E731
    with Watching(cli, recover, "-e", "job_name=train_*", env=slurm.env) as watch:
        watch.ready()
        lost = {
            "stays": send("train_lost", ONCE.format(first="sleep 60"), "--no-requeue", "--mem=20"),
            "again": send("train_requeued", ONCE.format(first="sleep 60"), "--requeue", "--mem=20"),
        }
        slurm.wait(lambda: all(_state(slurm, job) == "RUNNING" for job in lost.values()))
        (node,) = set(slurm("squeue", "-h", "-j", ",".join(lost.values()), "-o", "%N").split())
        slurm("scontrol", "update", f"NodeName={node}", "State=DRAIN", "Reason=it is about to die")
        slurm.kill(node)
        late = ONCE.format(first="exec sleep 60")
        limits = [send(f"train_late{n}", late, "--time=1", "--mem=20") for n in range(2)]
        traps = send(
            "train_trap",
            "trap 'exit 0' TERM; " + ONCE.format(first="while :; do sleep 0.1; done"),
            "--time=1",
            "--mem=20",
        )
        slurm.wait(lambda: all(_state(slurm, job) == "RUNNING" for job in (*limits, traps)))
        for job in (*limits, traps):
            slurm("scontrol", "update", f"JobId={job}", "EndTime=now+1")
        fine = [send(f"train_fine{n}", "sleep 0.2", "--mem=20") for n in range(10)]
        small = [send(f"train_oom{n}", OOM.format(size=45), "--mem=40") for n in range(4)]
        smaller = [send(f"train_oom2x{n}", OOM.format(size=70), "--mem=40") for n in range(2)]
        steps = [send(f"train_step{n}", f"srun {OOM.format(size=45)}; echo goes on", "--mem=40") for n in range(2)]
        twice = [send(f"train_twice{n}", TWICE, "--mem=20") for n in range(3)]
        never = send("train_never", "exit 3", "--mem=20")
        huge = send("train_huge", OOM.format(size=1100), "--mem=1000")
        array = send("train_array", ARRAY, "--array=1-6", "--mem=20")
        asked = send("train_asked", "sleep 60", "--mem=20")
        other = send("serve_other", "exit 1", "--mem=20")
        slurm.wait(lambda: _state(slurm, asked) == "RUNNING")
        slurm("scancel", asked)

        tasks = [f"{array}_{n}" for n in range(1, 7)]
        well = [*fine, *small, *smaller, *steps, *twice, *limits, traps, *tasks, lost["stays"]]

        def over():
            ends = lineages(slurm)
            told = {one["subject"] for one in watch.facts("incident.opened", detector="job needs a person")}
            return told == {never, huge} and all(job in ends and ends[job][-1][2] == "COMPLETED" for job in well)

        slurm.wait(over, within=120)
        time.sleep(3)
    ends = lineages(slurm)
    assert {job: ends[job][-1][2] for job in well} == dict.fromkeys(well, "COMPLETED")
    count = {job: len(ends[job]) for job in well}
    expected = {
        **dict.fromkeys(fine, 1), **dict.fromkeys([*small, *steps, *limits, traps], 2), **dict.fromkeys([*smaller, *twice], 3),
        **{f"{array}_{n}": 2 if n <= 3 else 1 for n in range(1, 7)}, lost["stays"]: 2,
    }  # fmt: skip
    assert {job: count[job] for job in expected} == expected
    assert "[runbook" not in "".join(run[3] for run in ends[lost["again"]]), "Slurm itself runs it again"
    assert {len(ends[never]), len(ends[huge]), len(ends[asked]), len(ends[other])} == {4, 1}
    sent = [fact["data"] for fact in watch.facts("step.ended")]
    assert any("1500 MiB on a node" in json.dumps(one) and "1200 MiB" in json.dumps(one) for one in sent)
    assert not any(runs[0][0] != job for job, runs in ends.items()), "each lineage begins with its own job"


def _state(slurm, job):
    return slurm("squeue", "-h", "-t", "all", "-j", job, "-o", "%T", check=False).strip()
