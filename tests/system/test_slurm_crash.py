"""`slurm-recover` while the controller, the accounting, the watch or its agent are killed: nothing twice, nothing lost."""

from __future__ import annotations

import os
import shutil
import time

import pytest
import slurm_lineages
from watching import Watching, until

ONCE = "while [ ! -e {until} ]; do sleep 0.1; done; f=been.$SLURM_JOB_NAME; [ -e $f ] && exit 0; touch $f; exit 1"
SBATCH = """#!/bin/sh
# kills who is named in the file `kill`, when Slurm has taken the job and nobody knows of it yet
told=$({real} "$@"); code=$?
case "$*" in *--test-only*) ;; *)
  if [ $code = 0 ] && mv {place}/kill {place}/killed 2>/dev/null; then
    read -r kind pid < {place}/killed
    agents=; each=$PPID
    while [ "$each" -gt 1 ] && [ "$each" != "$pid" ]; do
      agents="$agents $each"; each=$(ps -o ppid= -p "$each" | tr -d ' ')
    done
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


@pytest.mark.slow
def test_each_failure_is_followed_by_one_job_whoever_is_killed_meanwhile(cli, slurm, deadly):
    place, kill = deadly
    env = {**slurm.env, "PATH": f"{place}:{os.environ['PATH']}"}
    runbook = slurm_lineages.book(cli, slurm, PATH=env["PATH"])
    sent = {}

    def send(name, until="/"):
        sent[name] = slurm.submit(ONCE.format(until=until), f"--job-name=k_{name}", "--mem=20")
        return sent[name]

    def states():
        found = slurm_lineages.runs(slurm)
        return {name: [run.state for run in found.get(job, ())] for name, job in sent.items()}

    def well(*names):
        return all(told[-1:] == ["COMPLETED"] for name, told in states().items() if name in names)

    def watch(number):
        return Watching(cli, runbook, "-e", "job_name=k_*", env=env, name=f"watch{number}")

    first = watch(1)
    slurm_lineages.began(first)
    send("engine")
    kill("engine", first.pid)
    assert first.process.wait(40) == -9
    second = watch(2)
    slurm.wait(lambda: well("engine"), told=states)
    kill("both", second.pid)
    send("both")
    assert second.process.wait(40) == -9
    with watch(3) as third:
        slurm.wait(lambda: well("both"), told=states)
        kill("agent", third.pid)
        send("agent")
        slurm.wait(lambda: well("agent"), told=states)

        go, saved = slurm.place / "jobs" / "go", slurm.place / "state" / "job_state"
        jobs = [send(f"ctld{number}", until=go) for number in range(4)]
        slurm.wait(lambda: slurm("squeue", "-h", "-t", "R", "-j", ",".join(jobs), "-o", "%i").split()[3:])
        running = time.time()
        slurm.wait(lambda: saved.stat().st_mtime > running)  # what it has not saved, Slurm itself forgets
        slurm.kill("slurmctld")
        go.touch()
        been = [go.with_name(f"been.k_ctld{number}") for number in range(4)]
        until(lambda: all(each.exists() for each in been))  # the jobs end, and nobody takes note of it
        slurm.controller("-s")
        slurm.wait(lambda: well(*(f"ctld{number}" for number in range(4))), told=states)

        slurm.kill("slurmdbd")
        for number in range(3):
            send(f"dbd{number}")
        third.until("look.unknown", detector="job failed")
        slurm.accounting()
        slurm.wait(lambda: slurm("sacctmgr", "-n", "show", "cluster", check=False).strip())
        slurm.wait(lambda: well(*(f"dbd{number}" for number in range(3))), told=states)
        send("last")
        slurm.wait(lambda: well("last"), told=states)  # whatever it had left to send, it has sent by now
    found = slurm_lineages.runs(
        slurm, f"--name={','.join(f'k_{name}' for name in sent)}"
    )  # others have jobs there, too
    jobs_of = {
        name: [*dict.fromkeys(run.job for run in found[job])] for name, job in sent.items()
    }  # requeued: the same
    assert {name: len(jobs) for name, jobs in jobs_of.items()} == dict.fromkeys(sent, 2), jobs_of
    assert {*found} == {*sent.values()}, "no job is of a lineage of its own that we sent"
    assert not slurm_lineages.twice_at_once(found)
    assert not slurm_lineages.sent_after_success(found)
