"""Kills engine, agent and both at every point of a recovery of ten steps, fills their disks, cuts their connection.

    python tests/crash/harness.py [--kinds kill-engine,kill-agent,kill-both,fill,cut] [--every N] [--offset N]

Each run begins anew in a directory of its own: one pass with a fault at one point (`faults.py`), then passes without
any until all is quiet. After them must hold: no step with an effect ran twice (but idempotent ones whose agent was
killed), the incident is not lost, and it is healed, or explained and waits for a person. Filling a disk needs root and
is done on a tmpfs of the run's own, in a mount namespace.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
KINDS = ("kill-engine", "kill-agent", "kill-both", "fill", "cut")
STEPS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
AGAIN = frozenset({"three", "six", "nine"})  # these may run again: `command` with `unless`
PASSES = 6
UNREACHED = "was not reached"
_SIZE = "6m"  # of the disk that is filled

BOOK = """
name: ten steps
writable: ["{home}/data"]
detectors:
  - name: ill
    file: {home}/data/ill
    when: exists
    mode: auto
    verify: {{within: 10s}}
    recover:
"""


@dataclass
class Run:
    """What came of one fault."""

    kind: str
    point: str  # its number, or `LABEL #N` for the N-th of a label: which of two processes is first differs
    label: str = ""
    effects: list[str] = field(default_factory=list)
    exits: list[int] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    told: str = ""
    trace: dict[int, str] = field(default_factory=dict)  # the points that were reached

    def __str__(self) -> str:
        what = f"{self.kind} at {self.point} ({self.label}): exits {self.exits}, {self.states[-1:]}"
        return what + "".join(f"\n    {each}" for each in self.wrong) + (f"\n{self.told}" if self.wrong else "")


def book(home: Path) -> str:
    """Return the runbook: ten steps that append their names, the last of which heals."""
    text = BOOK.format(home=home)
    for name in STEPS:
        script = f"echo {name} >> {home}/effects" + (f"; rm -f {home}/data/ill" if name == STEPS[-1] else "")
        if name in AGAIN:
            text += f"      - command: {{argv: [sh, -c, '{script}'], unless: [test, -e, {home}/data/never]}}\n"
        else:
            text += f"      - shell: {{script: '{script}'}}\n"
    return text


def run(kind: str, point: int | str, base: Path) -> Run:
    """Let one fault happen at one point, pass on until all is quiet, and look what came of it."""
    home = Path(tempfile.mkdtemp(prefix=f"{kind}-", dir=base))
    (home / "data").mkdir()
    (home / "disk").mkdir()
    (home / "data/ill").touch()
    (home / "ten.yaml").write_text(book(home))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("CRASH_")},
        "RUNBOOK_JOURNAL": f"{home}/disk/journal.db",
        "RUNBOOK_AGENT_DIR": f"{home}/disk",
        "NO_COLOR": "1",
    }
    armed = {
        **environment,
        "CRASH_COUNTER": f"{home}/points",
        "CRASH_KIND": kind,
        "CRASH_AT": str(point),
        "CRASH_DISK": f"{home}/disk",
    }
    found = Run(kind, str(point))
    try:
        _passes(home, kind, environment, armed, found)
        _judge(home, kind, environment, found)
    finally:
        _end(home)
    return found


def points(base: Path) -> dict[int, str]:
    """Return the points of a pass without a fault, by their numbers."""
    found = run("none", 0, base)
    if found.wrong:
        raise RuntimeError(str(found))
    return found.trace


def _passes(home: Path, kind: str, environment: dict[str, str], armed: dict[str, str], found: Run) -> None:
    command = [sys.executable, str(HERE / "faults.py"), "apply", str(home / "ten.yaml"), "--format", "json"]
    if kind == "fill":
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(home / "disk")], check=True)
    for number in range(PASSES):
        done = subprocess.run(
            command, env=armed if number == 0 else environment, capture_output=True, text=True, timeout=60, check=False,
            stdin=subprocess.DEVNULL, cwd=home,
        )  # fmt: skip
        found.exits.append(done.returncode)
        found.told += f"--- pass {number + 1}: exit {done.returncode}\n{done.stderr}"
        if "Traceback" in done.stderr:
            found.wrong.append("an engine failed with a traceback")
        if number == 0:
            (home / "disk/fill").unlink(missing_ok=True)
            found.trace = _trace(home)
            found.label = _label(found)
            continue
        found.told += done.stdout[-3000:]
        try:
            (incident,) = json.loads(done.stdout)["runs"][0]["hosts"]["localhost"]["incidents"] or [{"state": "none"}]
        except (ValueError, KeyError, IndexError):
            found.states.append("?")
            continue
        found.states.append(incident["state"])
        if done.returncode == 0 or incident["state"] == "interrupted":
            return


def _label(found: Run) -> str:
    if found.point.isdigit():
        return found.trace.get(int(found.point), UNREACHED)
    label, _, nth = found.point.rpartition(" #")
    return found.point if list(found.trace.values()).count(label) >= int(nth) else UNREACHED


def _trace(home: Path) -> dict[int, str]:
    lines = (line.split(" ", 1) for line in (home / "points").read_text().splitlines())
    return {int(number): label for number, label in lines}


def _judge(home: Path, kind: str, environment: dict[str, str], found: Run) -> None:
    found.effects = (home / "effects").read_text().split() if (home / "effects").exists() else []
    counts = collections.Counter(found.effects)
    killed = kind in {"kill-agent", "kill-both"}
    for name, times in counts.items():
        if times > 1 and not (name in AGAIN and killed):
            found.wrong.append(f"{name} ran {times} times")
    first = list(dict.fromkeys(found.effects))
    if first != list(STEPS[: len(first)]):
        found.wrong.append(f"the order was {first}")
    asked = (
        "import json, sys; from runbook.engine.journal.store import open_journal\n"
        "with open_journal(read_only=True) as journal:\n"
        "    rows = journal.ask('SELECT id, state, closed, data FROM incidents')\n"
        "    left = journal.ask('SELECT id FROM intents WHERE ended IS NULL')\n"
        "    held = journal.ask('SELECT host, subject FROM leases WHERE released IS NULL')\n"
        "    print(json.dumps([rows, left, held]))\n"
    )
    told = subprocess.run([sys.executable, "-c", asked], env=environment, capture_output=True, text=True, check=True)
    incidents, intents, leases = json.loads(told.stdout)
    if not incidents:
        found.wrong.append("the incident is lost")
        return
    for name, state, closed, data in incidents:
        if state == "interrupted":
            if f"runbook release {name}" not in json.loads(data)["reason"]:
                found.wrong.append(f"interrupted without a word how to go on: {data}")
        elif closed is None:
            found.wrong.append(f"the incident is still {state}: {json.loads(data)['reason']}")
        elif state != "cured":
            found.wrong.append(f"the incident ended {state}: {json.loads(data)['reason']}")
    if any(row[1] == "interrupted" for row in incidents):
        if not killed:
            found.wrong.append("interrupted though no agent was killed")
    else:
        if set(counts) != set(STEPS):
            found.wrong.append(f"healed without {sorted(set(STEPS) - set(counts))}")
        if (home / "data/ill").exists():
            found.wrong.append("called healed, and is ill")
    if intents:
        found.wrong.append(f"intents are left without a result: {intents}")
    if leases:
        found.wrong.append(f"leases are left: {leases}")


def _end(home: Path) -> None:
    subprocess.run(["umount", "-l", str(home / "disk")], capture_output=True, check=False)
    shutil.rmtree(home, ignore_errors=True)


def _fits(kind: str, label: str) -> bool:
    """Tell whether a fault can happen at a point: only messages can be cut off."""
    return kind != "cut" or "sending" in label or "answer" in label


def say(line: str) -> None:
    """Tell at once: a long run is watched."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Run all, or every n-th, and tell what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--every", type=int, default=1, help="only each n-th point")
    parser.add_argument("--offset", type=int, default=0, help="how many points to leave out at the beginning")
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="crash-"))
    failed = 0
    try:
        there = points(base)
        some = list(there)[given.offset :: given.every]
        todo = [(kind, point) for kind in given.kinds.split(",") for point in some if _fits(kind, there[point])]
        say(f"{len(there)} points, {len(todo)} runs")
        ends: collections.Counter[str] = collections.Counter()
        with concurrent.futures.ThreadPoolExecutor(given.jobs) as pool:
            for found in pool.map(lambda each: run(*each, base), todo):
                ends[f"{found.kind}: {found.states[-1] if found.states else 'no pass'}"] += 1
                if found.wrong:
                    failed += 1
                    say(f"WRONG {found}")
        for name, number in sorted(ends.items()):
            say(f"{number:5} {name}")
        say(f"{len(todo)} runs, {failed} wrong")
    finally:
        shutil.rmtree(base, ignore_errors=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
