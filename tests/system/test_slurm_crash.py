"""`slurm-recover` while the controller, the accounting, the watch or its agent are killed: nothing twice, nothing lost."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
import slurm_lineages
from watching import Watching, until

ALONE = """f=$SLURM_JOB_NAME; [ -e been.$f ] || { touch been.$f; exit 1; }
for pid in $(cat pids.$f); do kill -0 $pid && echo $pid >> twice.$f; done
[ -e number.$f ] || echo $SLURM_JOB_ID > number.$f; echo $$ >> pids.$f; [ $(wc -l < pids.$f) -gt 1 ] || exec sleep 600"""  # fails; is lost while it runs; is well
ONCE = "while [ ! -e {until} ]; do sleep 0.1; done; f=been.$SLURM_JOB_NAME; [ -e $f ] && exit 0; touch $f; exit 1"
SBATCH = """#!/bin/sh
# kills who is named in the file `kill`, when Slurm has taken the job and nobody knows of it yet
case "$(cat {place}/kill 2>/dev/null) $*" in *--test-only*) ;; ctld*)
  touch {place}/ready; while [ ! -e {place}/go ]; do sleep 0.05; done ;;
esac
told=$({real} "$@"); code=$?
case "$*" in *--test-only*) ;; *)
  if [ $code = 0 ] && mv {place}/kill {place}/killed 2>/dev/null; then
    read -r kind pid < {place}/killed
    agents=; each=$PPID
    while [ "$each" -gt 1 ] && [ "$each" != "$pid" ]; do
      agents="$agents $each"; each=$(ps -o ppid= -p "$each" | tr -d ' ')
    done
    while [ $kind = ctld ] && [ ! -e {place}/now ]; do sleep 0.05; done
    case $kind in agent) kill -9 $agents ;; both) kill -9 "$pid" $agents ;; *) kill -9 "$pid" ;; esac
  fi ;;
