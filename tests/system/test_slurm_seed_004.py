"""Seed 004 on a real Slurm: `torc watch --auto-recover`, its table, options and troubleshooting, in our words.

One watch recovers one sweep of jobs; each test asks one thing of what it did.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
import shlex
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "slurm.md"
OOM = "python3 -c 'import time; x = bytearray({size} << 20); time.sleep(0.5)'"
ONCE = "[ -e $SLURM_JOB_NAME.been ] || {{ touch $SLURM_JOB_NAME.been; {first}; }}"
OPTIONS = ("-e", "attempts=2", "-e", "memory=2.0", "-e", "time=2.0", "--every", "1s", "-e", "follow=1s")


@pytest.fixture(scope="module")
def sweep(slurm, tmp_path_factory):
    """Twelve jobs, a watch that recovers them with the seed's options until all have ended, and what came of it."""
    from conftest import Cli

    cli = Cli(tmp_path_factory.mktemp("sweep"))
    cli.env = {**cli.env, **slurm.env}
    send = lambda name, script, *more: slurm.submit(script, f"--job-name=sweep_{name}", "--account=physics", *more)  # noqa: E731
    late = send(1, ONCE.format(first="exec sleep 60"), "--mem=20", "--time=1")
    slurm.wait(lambda: slurm("squeue", "-h", "-j", late, "-o", "%T").strip() == "RUNNING")
    slurm("scontrol", "update", f"JobId={late}", "EndTime=now+1")
    fine = [send(n, "sleep 8", "--mem=30") for n in (2, 3, 4, 5)]
    oom = [send(n, OOM.format(size=60), "--mem=40") for n in (6, 7)]
    blocked = send(8, "true", "--mem=20", f"--dependency=afterok:{':'.join(fine)}")
    once = send(9, ONCE.format(first="exit 1"), "--mem=20")
    never = send(10, "exit 3", "--mem=20")
    huge = send(11, OOM.format(size=1100), "--mem=1000")
    log = cli.home / "output" / "watch.log"
    log.parent.mkdir()
    words = ("slurm-recover", "-e", "job_name=sweep_*", "-e", "since=10m", *OPTIONS)
    began = time.time()
    done = cli("watch", *words, "--show-job-counts", "--until-done", "--log", log, timeout=150)
    return SimpleNamespace(
        cli=cli, slurm=slurm, done=done, log=log.read_text(), file=log, seconds=time.time() - began, words=words,
        late=late, fine=fine, oom=oom, blocked=blocked, once=once, never=never, huge=huge,
        lineages=lineages(slurm),
    )  # fmt: skip


def lineages(slurm):
    """Of each first job its runs: (state, comment, memory, limit, account)."""
    found = {}
    columns = ("JobID", "JobName", "State", "ReqMem", "Timelimit", "Account", "Comment")
    for job, name, state, *rest, comment in slurm.rows(*columns):
        if name.startswith("sweep_"):
            mark = re.search(r"\[runbook first=(\S+)", comment)
            found.setdefault(mark[1] if mark else job, []).append((state, *rest, comment))
    return found


def test_heuristic_out_of_memory_increases_the_memory_and_keeps_the_rest(sweep):
    for job in sweep.oom:
        first, second = (run[:3] for run in sweep.lineages[job])
        assert first == ("OUT_OF_MEMORY", "40M", "00:05:00")
        assert (second[0], second[2]) == ("COMPLETED", "00:05:00")
        assert 80 <= int(second[1].rstrip("M")) <= 120, "twice what was asked for, or what was used"


def test_heuristic_timeout_increases_the_runtime(sweep):
    assert [run[:3] for run in sweep.lineages[sweep.late]] == [
        ("TIMEOUT", "20M", "00:01:00"), ("COMPLETED", "20M", "00:02:00")]  # fmt: skip


def test_heuristic_unknown_is_retried_without_changes(sweep):
    assert [run[:3] for run in sweep.lineages[sweep.once]] == [
        ("FAILED", "20M", "00:05:00"), ("COMPLETED", "20M", "00:05:00")]  # fmt: skip


def test_option_max_retries_ends_the_attempts_of_a_job(sweep):
    assert [run[0] for run in sweep.lineages[sweep.never]] == ["FAILED"] * 3


@pytest.mark.parametrize(
    ("which", "change"), [("oom", r"memory 40 MiB to \d+ MiB"), ("late", "time 0:01:00 to 0:02:00")]
)
def test_option_memory_and_runtime_multiplier(sweep, which, change):
    job = sweep.oom[0] if which == "oom" else sweep.late
    assert re.search(change, sweep.lineages[job][1][-1])


def test_option_poll_interval(sweep):
    assert "watched from now on: 2 detectors on 1 host, every 1s" in sweep.log


def test_option_output_dir_has_the_log_of_the_watch_and_jobs_write_where_they_did(sweep):
    assert sweep.done.out == ""
    assert sweep.file.stat().st_size > 1000
    outputs = [sweep.slurm.place / "jobs" / f"{job}.out" for job in (*sweep.fine, *sweep.oom)]
    assert all(each.exists() for each in outputs)


def counts(log):
    found = re.findall(r"completed=(\d+), running=(\d+), pending=(\d+), failed=(\d+), blocked=(\d+)", log)
    return [tuple(map(int, each)) for each in found]


