"""`slurm-recover` and jobs that were sent in odd ways: each is sent again as it was, or said why not."""

from __future__ import annotations

import slurm_lineages
from watching import Watching

ONCE = "f=been.{name}; env > env.{name}.$SLURM_JOB_ID; [ -e $f ] && exit 0; touch $f; exit 1"
FORGED = "{job}\x1f{job}\x1froot\x1fFAILED\x1f1:0\x1f1:0\x1f9\x1f5\x1f20M\x1f\x1f1\x1f\x1f1"


def test_jobs_that_were_sent_in_odd_ways_are_sent_again_as_they_were(cli, slurm):  # noqa: PLR0915 -- one cluster, one wait
    jobs = slurm.place / "jobs"

    def send(name, *options, script=ONCE, args=(), env=None):
        return slurm.submit(script.format(name=name), f"--job-name=odd_{name}", *options, args=args, env=env)

    def wrapped(name, *options, script=ONCE, **env):
        text = script.format(name=name)
        memory = () if any(one.startswith("--mem") for one in options) else ("--mem=20",)
        argv = ("sbatch", "--parsable", f"--chdir={jobs}", f"--job-name=odd_{name}", *memory, *options)
        return slurm(*argv, "--output=/dev/null", f"--wrap={text}", env=env).strip()

    runbook = slurm_lineages.book(cli, slurm)
    with Watching(cli, runbook, "-e", "job_name=odd_*", env=slurm.env) as watch:
        slurm_lineages.began(watch)
        held, moved = unlaunched(slurm, "held"), unlaunched(slurm, "moved", "--no-requeue")
        slurm("scontrol", "release", held, moved)
        all_of_one = ("--gres=gpu:8", f"--nodelist={slurm.nodes[3]}", "--account=physics")
        first = wrapped("first", *all_of_one, script="sleep 60")
        slurm.wait(lambda: slurm("squeue", "-h", "-j", first, "-o", "%T").strip() == "RUNNING")
        pushes = wrapped("pushes", *all_of_one, "--qos=urgent", script="true")
        fine = wrapped("fine", script="true")
        again = {
            "comment": send("comment", "--comment=two\nlines"),
            "quotes": wrapped('name|%&*[x]=;"q"\'s', script=ONCE.replace("{name}", "quotes")),
            "forger": wrapped(f"forger\n{FORGED.format(job=fine)}", script=ONCE.replace("{name}", "forger")),
            "variables": wrapped("variables", ODD="a\"b'c  d", EMPTY="", PERCENT="%j"),
            "none": wrapped("none", "--export=NONE"),
            "some": wrapped("some", "--export=ALL,ZED=9"),
            "cpus": wrapped("cpus", "--mem-per-cpu=20", "-c", "2"),
            "whole": wrapped("whole", "--mem=0"),
            "begin": wrapped("begin", "--begin=now+1"),
            "alone": wrapped("alone", "--exclusive"),
            "minutes": wrapped("minutes", "-t", "1:30"),
            "days": wrapped("days", "--time=0-00:02:30"),
            "lines": wrapped("lines", script=f"echo a; {ONCE}\necho 'two\n\nlines'"),
            "args": send("args", args=("one", "--flag=1", "-x", "", 'it"s', "$HOME", "*"), script='printf "<%s>" "$@" > args.$SLURM_JOB_ID; ' + ONCE),
        }  # fmt: skip
        changed, gone = jobs / "changed.sh", jobs / "gone.sh"
        for file in (changed, gone):
            file.write_text(f"#!/bin/bash\n{ONCE.format(name=file.stem)}\n")
            argv = ("sbatch", "--parsable", f"--chdir={jobs}", "--output=/dev/null", "--mem=20")
            again[file.stem] = slurm(*argv, f"--job-name=odd_{file.stem}", str(file)).strip()
        changed.write_text("#!/bin/bash\nexit 9\n")
        gone.unlink()
        blanks = jobs / "two words.sh"
        blanks.write_text(f"#!/bin/bash\necho $# $1 > words.$SLURM_JOB_ID; {ONCE.format(name='blanks')}\n")
        argv = ("sbatch", "--parsable", f"--chdir={jobs}", "--output=/dev/null", "--mem=20", "--job-name=odd_blanks")
        again["blanks"] = slurm(*argv, str(blanks), "one", "two").strip()
        again["qos"] = wrapped("qos", "--account=physics", SBATCH_QOS="other")
        again["gpus"] = wrapped("gpus", "--mem-per-gpu=20", "--gpus=2")
        again["moved"] = moved
        array = send("array", "--array=1-4%2", "--mem=20", script=ONCE.replace("{name}", "a$SLURM_ARRAY_TASK_ID"))
        waits = {
            "pushes": pushes,
            "all": wrapped("all", "-d", f"afterok:{array}", script="true"),
            "both": wrapped("both", "-d", f"afterok:{again['none']}:{again['some']},afterany:{fine}", script="true"),
        }
        each = wrapped("each", "--array=1-4", "-d", f"aftercorr:{array}", script="true")
        waits |= {f"each{n}": f"{each}_{n}" for n in range(1, 5)}
        again |= {f"array{n}": f"{array}_{n}" for n in range(1, 5)}
        several = slurm(
            *("sbatch", "--parsable", f"--chdir={jobs}", "--output=/dev/null", "--mem=20", "--job-name=odd_several"),
            *(":", "--mem=20"),
            str(_exits(jobs)),
        ).strip()

        def missing():
            found = slurm_lineages.runs(slurm)
            ended = {name: [run.state for run in found.get(job, ())] for name, job in (again | waits).items()}
            left = {name: states for name, states in ended.items() if states[-1:] != ["COMPLETED"]}
            told = watch.facts("incident.opened", detector="job needs a person", subject=f"{several}+0")
            stuck = watch.facts("incident.opened", detector="job needs a person", subject=held)
            return left if told and stuck else {**left, "several": told, "held": stuck}

        slurm.wait(lambda: not missing(), within=60, told=missing)
    slurm("scancel", held, first)
    for node in slurm.nodes:
        slurm("scontrol", "update", f"NodeName={node}", "State=RESUME", check=False)
    found = slurm_lineages.runs(slurm)
    assert {run.job for run in found[first]} == {first}, "Slurm itself runs it again"
    assert {run.job for run in found[held]} == {held}
    assert {name: len(found[job]) for name, job in again.items()} == dict.fromkeys(again, 2)
    assert {name: len(found[job]) for name, job in waits.items()} == dict.fromkeys(waits, 1), (
        "they waited, and ran once"
    )
    assert len(found[fine]) == 1, "what was well is not sent again, whatever a name pretends"
    assert {run.job for run in found[f"{several}+0"]} == {f"{several}+0", f"{several}+1"}, "none was sent again"
    assert not [one for one in watch.facts("incident.opened") if one["subject"] == f"{several}+1"], (
        "one job, one incident"
    )
    (told,) = watch.facts("incident.opened", detector="job needs a person", subject=f"{several}+0")
    assert "heterogeneous" in str(told["data"])
    assert not slurm_lineages.twice_at_once(found)
    assert not slurm_lineages.sent_after_success(found)
    assert {tuple((jobs / f"words.{run.job}").read_text().split()) for run in found[again["blanks"]]} == {("2", "one")}
    (moved_to,) = slurm("sacct", "-X", "-n", "-P", "-j", found[moved][1].job, "-o", "NodeList").split()
    (drained,) = slurm("sacct", "-X", "-n", "-P", "-j", moved, "-o", "NodeList").split()
    assert moved_to != drained
    several_gpus = slurm(
        "sacct", "-X", "-n", "-P", "-j", ",".join(run.job for run in found[again["gpus"]]), "-o", "ReqMem"
    )
    assert several_gpus.split() == ["40M", "40M"]
    assert slurm("sacct", "-X", "-n", "-P", "-j", found[again["qos"]][1].job, "-o", "QOS").strip() == "other"
    for name in ("variables", "some", "cpus", "whole"):
        before, after = (_own(jobs / f"env.{name}.{run.job}") for run in found[again[name]])
        assert before == after, name
    before, after = ((jobs / f"args.{run.job}").read_text() for run in found[again["args"]])
    assert before == after == '<one><--flag=1><-x><><it"s><$HOME><*>'
    asked = {run.job: run for run in found[again["whole"]]}
    lines = slurm("sacct", "-X", "-n", "-P", "-j", ",".join(asked), "-o", "SubmitLine").splitlines()
    assert all("--mem=0" in line for line in lines)


def unlaunched(slurm, name, *options):
    """Send a job whose prolog fails on the node that it comes to: Slurm drains that, and holds or cancels the job."""
    argv = ("sbatch", "--parsable", "--hold", "--mem=20", f"--job-name=odd_{name}", "--output=/dev/null", *options)
    job = slurm(*argv, "--wrap=true").strip()
    (slurm.place / f"unlaunched.{job}").touch()
    return job


def _exits(jobs):
    file = jobs / "exits.sh"
    file.write_text("#!/bin/bash\nexit 1\n")
    return file


def _own(file):
    """What stands in a job's environment that is not of this very run."""
    lines = [
        line for line in file.read_text().splitlines() if not line.startswith(("SLURM", "HOSTNAME", "TMPDIR", "_="))
    ]
    return sorted(lines)
