"""What ten thousand jobs cost: squeue and sacct of so many, looked at by an agent, and judged by the engine."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import measure

from runbook.engine.fleet import Spec, local
from runbook.engine.language import params as parameters
from runbook.modules import catalogue
from runbook.modules.slurm import accounts, queue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.fleet import Agent

NEEDS_ANSIBLE = False
JOBS = 10_000  # in the queue; as many have ended in the accounts, with two steps each
LIMIT = 2.0  # seconds of a tick
MEMORY = 150.0  # MB of the agent, and of each of its children
JUDGED = 12.0  # seconds of processor time for 20,000 records that are well, in the engine and the agent together
_FAILED = 100  # jobs that failed, and are known
_PROGRAM = """#!/bin/sh
echo x >> "{root}/{name}.calls"
[ ! -e "{root}/{name}.txt" ] || exec cat "{root}/{name}.txt"
"""
_BOOK = """name: every job
detectors:
  - name: stuck
    slurm: {}
    when: state == 'pending' and reason == 'DependencyNeverSatisfied'
  - name: long
    slurm: {}
    when: elapsed > 10d
"""


def results(rounds: int) -> list[measure.Result]:
    """Measure; a round is one tick of two detectors."""
    with tempfile.TemporaryDirectory(prefix="runbook-bench-") as folder:
        root = Path(folder)
        _cluster(root)
        path = os.environ["PATH"]
        os.environ.update({"PATH": f"{root}/bin:{path}"})
        try:
            with local.connect(root / "agent") as agent:
                wall, busy, memory = _ticks(agent, max(3, rounds // 2))
            calls = {name: _calls(root, name) / (len(wall) + 1) for name in ("squeue", "sacct")}
            judged = _check(root)
        finally:
            os.environ["PATH"] = path
    asked = ", ".join(f"{name} {count:g}" for name, count in calls.items())
    detail = (
        f"{min(wall):.2f} to {max(wall):.2f} s, {len(wall)} ticks; processor time {busy:.2f} s; a tick asks {asked}"
    )
    tick = statistics.median(wall)
    return [
        measure.Result("a tick over 10,000 jobs in squeue and 10,000 in sacct", tick, LIMIT, "s", (detail,)),
        measure.Result("commands of Slurm's in such a tick of two detectors", sum(calls.values()), 2, "commands"),
        measure.Result("resident memory of the agent and each of its children", memory, MEMORY, "MB"),
        measure.Result("processor time of `check` over 20,000 jobs that are well, twice", judged, JUDGED, "s"),
    ]  # fmt: skip


def _ticks(agent: Agent, count: int) -> tuple[list[float], float, float]:
    """Return the seconds of each tick, the mean processor time of one, and the most memory of a process in MB."""
    agent.ready()
    params = {"names": ["*"], "users": ["*"], "healthy": False, "since": "1d"}
    params = parameters.coerce(catalogue.probe("slurm"), params)
    specs = [Spec(name, "slurm", params) for name in ("job failed", "job needs a person")]
    specs = measure.looked(agent, specs)  # the failed are read once
    pid = agent._link._ended.__self__._pid  # type: ignore[attr-defined]  # noqa: SLF001 -- whose time is measured
    wall, before = [], _spent(pid)
    for _ in range(count):
        begun = time.perf_counter()
        specs = measure.looked(agent, specs)
        wall.append(time.perf_counter() - begun)
        time.sleep(max(0.0, 5.5 - wall[-1]))  # after that, a question is asked anew
    return wall, (_spent(pid) - before) / count, max(_memories(pid))


def _check(root: Path) -> float:
    """Return the processor time of a whole `check` whose two detectors are shown every job."""
    book = root / "book.yaml"
    book.write_text(_BOOK)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    argv = [measure.RUNBOOK, "check", str(book), "--format", "json"]
    env = {**os.environ, "RUNBOOK_JOURNAL": f"{root}/journal.db", "RUNBOOK_AGENT_DIR": f"{root}/agent"}
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=env)
    if done.returncode:
        sys.exit(f"check ended with {done.returncode}: {done.stderr}{done.stdout[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _cluster(root: Path) -> None:
    """Write what Slurm's commands print, and commands that print it."""
    (root / "bin").mkdir()
    for name in ("squeue", "sacct", "scontrol", "sinfo"):
        file = root / "bin" / name
        file.write_text(_PROGRAM.format(root=root, name=name))
        file.chmod(0o755)
    (root / "squeue.txt").write_text("\n".join(_queued()) + "\n")
    (root / "sacct.txt").write_text("\n".join(_ended(int(time.time()) - 900)) + "\n")


def _queued() -> Iterator[str]:
    for number in range(20_000, 20_000 + JOBS):
        state = "RUNNING" if number % 3 else "PENDING"
        yield queue.SEPARATOR.join((
            str(number), str(number), f"user{number % 40}", state, "None", "gpu", "lab", "1-00:00:00", "2:03:04", "64G",
            "16", "1", f"gpu{number % 500:03}", "1795380000", "1795381000", "1795467400", "(null)", "(null)",
            f"train_{number % 700}",
        ))  # fmt: skip


def _ended(moment: int) -> Iterator[str]:
    for number in range(10_000, 10_000 + JOBS):
        failed = number % (JOBS // _FAILED) == 0
        state, code = ("FAILED", "1:0") if failed else ("COMPLETED", "0:0")
        known = {
            "User": f"user{number % 40}", "State": state, "ExitCode": code, "DerivedExitCode": "0:0",
            "ElapsedRaw": "7200", "TimelimitRaw": "1440", "ReqMem": "64G", "AllocCPUS": "16", "NNodes": "1",
            "NodeList": f"gpu{number % 500:03}", "Partition": "gpu", "Account": "lab", "Submit": str(moment - 9000),
            "Start": str(moment - 7200), "End": str(moment), "Reason": "None", "JobName": f"train_{number % 700}",
        }  # fmt: skip
        for step in ("", ".batch", ".extern"):
            name = f"{number}{step}"
            row = {**known, "JobID": name, "JobIDRaw": name, "MaxRSS": "1080K" if step else ""}
            yield queue.SEPARATOR.join(row.get(column, "") for column in accounts.COLUMNS)


def _calls(root: Path, name: str) -> int:
    file = root / f"{name}.calls"
    return file.read_text().count("x") if file.exists() else 0


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _spent(pid: int) -> float:
    """Return the seconds of processor time of a process, of its children and of those of them that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = sum(int(ticks) for ticks in fields[11:15]) / os.sysconf("SC_CLK_TCK")
    return own + sum(_spent(child) for child in _children(pid))


def _memories(pid: int) -> Iterator[float]:
    """Yield the most that a process and its children have had in memory, in MB."""
    told = Path(f"/proc/{pid}/status").read_text()
    yield int(told.partition("VmHWM:")[2].split()[0]) / 1000
    for child in _children(pid):
        yield from _memories(child)


if __name__ == "__main__":
    for result in results(int(sys.argv[1]) if len(sys.argv) > 1 else 10):
        print(result)
