"""Jobs of several users of a real Slurm: who sees them, whose output is read, and who may send them again."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

ANN, BOB = "games", "daemon"  # users that every Debian has
OOM = 'python3 -c "x=bytearray(60<<20); import time; time.sleep(0.3)"'
CUDA = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB"
DETECTORS = """
name: users
hosts: all
every: 1s
detectors:
  - name: failed
    slurm: {{names: ["{prefix}*"], since: 1h, healthy: false, users: {users}}}
    when: verdict in ['oom_host', 'failed', 'oom_gpu'] and held == ''
    clear: state == 'completed' and verdict is none
    recover: [{{resubmit: {{multiply: {{memory: 2}}}}}}]
    verify: {{every: 1s, within: 1m}}
"""


class Person:
    """One user's own directory, which nobody else may enter, and what they do with Slurm."""

    def __init__(self, slurm, name, home):
        self.slurm, self.name, self.home = slurm, name, home
        self.account = pwd.getpwnam(name)
        home.mkdir(mode=0o700)
        os.chown(home, self.account.pw_uid, self.account.pw_gid)

    def __call__(self, *argv, **env):
        own = {"PATH": "/usr/bin:/bin", "HOME": str(self.home), "USER": self.name, "LOGNAME": self.name}
        done = subprocess.run(
            argv, user=self.account.pw_uid, group=self.account.pw_gid, extra_groups=[], cwd=self.home, text=True,
            env={**own, **self.slurm.env, **env}, capture_output=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def submit(self, name, script, *options, **env):
        file = self.home / f"{name}.sh"
        file.write_text(f"#!/bin/bash\n{script}\n")
        file.chmod(0o700)
        os.chown(file, self.account.pw_uid, self.account.pw_gid)
        return self("sbatch", "--parsable", f"--job-name={name}", "--mem=40", *options, str(file), **env)


@pytest.fixture
def people(slurm):
    with tempfile.TemporaryDirectory(prefix="home-") as home:
        Path(home).chmod(0o755)
        yield Person(slurm, ANN, Path(home) / "ann"), Person(slurm, BOB, Path(home) / "bob")
        slurm("scancel", f"--user={ANN}", check=False)
        slurm("scancel", f"--user={BOB}", check=False)
        slurm.wait(lambda: not slurm("squeue", "-h", f"--user={ANN},{BOB}", "-t", "R,CG,PD"))


@pytest.fixture
def runbook(slurm, cli):
    """The command line as root, or as another user by sudo, where Slurm's configuration is in its usual place."""
    agents = Path(tempfile.mkdtemp(prefix="agents-"))
    agents.chmod(0o1777)

    def call(*words, become=None):
        host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        if become is None:
            inventory = cli.write("inventory.json", json.dumps({"all": {"hosts": {"login": host}}}))
            return cli(*words, "-i", inventory, env=slurm.env)
        host |= {
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_become": True,
            "ansible_become_user": become,
        }
        inventory = cli.write("inventory.json", json.dumps({"all": {"hosts": {"login": host}}}))
        line = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/slurm && exec "$@"', str(slurm.place)]
        done = subprocess.run(
            [*line, sys.executable, "-m", "runbook", *map(str, words), "-i", str(inventory)],
            env={**cli.env, "RUNBOOK_AGENT_DIR": f"{agents}/agent"}, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        return SimpleNamespace(exit_code=done.returncode, out=done.stdout, err=done.stderr)

    yield call
    shutil.rmtree(agents)


def over(slurm, *jobs):
    """Wait until jobs have ended and the accounting knows it."""

    def known():
        rows = dict(slurm.rows("JobID", "State"))
        return all(job in rows and rows[job].split(" ")[0] not in {"RUNNING", "PENDING", "COMPLETING"} for job in jobs)

    slurm.wait(known)


def seen(done):
    """Return the records of one host's `probe`, by the job."""
    (host,) = json.loads(done.out)["hosts"].values()
    assert host["status"] == "seen", host
    return {record["fields"]["job_id"]: record["fields"] for record in host["records"]}


def test_root_sends_a_users_job_again_as_that_user_with_what_it_was_sent_with(slurm, people, runbook, cli):
    ann, bob = people
    script = f"echo $USER $HOME $PWD $TOKEN $(id -un) $SLURM_GPUS_ON_NODE >> {{0}}/seen; {OOM}"
    mine = ann.submit("pu_oom", script.format(ann.home), "--gres=gpu:a100:2", TOKEN="a b")
    fine = bob.submit("pu_fine", "exit 0")
    over(slurm, mine, fine)
    file = cli.write("users.yaml", DETECTORS.format(prefix="pu_", users="[]"))
    done = runbook("apply", file, "--wait", "40s")
    assert done.exit_code == 0, done.out + done.err
    runs = [
        row
        for row in slurm.rows("JobID", "JobName", "User", "State", "ReqMem", "AllocTRES", "WorkDir")
        if row[1] == "pu_oom"
    ]
    assert [row[2:5] for row in runs] == [[ANN, "OUT_OF_MEMORY", "40M"], [ANN, "COMPLETED", "80M"]]
    assert "gres/gpu=2" in runs[1][5]
    assert {row[6] for row in runs} == {str(ann.home)}
    assert (ann.home / "seen").read_text() == f"{ANN} {ann.home} {ann.home} a b {ANN} 2\n" * 2
    assert [row[3] for row in slurm.rows("JobID", "JobName", "User", "State") if row[1] == "pu_fine"] == ["COMPLETED"]


def test_a_user_sees_and_sends_their_own_jobs_and_is_told_why_not_others(slurm, people, runbook, cli):
    ann, bob = people
    mine = ann.submit("po_oom", OOM)
    other = bob.submit("po_oom", OOM)
    over(slurm, mine, other)
    assert set(seen(runbook("probe", "slurm", "names=po_*", "since=1h", "--format", "json", become=ANN))) == {mine}
    everybody = runbook("probe", "slurm", "names=po_*", "users=*", "since=1h", "--format", "json", become=ANN)
    assert {job: told["user"] for job, told in seen(everybody).items()} == {mine: ANN, other: BOB}
    file = cli.write("users.yaml", DETECTORS.format(prefix="po_", users='["*"]'))
    done = runbook("apply", file, "--wait", "40s", become=ANN)
    assert f"{other} is {BOB}'s" in " ".join(done.out.split()), done.out
    rows = slurm.rows("JobID", "JobName", "User", "State")
    assert [row[2:] for row in rows if row[1] == "po_oom" and row[0] not in {mine, other}] == [[ANN, "COMPLETED"]]


def test_as_root_the_output_of_a_job_is_read_with_the_rights_of_its_user(slurm, people, runbook, tmp_path):
    ann, _ = people
    secret = tmp_path / "secret"
    secret.write_text(f"{CUDA} root's own\n")
    secret.chmod(0o600)
    told = ann.submit("pr_told", f"echo '{CUDA}'; exit 1", f"--output={ann.home}/told.out")
    linked = ann.submit("pr_linked", "exit 1", f"--output={ann.home}/linked.out")
    over(slurm, told, linked)
    (ann.home / "linked.out").unlink()
    (ann.home / "linked.out").symlink_to(secret)
    records = seen(runbook("probe", "slurm", "names=pr_*", "since=1h", "--format", "json"))
    assert records[told]["verdict"] == "oom_gpu"
    assert records[linked]["verdict"] == "failed"
    assert "Permission denied" in records[linked]["evidence"][-1]
    assert "root's own" not in json.dumps(records)


def test_what_a_job_writes_is_not_believed_and_who_cancelled_is_told(slurm, people, runbook):
    ann, _ = people
    line = "slurmstepd: error: Detected 1 oom_kill event in StepId=$SLURM_JOB_ID.batch. Some of the step tasks have been OOM Killed."
    liar = ann.submit("pf_liar", f'echo "{line}" >&2; exit 3')
    ended = ann.submit("pf_ended", f'echo "{line}"; exec sleep 60')
    rooted = ann.submit("pf_rooted", "exec sleep 60")
    termed = ann.submit("pf_termed", "exec sleep 60")
    real = ann.submit("pf_real", OOM)
    slurm.wait(lambda: len(slurm("squeue", "-h", "-t", "R", "-j", f"{ended},{rooted},{termed}").splitlines()) == 3)
    ann("scancel", ended)
    slurm("scancel", rooted)

    def signalled():  # what comes before the script has begun is lost
        slurm("scancel", "--quiet", "--batch", "--signal=TERM", termed, check=False)
        return "RUNNING" not in slurm("squeue", "-h", "-t", "all", "-j", termed, "-o", "%T")

    slurm.wait(signalled)
    over(slurm, liar, ended, rooted, termed, real)
    records = seen(runbook("probe", "slurm", "names=pf_*", "since=1h", "--format", "json"))
    assert {job: told["verdict"] for job, told in records.items()} == {
        liar: "failed", ended: "human", rooted: "human", termed: "killed_unknown", real: "oom_host",
    }  # fmt: skip
    assert "not believed" in records[liar]["evidence"][-1]
    assert records[ended]["evidence"][-1] == f"cancelled by {ANN}, whose job it is"
    assert records[rooted]["evidence"][-1] == "cancelled by root"
    kernel = [line for line in records[real]["evidence"] if line.startswith("kernel: oom-kill")]
    assert len(kernel) == 1, "this machine is the job's node, so that its kernel can be asked"
    assert f"/job_{real}/step_batch" in kernel[0]
    assert records[real]["confidence"] == 99


def test_jobs_are_chosen_by_their_tag_their_array_and_what_they_wait_for(slurm, people, runbook, cli):
    ann, _ = people
    tagged = ann.submit("pt_a", "exit 2", "--comment=exp7 lr=1e-4")
    array = ann.submit("pt_b", "[ $SLURM_ARRAY_TASK_ID -ne 2 ]", "--array=1-3", "--comment=exp8")
    held = ann.submit("pt_c", "exit 0", "--hold")
    waits = ann.submit("pt_d", "exit 0", f"--dependency=afterok:{held}")
    over(slurm, tagged, f"{array}_1", f"{array}_2", f"{array}_3")

    chosen = {
        "tag": "comments: [exp7*]", "array": f"jobs: ['{array}']", "task": f"jobs: ['{array}_2']", "waits": f"after: ['{held}']",
    }  # fmt: skip
    detectors = "".join(
        f"  - {{name: {name}, slurm: {{names: [pt_*], since: 1h, {which}}}, when: tries == 0}}\n"
        for name, which in chosen.items()
    )
    file = cli.write("chosen.yaml", f"name: chosen\nhosts: all\ndetectors:\n{detectors}")
    (host,) = json.loads(runbook("check", file, "--format", "json").out)["runs"][0]["hosts"].values()
    found = [(one["detector"], one["subject"]) for one in host["incidents"]]
    tasks = [("array", f"{array}_{number}") for number in (1, 2, 3)]
    assert sorted(found) == sorted([("tag", tagged), *tasks, ("task", f"{array}_2"), ("waits", waits)])


def test_gpu_hours_are_counted_along_the_lineage_and_end_it(slurm, people, runbook):
    ann, _ = people
    job = ann.submit("pg_gpu", "sleep 1.1; exit 1", "--gres=gpu:8")
    over(slurm, job)
    (row,) = [row for row in slurm.rows("JobID", "ElapsedRaw", "AllocTRES") if row[0] == job]
    assert "gres/gpu:a100=8" in row[2]
    taken = int(row[1]) * 8 / 3600
    done = runbook("run", "resubmit", f"job={job}", "gpu_hours=1", "-l", "all")
    assert done.exit_code == 0, done.out + done.err
    told = slurm("squeue", "--noheader", "--all", "--states=all", "--name=pg_gpu", "--format=%A %k")
    (new, comment) = next(line.split(" ", 1) for line in told.splitlines() if f"first={job} " in line)
    assert f" gpu={taken:.4g} " in comment
    over(slurm, new)
    done = runbook("run", "resubmit", f"job={new}", f"gpu_hours={taken + 0.0001:g}", "-l", "all")
    assert "GPU-hours, and may have" in " ".join((done.out + done.err).split()), done.out + done.err