esac
echo "$told"
exit $code
"""


@pytest.fixture
def deadly(tmp_path):
    """A directory with an sbatch that kills when it is told to, and the function that tells it."""
    place = tmp_path / "bin"
    place.mkdir()
    (place / "sbatch").write_text(SBATCH.format(real=shutil.which("sbatch"), place=place))
    (place / "sbatch").chmod(0o755)

    def kill(kind, pid):
        (place / "killed").unlink(missing_ok=True)
        (place / "next").write_text(f"{kind} {pid}\n")
        (place / "next").rename(place / "kill")

    return place, kill


def forget(slurm, place, kill, send, meanwhile):
    """Let a job fail, and the controller be killed when what follows it runs; return its number, and who came after."""
    pids, saved = slurm.place / "jobs" / "pids.k_lost", slurm.place / "state" / "job_state"
    kill("ctld", slurm.daemons["slurmctld"].pid)
    send()
    until((place / "ready").exists)
    before, waits = time.time(), slurm.submit("true", "--job-name=waits", "--hold")
    until(lambda: saved.stat().st_mtime > before)  # that it failed, Slurm knows; it saves again in five seconds
    (place / "go").touch()
    until(pids.exists)
    (place / "now").touch()
    slurm.daemons.pop("slurmctld").wait(20)
    meanwhile()
    slurm.controller("-s")
    slurm.wait(lambda: " UP" in slurm("scontrol", "ping", check=False))
    orphan = Path("/proc", pids.read_text().strip())
    until(lambda: not orphan.exists())  # its node was told that nobody knows it
    slurm("scancel", waits)
    number = pids.with_name("number.k_lost").read_text().strip()
    others = [slurm.submit("true", "--job-name=k_other", "--hold")]  # a node may take it for the one that it had
    while int(others[-1]) < int(number):  # which one of them has then, or one of ours that was quicker
        others.append(slurm.submit("true", "--job-name=k_other", "--hold"))
    return number, others


@pytest.mark.slow
def test_each_failure_is_followed_by_one_job_whoever_is_killed_meanwhile(cli, slurm, deadly):  # noqa: PLR0915 -- one cluster, one wait
    place, kill = deadly
    env = {**slurm.env, "PATH": f"{place}:{os.environ['PATH']}"}
    runbook = slurm_lineages.book(cli, slurm, PATH=env["PATH"])
    sent = {}

    def send(name, until="/", script=ONCE):
        sent[name] = slurm.submit(script.replace("{until}", str(until)), f"--job-name=k_{name}", "--mem=20")
        return sent[name]

    def states():
        found = slurm_lineages.runs(slurm)
        return {name: [run.state for run in found.get(job, ())] for name, job in sent.items()}

    def well(*names):
        return all(told[-1:] == ["COMPLETED"] for name, told in states().items() if name in names)

    def watch(number):
        return Watching(cli, runbook, "-e", "job_name=k_*", env=env, name=f"watch{number}")

    with watch(1) as first:
        slurm_lineages.began(first)
        send("engine")
        kill("engine", first.pid)
        assert first.process.wait(40) == -9
    with watch(2) as second:
        slurm.wait(lambda: well("engine"), told=states)
        kill("both", second.pid)
        send("both")
        assert second.process.wait(40) == -9
    with watch(3) as third:
        slurm.wait(lambda: well("both"), told=states)
        kill("agent", third.pid)
        send("agent")
        slurm.wait(lambda: well("agent"), told=states)

        home = slurm.place / "jobs"
        jobs = [send(f"ctld{number}", until=home / "go") for number in range(4)]
        slurm.wait(lambda: slurm("squeue", "-h", "-t", "R", "-j", ",".join(jobs), "-o", "%i").split()[3:])

        def end():  # the jobs, and nobody takes note of it
            (home / "go").touch()
            been = [home / f"been.k_ctld{number}" for number in range(4)]
            until(lambda: all(each.exists() for each in been))

        forgotten, others = forget(slurm, place, kill, lambda: send("lost", script=ALONE), end)
        slurm.wait(lambda: well(*(f"ctld{number}" for number in range(4))), told=states)

        slurm.kill("slurmdbd")
        for number in range(3):
            send(f"dbd{number}")
        third.until("look.unknown", detector="job failed")
        slurm.accounting()
        slurm.wait(lambda: slurm("sacctmgr", "-n", "show", "cluster", check=False).strip())
        slurm.wait(lambda: well(*(f"dbd{number}" for number in range(3))), told=states)
        send("last")
        slurm.wait(lambda: well("last", "lost"), told=states)  # whatever it had left to send, it has sent by now
    slurm("scancel", *others)
    known = slurm_lineages.runs(
        slurm, f"--name={','.join(f'k_{name}' for name in (*sent, 'other'))}"
    )  # others have jobs, too
    found = {job: ended for job, several in known.items() if (ended := [run for run in several if run.end])}
    assert all(run.comment == "" for job in others for run in found.pop(job, ())), (
        "another one's, whoever had its number"
    )
    jobs_of = {
        name: [*dict.fromkeys(run.job for run in found[job])] for name, job in sent.items()
    }  # requeued: the same
    assert {name: len(jobs) for name, jobs in jobs_of.items()} == dict.fromkeys(sent, 2), jobs_of
    assert {*found} == {*sent.values()}, "no job is of a lineage of its own that we sent"
    assert not slurm_lineages.twice_at_once(found)
    assert not slurm_lineages.sent_after_success(found)
    assert len((home / "pids.k_lost").read_text().split()) == 2
    assert not (home / "twice.k_lost").exists(), "the one that Slurm lost had ended when the next one began"
    assert "attempt=2 tries=1" in found[sent["lost"]][-1].comment, "what Slurm loses uses up no attempt"
    (again,) = [each for each in third.facts("incident.opened", subject=sent["lost"]) if each["data"]["fields"]["lost"]]
    assert f"job {forgotten}, which was sent in its place, is lost" in str(again["data"]["fields"]["evidence"])
