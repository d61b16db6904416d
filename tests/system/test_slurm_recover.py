"""`slurm-recover` on a real Slurm: four slurmd, slurmdbd, MariaDB, munge."""

from __future__ import annotations

import json
import re

import pytest
import slurm_lineages
from watching import Watching

OOM = 'python3 -c "x=bytearray({size}<<20); import time; time.sleep(0.5)"'
TWICE = "echo x >> $SLURM_JOB_NAME.tries; [ $(wc -l < $SLURM_JOB_NAME.tries) -gt 2 ]"
ONCE = "[ -e $SLURM_JOB_NAME.been ] || {{ touch $SLURM_JOB_NAME.been; {first}; }}"
ARRAY = "f=arr.$SLURM_ARRAY_TASK_ID; [ -e $f ] && exit 0; touch $f; [ $SLURM_ARRAY_TASK_ID -gt 3 ]"


@pytest.mark.slow
def test_forty_jobs_end_well_with_the_least_attempts_and_the_others_are_named(cli, slurm):  # noqa: PLR0915 -- one cluster, one wait
    recover = slurm_lineages.book(cli, slurm)
    send = lambda name, script, *options: slurm.submit(script, f"--job-name={name}", *options)  # noqa: E731
    with Watching(cli, recover, "-e", "job_name=train_*", env=slurm.env) as watch:
        slurm_lineages.began(watch)
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
        killed = send("train_killed", ONCE.format(first="kill -9 $$"), "--mem=20")
        asked = send("train_asked", "sleep 60", "--mem=20")
        other = send("serve_other", "exit 1", "--mem=20")
        slurm.wait(lambda: _state(slurm, asked) == "RUNNING")
        slurm("scancel", asked)

        tasks = [f"{array}_{n}" for n in range(1, 7)]
        well = [*fine, *small, *smaller, *steps, *twice, *limits, traps, killed, *tasks, lost["stays"]]

        def missing():
            ends = slurm_lineages.runs(slurm)
            ended = {job: [run.state for run in ends.get(job, ())] for job in well}
            told = {one["subject"] for one in watch.facts("incident.opened", detector="job needs a person")}
            left = {job: states for job, states in ended.items() if states[-1:] != ["COMPLETED"]}
            return left if told == {never, huge} else {**left, "told": told, "should": (never, huge)}

        slurm.wait(lambda: not missing(), within=120, told=missing)
        slurm.node(node)
        verdicts = {
            one["subject"]: one["data"]["fields"]["verdict"]
            for one in watch.facts("incident.opened", detector="job failed")
        }
    slurm("scontrol", "update", f"NodeName={node}", "State=RESUME")
    ends = slurm_lineages.runs(slurm)
    assert {job: ends[job][-1].state for job in well} == dict.fromkeys(well, "COMPLETED")
    count = {job: len(ends[job]) for job in well}
    expected = {
        **dict.fromkeys(fine, 1), **dict.fromkeys([*small, *steps, *limits, traps, killed], 2), **dict.fromkeys([*smaller, *twice], 3),
        **{f"{array}_{n}": 2 if n <= 3 else 1 for n in range(1, 7)}, lost["stays"]: 2,
    }  # fmt: skip
    assert {job: count[job] for job in expected} == expected
    assert "[runbook" not in "".join(run.comment for run in ends[lost["again"]]), "Slurm itself runs it again"
    assert verdicts == {
        **dict.fromkeys([*small, *smaller, *steps, huge], "oom_host"), **dict.fromkeys([*limits, traps], "timeout"),
        **dict.fromkeys([*twice, never, *tasks[:3]], "failed"), killed: "killed_unknown", lost["stays"]: "node",
    }  # fmt: skip
    assert not slurm_lineages.twice_at_once(ends)
    assert not slurm_lineages.sent_after_success(ends)
    assert {len(ends[never]), len(ends[huge]), len(ends[asked]), len(ends[other])} == {4, 1}
    sent = [fact["data"] for fact in watch.facts("step.ended")]
    refused = [json.dumps(one) for one in sent if "on a node" in json.dumps(one)]
    needed = [re.search(r"would need (\d+) MiB on a node, and .*1200 MiB", one) for one in refused]
    assert any(one and 1500 <= int(one[1]) <= 1510 for one in needed), (
        refused
    )  # 1.5 times the 1000 that it had, and took
    assert not any(runs[0].job != job for job, runs in ends.items() if "+" not in job), (
        "each lineage begins with its own job"
    )


def _state(slurm, job):
    return slurm("squeue", "-h", "-t", "all", "-j", job, "-o", "%T", check=False).strip()
