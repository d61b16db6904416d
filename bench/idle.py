"""What ten thousand idle log files cost: one tick of one detector through a kept agent, on the host and before it."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import measure

from runbook.engine.fleet import Spec, local
from runbook.engine.model import Seen

NEEDS_ANSIBLE = False
FILES = 10_000
EVERY = 5.0  # seconds between two ticks
SHARE = 1.0  # percent of a core that the host may spend
_TICK = os.sysconf("SC_CLK_TCK")
_TOGETHER = 20  # ticks that are measured as one: the kernel counts in hundredths of a second


def results(rounds: int) -> list[measure.Result]:
    """Measure."""
    with tempfile.TemporaryDirectory(prefix="runbook-bench-") as folder:
        logs = Path(folder, "logs")
        logs.mkdir()
        for number in range(FILES):
            (logs / f"service-{number:05d}.log").write_text("started\nlistening on port 8000\n")
        time.sleep(0.1)  # a directory that was touched this very moment is looked at again
        host, controller = _ticks(Path(folder), logs, rounds)
    lines = (
        f"host, agent and its children: {_shown(host)}",
        f"controller: {_shown(controller)}",
        f"{FILES} files, {len(host)} times {_TOGETHER} ticks",
    )
    share = statistics.median(host) / EVERY * 100
    return [measure.Result("idle files, share of a core at a tick each 5 s", share, SHARE, "%", lines)]


def _ticks(folder: Path, logs: Path, rounds: int) -> tuple[list[float], list[float]]:
    """Return the processor time of a tick on the host and on the controller, in seconds."""
    host, controller = [], []
    state: dict[str, Any] = {}
    with local.connect(folder / "agent") as agent:
        for turn in range(rounds + 1):
            before = _spent(), time.process_time()
            for _ in range(_TOGETHER if turn else 1):
                params = {
                    "paths": (f"{logs}/*.log",),
                    "patterns": {"oom": "CUDA out of memory", "nccl": "(?i)nccl.*timeout"},
                }
                look = agent.probe([Spec("idle", "log", params, state)])["idle"]
                assert isinstance(look, Seen), look
                assert not look.records
                state = dict(look.state)
            if not turn:
                time.sleep(1.0)  # in which the agent imports what its first children had to
            else:
                host.append((_spent() - before[0]) / _TOGETHER)
                controller.append((time.process_time() - before[1]) / _TOGETHER)
    return host, controller


def _spent() -> float:
    """Return the processor time of the agent, which is our only child, and of all that it has reaped."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return sum(sum(map(int, _stat(pid)[11:15])) for pid in children) / _TICK


def _stat(pid: str) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _shown(seconds: list[float]) -> str:
    low, high = min(seconds) * 1000, max(seconds) * 1000
    return f"{statistics.median(seconds) * 1000:.1f} ms of processor time a tick ({low:.1f} to {high:.1f})"


if __name__ == "__main__":
    for result in results(5):
        print(result)