def test_option_show_job_counts_tells_each_state_whenever_it_changes(sweep):
    told = counts(sweep.log)
    assert told[0][4] == 1, "one is blocked by those before it"
    assert told[-1] == (9, 0, 0, 2, 0)
    assert all(a != b for a, b in itertools.pairwise(told))
    assert all(sum(each) <= 11 for each in told)


def test_output_names_each_job_what_it_lacked_and_what_it_gets(sweep):
    for number, job in zip((6, 7), sweep.oom, strict=True):
        what = rf"resubmit sweep_{number} \({job}\), oom_host: memory 40 MiB to \d+ MiB \(resubmission 1 of 2\)"
        assert re.search(what, sweep.log)


def test_output_recovery_begins_when_a_job_fails_and_not_when_all_have_ended(sweep):
    first = sweep.log.index("resubmit sweep_")
    assert any(told[1] + told[2] + told[4] for told in counts(sweep.log[first:]))


def test_output_end_state_says_what_failed_and_ends_the_watch(sweep):
    assert sweep.done.exit_code == 2
    assert "all done: 9 of 11 completed, 2 failed" in sweep.log


def test_max_retries_exceeded_names_what_a_person_must_look_at(sweep):
    assert re.search(r"a person must look at \d+ \(sweep_10\): failed, after 2 resubmissions: .*FAILED 3:0", sweep.log)


def test_troubleshooting_jobs_keep_failing_the_reason_is_told_with_its_evidence(sweep):
    job = re.search(r"must look at (\d+) \(sweep_10\)", sweep.log)[1]
    told = sweep.cli.json("probe", "slurm", f"jobs={job}", "since=1h").json
    (record,) = told["records"]
    assert (record["fields"]["verdict"], record["fields"]["exit_code"], record["fields"]["tries"]) == ("failed", 3, 2)


def test_troubleshooting_resource_limits_too_high_are_told_and_nothing_is_sent(sweep):
    assert len(sweep.lineages[sweep.huge]) == 1
    told = rf"must look at {sweep.huge} \(sweep_11\): oom_host: .*20\d\d MiB .*1200 MiB"  # twice what it asked or used
    assert re.search(told, sweep.log)


def test_troubleshooting_no_schedulers_generated_account_and_partition_are_those_of_the_job(sweep):
    assert {run[3] for runs in sweep.lineages.values() for run in runs} == {"physics"}


def test_best_practice_jobs_that_succeed_keep_their_allocation(sweep):
    assert all([run[:2] for run in sweep.lineages[job]] == [("COMPLETED", "30M")] for job in sweep.fine)
    assert [run[0] for run in sweep.lineages[sweep.blocked]] == ["COMPLETED"]


def test_best_practice_check_resource_utilization_afterward(sweep):
    told = sweep.cli("slurm", "report", "--name", "sweep_*", "--since", "1h", "--format", "csv")
    (row,) = csv.DictReader(io.StringIO(told.out))
    sent = sum(map(len, sweep.lineages.values()))
    assert (row["kind"], int(row["jobs"]), int(row["completed"])) == ("sweep_*", sent, 9)
    assert (int(row["out_of_memory"]), int(row["timeout"])) == (3, 1)
    assert int(row["memory_suggested"]) >= 1000 << 20, "one ran out of 1000 MiB"


def test_manual_recovery_without_auto_recover_tells_and_sends_nothing(sweep):
    words = [word for word in sweep.words if word != "--every"]
    words.remove("1s")
    before = sum(map(len, lineages(sweep.slurm).values()))
    env = {"RUNBOOK_JOURNAL": str(sweep.cli.home / "other.db")}
    done = sweep.cli("watch", *words, "--every", "1s", "--max-mode", "observe", "--until-done", env=env)
    assert done.exit_code == 2
    assert "a person must look at" in done.out
    assert "resubmit" not in done.out.replace("resubmission", "")
    assert sum(map(len, lineages(sweep.slurm).values())) == before


def steady(text):
    return " ".join(re.sub(r"[\d.:]+", "#", text).split())


def blocks():
    """Yield the consoles of the page, with what they print."""
    text = PAGE.read_text(encoding="utf-8")
    for shown in re.findall(r"<!-- not run: on a Slurm[^\n]*-->\n```console\n(.*?)```", text, re.DOTALL):
        command, _, printed = shown.removeprefix("$ ").partition("\n")
        yield command, printed


def test_the_page_shows_what_its_commands_print(sweep):
    """Each line that it shows is printed, but for the figures; … stands for others."""
    assert len(list(blocks())) >= 3
    for command, printed in blocks():
        name, *words = shlex.split(command)
        assert name == "runbook"
        told = sweep.log if words[0] == "watch" else sweep.cli(*words, env={"COLUMNS": "80"}).out
        known = steady(told)
        for line in filter(lambda line: line.strip() not in ("", "…"), printed.splitlines()):
            assert steady(line.replace("…", "")) in known, f"{command}: {line}\n{told}"


def test_the_page_names_a_counterpart_of_each_option_of_the_seed():
    text = PAGE.read_text(encoding="utf-8")
    options = ("--max-retries", "--memory-multiplier", "--runtime-multiplier", "--poll-interval", "--output-dir")
    for option in (*options, "--show-job-counts", "--auto-recover"):
        assert re.search(rf"^\| `[^|]*{option}[^|]*` \| `[^|]+ \|", text, re.MULTILINE), option
