"""What deciding costs: records through detectors, in processor time; ansible-rulebook's beside it where it is there.

Ours is one turn of `advance` for each look: conditions, holds, incidents, guards and what the journal is told. Theirs
is `ansible-rulebook` with its `generic` source in memory and one condition that no event fulfils.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import measure

from runbook.engine.language import load
from runbook.engine.language.render import Scope
from runbook.engine.model import Record, Seen
from runbook.engine.recover.advance import advance
from runbook.engine.recover.commands import Asked, Looked, Recover
from runbook.engine.recover.state import Plan, Settings, State

NEEDS_ANSIBLE = False
DETECTORS, RECORDS = 200, 100_000
LIMIT = 2.0  # seconds
LINEAR = 1.35  # how much dearer a record may be among ten times as many
EVENTS = 50_000
RULEBOOK = Path(measure.ANSIBLE).with_name("ansible-rulebook")
_DETECTOR = """
  - name: d{number}
    gpu:
    when: temperature > {mark} or memory_used_percent > 99
    clear: temperature < 60 and memory_used_percent < 90
    for: 1m
    recover: [{{command: [fix, "{number}"]}}]
"""


def results(rounds: int) -> list[measure.Result]:
    """Measure."""
    with tempfile.TemporaryDirectory(prefix="runbook-bench-") as folder:
        file = Path(folder, "many.yaml")
        detectors = "".join(_DETECTOR.format(number=number, mark=80 + number % 10) for number in range(DETECTORS))
        file.write_text(f"name: many\ndetectors:{detectors}", encoding="utf-8")
        state = _state(file)
        taken = {
            size: sorted(_turn(state, size) for _ in range(max(3, rounds // 2))) for size in (RECORDS // 10, RECORDS)
        }
        small, large = (taken[size][len(taken[size]) // 2] for size in (RECORDS // 10, RECORDS))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        told = (
            f"median {large:.2f} s of processor time ({taken[RECORDS][0]:.2f} to {taken[RECORDS][-1]:.2f}), "
            f"{large / RECORDS * 1e6:.1f} us a record; peak {peak >> 10} MiB"
        )
        return [
            measure.Result(f"{RECORDS} records through {DETECTORS} detectors", large, LIMIT, "s", (told,)),
            measure.Result("a record among ten times as many", large / 10 / small, LINEAR, "x"),
            *_peer(Path(folder)),
        ]


def _state(file: Path) -> State:
    runbook = load.load(file)
    scope = Scope(runbook, host="localhost", run={"id": "bench"})
    state = State(Plan(runbook, "bench", Settings(), 30.0, {"localhost": scope}), recovering=False)
    return advance(state, Recover(), 1e9)[0]


def _turn(state: State, records: int) -> float:
    """Return the seconds of processor time that one look of all detectors takes; one record in a hundred is hot."""
    each = records // DETECTORS
    seen = Seen(
        tuple(
            Record(
                str(number),
                {"index": number, "temperature": 95 if number % 100 == 0 else 70, "memory_used_percent": 50},
            )
            for number in range(each)
        )
    )
    looks = {detector.name: seen for detector in state.plan.runbook.detectors}
    began = time.process_time()
    asked, _ = advance(state, Asked(frozenset({"localhost"})), 1e9)
    after, _ = advance(asked, Looked("localhost", looks), 1e9)
    advance(after, Looked("localhost", looks), 1e9 + 30)
    return (time.process_time() - began) / 2


_SOURCE = """
import asyncio
async def main(queue, args):
    for number in range(int(args["events"])):
        await queue.put({"number": number, "temperature": 70})
    await queue.put({"number": -1, "temperature": 95})
"""
_RULES = """
- name: bench
  hosts: all
  sources: [{{many: {{events: {events}}}}}]
  rules:
    - {{name: hot, condition: event.temperature > 90, action: {{shutdown: {{}}}}}}
"""


def _peer(folder: Path) -> list[measure.Result]:
    """Measure ansible-rulebook, where it is installed."""
    if not RULEBOOK.exists():
        print(f"SKIP ansible-rulebook: there is no {RULEBOOK}; `make bench` installs it")
        return []
    (folder / "many.py").write_text(_SOURCE, encoding="utf-8")
    (folder / "rules.yml").write_text(_RULES.format(events=EVENTS), encoding="utf-8")
    (folder / "hosts.yml").write_text("all: {hosts: {localhost: {ansible_connection: local}}}\n", encoding="utf-8")
    theirs = _rulebook(folder)
    (folder / "rules.yml").write_text(_RULES.format(events=1), encoding="utf-8")
    start = _rulebook(folder)
    (folder / "one.yaml").write_text(
        "name: one\ndetectors: [{name: hot, gpu: , when: temperature > 90}]\n", encoding="utf-8"
    )
    ours = _one(_state(folder / "one.yaml"))
    told = f"ours {ours:.2f} s, theirs {theirs - start:.2f} s beside {start:.2f} s to start (processor time)"
    return [
        measure.Result(f"{EVENTS} events through one condition", ours / (theirs - start), 1.0, "x of theirs", (told,))
    ]


def _one(state: State) -> float:
    events = tuple(Record(str(number), {"index": number, "temperature": 70}) for number in range(EVENTS))
    began = time.process_time()
    advance(state, Looked("localhost", {"hot": Seen(events)}), 1e9)
    return time.process_time() - began


def _rulebook(folder: Path) -> float:
    argv = [str(RULEBOOK), "--rulebook", "rules.yml", "-i", "hosts.yml", "-S", str(folder)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=300, check=False,
                          env={**os.environ, "PATH": f"{RULEBOOK.parent}:{os.environ['PATH']}"})  # fmt: skip
    if done.returncode:
        sys.exit(json.dumps(done.stderr[-2000:]))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
