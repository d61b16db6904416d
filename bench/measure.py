"""Programs run in turn, so that what else the machine does falls on all of them alike."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runbook.engine.fleet import Agent, Spec

HERE = Path(__file__).resolve().parent
DATA = HERE / "data"
RUNBOOK = str(Path(sys.executable).with_name("runbook"))
ANSIBLE = str(HERE.parent / ".venv-bench" / "bin" / "ansible-playbook")
_LIMIT = 120  # seconds for one run


@dataclass(frozen=True)
class Times:
    """How long each run of one program took, in seconds."""

    runs: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median."""
        return statistics.median(self.runs)

    def __str__(self) -> str:
        return f"{self.median * 1000:.0f} ms ({min(self.runs) * 1000:.0f} to {max(self.runs) * 1000:.0f})"


@dataclass(frozen=True)
class Result:
    """One figure of a benchmark, and the limit it is held to."""

    name: str
    value: float
    limit: float
    unit: str  # of both; "x" for a ratio
    details: tuple[str, ...] = ()

    @property
    def held(self) -> bool:
        """Whether it is within its limit."""
        return self.value <= self.limit

    def __str__(self) -> str:
        verdict = "ok  " if self.held else "OVER"
        head = f"{verdict} {self.name}: {self.value:.2f} {self.unit} (limit {self.limit:.2f})"
        return "\n".join([head, *(f"       {line}" for line in self.details)])


def interleaved(
    programs: Mapping[str, Sequence[str]],
    rounds: int,
    environment: Mapping[str, str] | None = None,
    before: Callable[[], object] = lambda: None,
) -> dict[str, Times]:
    """Run each program once a round, after one round that does not count, and return how long they took.

    What `before` does before each run is not counted.

    Raises:
        SystemExit: a program failed; its output says why.
    """
    taken: dict[str, list[float]] = {name: [] for name in programs}
    for number in range(rounds + 1):
        for name, argv in programs.items():
            before()
            seconds = _run(argv, environment)
            if number:
                taken[name].append(seconds)
    return {name: Times(tuple(runs)) for name, runs in taken.items()}


def ratio(name: str, ours: str, theirs: str, taken: Mapping[str, Times], limit: float) -> Result:
    """Return one program's median as a multiple of another's."""
    lines = tuple(f"{label}: {times}, {len(times.runs)} runs" for label, times in taken.items())
    return Result(name, taken[ours].median / taken[theirs].median, limit, "x", lines)


def _run(argv: Sequence[str], environment: Mapping[str, str] | None) -> float:
    env = {**os.environ, **(environment or {})}
    begun = time.perf_counter()
    done = subprocess.run(
        argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_LIMIT, check=False
    )
    taken = time.perf_counter() - begun
    if done.returncode:
        sys.exit(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return taken


def looked(agent: Agent, specs: list[Spec]) -> list[Spec]:
    """Look once, end where a detector can't see, and return the looks of the next tick."""
    from runbook.engine.model import Seen  # most benchmarks import nothing of ours

    looks = agent.probe(specs)
    told = {name: look for name, look in looks.items() if not isinstance(look, Seen)}
    if told:
        sys.exit(f"not every detector sees: {told}")
    return [replace(spec, state=looks[spec.id].state) for spec in specs]  # type: ignore[union-attr]
