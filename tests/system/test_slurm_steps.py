"""`requeue` and `cancel` on a real Slurm: under its own id, only what is not well, and never what a person ended."""

from __future__ import annotations

import pytest

ONCE = "f=been.$SLURM_JOB_NAME; [ -e $f ] && exit 0; touch $f; exit 1"


@pytest.fixture
def run(cli, slurm):
    cli.env = {**cli.env, **slurm.env}
    return lambda step, job: cli("run", step, f"job={job}")


def state(slurm, job):
    return slurm("squeue", "-h", "-t", "all", "-j", job, "-o", "%T").strip()


def test_what_failed_runs_again_under_its_own_id_and_what_is_well_does_not(run, slurm):
    job = slurm.submit(ONCE, "--job-name=steps_requeue", "--mem=20")
    slurm.wait(lambda: state(slurm, job) == "FAILED")
    assert run("requeue", job).exit_code == 0
    slurm("scontrol", "update", f"JobId={job}", "StartTime=now")  # Slurm itself waits two minutes with it
    slurm.wait(lambda: state(slurm, job) == "COMPLETED", told=lambda: state(slurm, job))
    again = run("requeue", job)
    assert again.exit_code == 2
    assert f"job {job} is completed" in " ".join((again.out + again.err).split())


def test_a_cancelled_job_ends_and_is_given_back_by_nobody_but_a_person(run, slurm):
    job = slurm.submit("sleep 60", "--job-name=steps_cancel", "--mem=20")
    slurm.wait(lambda: state(slurm, job) == "RUNNING")
    assert run("cancel", job).exit_code == 0
    assert state(slurm, job) == "CANCELLED"
    assert run("cancel", job).exit_code == 0, "one that is over is left as it is"
    for step in ("requeue", "resubmit"):
        refused = run(step, job)
        assert refused.exit_code == 2
        assert f"job {job} was cancelled" in " ".join((refused.out + refused.err).split())
    waits = slurm.submit("true", "--job-name=steps_waits", "--mem=20", "--hold")
    assert run("requeue", waits).exit_code == 0, "one that waits is left as it is"
    assert state(slurm, waits) == "PENDING"
    assert run("cancel", waits).exit_code == 0
    assert state(slurm, waits) == "CANCELLED"
