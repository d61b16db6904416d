"""What the journal answers cost when it is large: `status` and `stats` over a million events.

Measured is the whole command by the clock, start-up and all, as a person waits for it; its processor time stands beside
it, since other work on the machine makes the clock dearer.
"""

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

from runbook.engine.journal.facts import Fact, IncidentRow, RunStart
from runbook.engine.journal.store import open_journal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runbook.engine.journal.batch import Batch

NEEDS_ANSIBLE = False
EVENTS = 1_000_000
DAYS = 90
HOSTS = 100
RUNBOOKS = ("serving", "training", "nodes")
LIMITS = {"status": 0.1, "stats --since all": 1.0, "trends": 2.0, "explain ID": 0.2, "history": 0.5}  # seconds
_DETECTORS = ("server down", "gpu overheating", "disk full", "hung collective", "xid")
_MODULES = ("restart_daemon", "kill_orphans", "clear_cache", "gpu_power_limit")
_OPERATIONS = ("download model", "build vllm", "answer a prompt")
_A_RUN = 168  # events, about


def results(rounds: int) -> list[measure.Result]:
    """Measure; a round asks every question once."""
    with tempfile.TemporaryDirectory(prefix="runbook-bench-") as folder:
        path = Path(os.environ.get("RUNBOOK_BENCH_JOURNAL") or f"{folder}/journal.db")
        if not path.exists():
            fill(path, EVENTS)
        open_journal(str(path)).close()  # one that an earlier version made is brought forward
        some = next(iter(_incident_ids(path)))
        asked = {name: name.replace("ID", some).split() for name in LIMITS}
        taken = {name: [_cost(words, path) for _ in range(rounds + 1)][1:] for name, words in asked.items()}
    return [
        measure.Result(
            f"`runbook {name}` over {EVENTS:,} events",
            statistics.median(took for took, _ in runs),
            LIMITS[name],
            "s",
            (
                f"by the clock {_told([took for took, _ in runs])}",
                f"processor time {_told([busy for _, busy in runs])}, {len(runs)} runs",
            ),
        )
        for name, runs in taken.items()
    ]


def _told(seconds: Sequence[float]) -> str:
    return f"{min(seconds):.3f} to {max(seconds):.3f} s, median {statistics.median(seconds):.3f} s"


def fill(path: Path, events: int, now: float | None = None) -> None:
    """Write a journal of about so many events, by the journal's own hand; the last pass left a few things open."""
    now = time.time() if now is None else now
    runs = events // _A_RUN
    with open_journal(str(path)) as journal:
        for first in range(0, runs, 100):
            with journal.transaction() as batch:
                for number in range(first, min(first + 100, runs)):
                    _run(
                        batch, number, now - DAYS * 86400 * (runs - number) / runs, last=number >= runs - len(RUNBOOKS)
                    )


def _run(batch: Batch, number: int, at: float, *, last: bool) -> None:
    name, runbook = f"{number:08x}", RUNBOOKS[number % len(RUNBOOKS)]
    hosts = [f"gpu{(number + step) % HOSTS:03}" for step in range(10)]
    batch.begin_run(RunStart(name, runbook, f"/etc/runbooks/{runbook}.yaml", "0" * 64, "apply", at, "root@controller"))
    breaker = {"failures": 5, "successes": 2, "timeout": 60.0}
    fed = {name: {"operations": [name], "member": "", "window": 20, "breaker": breaker} for name in _OPERATIONS}
    data = {"runbook": runbook, "command": "apply", "hosts": hosts, "order": list(_DETECTORS), "detectors": 5,
            "components": fed}  # fmt: skip
    batch.event(Fact("run.begun", at, name, data=data))
    for place, host in enumerate(hosts):
        seed = number * 31 + place * 7
        for fact in _operated(name, host, at, seed):
            batch.event(fact)
        _healed(batch, name, runbook, host, at, seed, left=last and place < 3)
    batch.event(Fact("run.ended", at + 60.0, name, data={"duration": 60.0}))
    batch.end_run(name, at + 60.0, 2 if last else 0)


def _operated(run: str, host: str, at: float, seed: int) -> Iterator[Fact]:
    operation = _OPERATIONS[seed % len(_OPERATIONS)]
    about = {"host": host, "operation": operation}
    for attempt in range(1, 2 + (seed % 5 == 0)):
        ok = attempt == 2 or seed % 5 != 0
        data = {"attempt": attempt, "ok": ok, "module": "http_request", "duration": 1.0 + seed % 13,
                "error": "" if ok else "timed out"}  # fmt: skip
        yield Fact("attempt.begun", at, run, **about, data={"attempt": attempt})
        yield Fact("attempt.ended", at + 1, run, **about, step=f"{run}-{attempt}", data=data)
        if not ok:
            yield Fact("attempt.delayed", at + 1, run, **about, data={"attempt": attempt + 1, "delay": 5.0})
    yield Fact(
        "operation.ended", at + 9, run, **about, data={"state": "succeeded", "attempts": attempt, "duration": 8.0}
    )


def _healed(batch: Batch, run: str, runbook: str, host: str, at: float, seed: int, *, left: bool) -> None:
    detector, ident = _DETECTORS[seed % len(_DETECTORS)], f"{run}{host}"[-12:]
    about = {"host": host, "detector": detector, "subject": "vllm", "incident": ident}
    fields = {"status": 0, "latency": 30.0, "error": "connection refused", "ok": False}
    seen = {"since": at - 30.0, "severity": "high", "fields": fields, "when": "status != 200", "count": 1}
    told = [("incident.opened", seen), ("recovery.begun", {"strategy": "progressive"}),
            ("incident.changed", {"from": "open", "to": "recovering"})]  # fmt: skip
    for rung in range(1 + seed % 3):
        step = {"module": _MODULES[(seed + rung) % 4], "title": "restart", "rung": rung, "phase": "recover"}
        done = {**step, "status": "done" if seed % 11 else "failed", "changed": True, "duration": 2.0 + seed % 17,
                "actions": [{"action": "run", "what": "systemctl restart vllm.service"}]}  # fmt: skip
        told += [("step.begun", step), ("step.ended", done), ("verified.look", {"fields": fields, "clear": False}),
                 ("incident.changed", {"from": "recovering", "to": "verifying"})]  # fmt: skip
    ending = "unhealed" if seed % 11 == 0 else "cured"
    if not left:
        told += [
            ("recovery.ended", {"begun": at}),
            ("incident.ended", {"to": ending, "since": at - 30.0, "opened": at}),
        ]
    for step_at, (kind, data) in enumerate(told):
        batch.event(Fact(kind, at + step_at, run, **about, data=data))
    closed = None if left else at + len(told)
    state = "waiting" if left else ending
    batch.incident(IncidentRow(ident, runbook, detector, host, "vllm", state, "high", at, at + 20, closed,
                               {"reason": "waits for approval", "since": at - 30.0, "fields": fields}))  # fmt: skip


def _incident_ids(path: Path) -> list[str]:
    with open_journal(str(path), read_only=True) as journal:
        return [row.id for runbook in RUNBOOKS for row in journal.open_incidents(runbook)]


def _cost(words: Sequence[str], path: Path) -> tuple[float, float]:
    """Return the seconds that one command takes, and those of a processor."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    env = {**os.environ, "RUNBOOK_JOURNAL": str(path)}
    began = time.perf_counter()
    done = subprocess.run([measure.RUNBOOK, *words], env=env, capture_output=True, text=True, timeout=120, check=False)
    took = time.perf_counter() - began
    if done.returncode not in (0, 2, 3, 4):
        sys.exit(f"runbook {' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
