"""What a journalled step costs: everything that the journal writes for it, against two bare fdatasyncs.

The steps are those of one recovery, driven by `advance` with a step that ends at once; measured is the time that the
keeper takes to make each turn durable. Between any two turns a bare file is written and synced, so that both meet the
same disk.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import measure

from runbook.engine import restore
from runbook.engine.journal.facts import Fact, RunStart
from runbook.engine.journal.locks import Locks
from runbook.engine.journal.store import open_journal
from runbook.engine.keep import Keeper
from runbook.engine.language import load, render
from runbook.engine.model import Outcome, Record, Seen, StepStatus
from runbook.engine.recover.advance import advance
from runbook.engine.recover.commands import Act, Ended, Happened, Looked, Recover, Resume
from runbook.engine.recover.state import Plan, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.recover.commands import Command, Event
    from runbook.engine.recover.state import State

NEEDS_ANSIBLE = False
LIMIT = 1.5  # times two bare fdatasyncs
STEPS = 40
_BLOCK = 4096  # bytes that a bare sync makes durable
_OUTPUT = "restarted vllm.service; it was active within 3.2 s\n" * 8


def results(rounds: int) -> list[measure.Result]:
    """Measure; a round is a recovery of forty steps."""
    kept: list[float] = []
    bare: list[float] = []
    turns = 0
    for _ in range(rounds + 1):
        with tempfile.TemporaryDirectory(prefix="runbook-bench-", dir=os.environ.get("RUNBOOK_BENCH_DISK")) as folder:
            took = list(_recovery(Path(folder)))
        if turns:  # the first round does not count
            kept += [sum(one for one, _ in took) / STEPS]
            bare += [2 * statistics.mean(two for _, two in took)]
        turns = len(took)
    lines = (
        f"a step: {_told(kept)}, {turns / STEPS:.2f} commits of it",
        f"two fdatasyncs of {_BLOCK} bytes: {_told(bare)}",
    )
    ratio = statistics.median(ours / theirs for ours, theirs in zip(kept, bare, strict=True))
    return [measure.Result("a journalled step against two bare fdatasyncs", ratio, LIMIT, "x", lines)]


def _told(taken: list[float]) -> str:
    values = [seconds * 1000 for seconds in taken]
    return f"{statistics.median(values):.2f} ms ({min(values):.2f} to {max(values):.2f})"


def _recovery(folder: Path) -> Iterator[tuple[float, float]]:
    """Go through one recovery; yield of each turn that was written how long that took, and a bare sync beside it."""
    file = folder / "bench.yaml"
    steps = "\n".join(f"      - shell: {{script: 'restart part {number}'}}" for number in range(STEPS))
    file.write_text(
        f"name: bench\ndetectors:\n  - name: ill\n    file: /x\n    when: exists\n    mode: auto\n"
        f"    recover:\n{steps}\n"
    )
    runbook = load.load(file)
    descriptor = os.open(folder / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with open_journal(str(folder / "journal.db")) as journal, Locks(journal.path) as locks:
        locks.take("run r1")
        journal.begin_run(RunStart("r1", "bench", str(file), "", "apply", time.time(), "bench"))
        scope = render.Scope(runbook, host="localhost", run={"id": "r1", "scratch": ""}, secrets={})
        plan = Plan(runbook, "r1", Settings(), 60.0, {"localhost": scope})
        state, cursors = restore.load(plan, journal, "localhost", 0.0, time.time())
        keeper = Keeper(journal, "bench", "r1", {"localhost": cursors}, locks=locks)
        record = Record("/x", {"path": "/x", "exists": True})
        events: list[Event] = [
            keeper.told(time.time()),
            Resume({}),
            Recover(),
            Looked("localhost", {"ill": Seen((record,), {})}),
        ]
        while events:
            state, commands, seconds = _turn(state, events.pop(0), keeper)
            acts = [command for command in commands if isinstance(command, Act)]
            events += [Ended(act.intent, Outcome(StepStatus.DONE, changed=True, output=_OUTPUT)) for act in acts]
            if acts:
                began = time.perf_counter()
                os.write(descriptor, bytes(_BLOCK))
                os.fdatasync(descriptor)
                yield seconds, time.perf_counter() - began
    os.close(descriptor)


def _turn(state: State, event: Event, keeper: Keeper) -> tuple[State, tuple[Command, ...], float]:
    now = time.time()
    after, commands = advance(state, event, now)
    facts = [_fact(command, now) for command in commands if isinstance(command, Happened)]
    began = time.perf_counter()
    keeper.keep(state, after, event, commands, facts, {}, now)
    return after, commands, time.perf_counter() - began


def _fact(told: Happened, now: float) -> Fact:
    about: tuple[Any, ...] = (told.host, told.detector, told.subject, told.incident, told.operation, told.step)
    return Fact(told.kind, now, "r1", *about, told.data)
