"""What became of jobs on a real Slurm, as its accounting tells: each lineage's runs, in their order."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import NamedTuple

from watching import until

import runbook
from runbook.engine.journal.store import open_journal

SEPARATOR = "\x02"
COLUMNS = ("JobID", "State", "Start", "End", "Comment")


class Run(NamedTuple):
    job: str
    state: str
    start: float | None
    end: float | None
    comment: str


def book(cli, slurm, name="slurm-recover", **env):
    """A bundled runbook that looks every second."""
    text = (Path(runbook.__file__).parent / "runbooks" / f"{name}.yaml").read_text()
    text = re.sub(r"every: 30s( *#|$|,)", r"every: 1s\1", text, flags=re.MULTILINE).replace("follow: 30s", "follow: 1s")
    cli.env = {**cli.env, **slurm.env, **env}
    return cli.write(f"{name}.yaml", text)


def began(watch):
    """Wait until both detectors have looked: what failed before is history."""

    def looked():
        with open_journal(str(watch.journal), read_only=True) as journal:
            return len(journal.ask("SELECT 1 FROM cursors")) == 2

    watch.ready()
    until(looked, told=watch.told)


def runs(slurm, *which):
    """Each lineage's runs: of all jobs, or of those that `sacct` is asked for."""
    argv = ("sacct", "-a", "-X", "-n", "-P", f"--delimiter={SEPARATOR}", "--duplicates", "-S", "now-1days")
    told = slurm.at_epoch(*argv, "-o", ",".join(COLUMNS), *which)
    rows: list[str] = []
    for line in told.split("\n"):
        if re.match(rf"\d[\d_+\[\]%,-]*{SEPARATOR}", line):
            rows.append(line)
        elif rows and line:
            rows[-1] += f"\n{line}"  # a comment with the end of a line
    found: dict[str, list[Run]] = {}
    for row in rows:
        job, state, start, end, comment = row.split(SEPARATOR, 4)
        mark = re.search(r"\[runbook first=(\S+)", comment)
        run = Run(job, state, *(float(each) if each.isdigit() else None for each in (start, end)), comment)
        found.setdefault(mark[1] if mark else job, []).append(run)
    return found


def twice_at_once(found):
    """Those pairs of runs of one lineage of which the second began before the first had ended."""
    wrong = []
    for lineage, several in found.items():
        begun = sorted(
            (
                run for run in several if run.start and run.job.partition("+")[2] in {"", "0"}
            ),  # of several parts, the first
            key=lambda run: (run.start, run.end or float("inf")),
        )
        wrong += [(lineage, a, b) for a, b in itertools.pairwise(begun) if a.end is None or a.end > b.start]
    return wrong


def sent_after_success(found):
    """Those runs of a lineage that follow one that was well: all but what an `srun` left out of memory."""
    return [
        (lineage, a, b)
        for lineage, several in found.items()
        for a, b in itertools.pairwise(several)
        if a.state == "COMPLETED" and "oom_host" not in b.comment
    ]
