"""What jobs of a kind should ask for, out of what those before them used: pure, and each figure with its reason.

A job that ran out of something tells only that it needs more than that; one that ended early tells as little. So what
is suggested comes from jobs that completed, and from nothing less than what others ran out of.
"""

import math
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from runbook.modules.slurm import units
from runbook.modules.slurm.usage import Run

GROWTH = 1.5  # what a job that ran out of something is given of it, as `slurm-recover` does
_GIB, _MIB = 1 << 30, 1 << 20
_MEMORY_STEPS = ((1 * _GIB, 16 * _MIB), (16 * _GIB, 512 * _MIB), (128 * _GIB, _GIB), (math.inf, 8 * _GIB))
_TIME_STEPS = ((600, 60), (3600, 300), (43200, 900), (172800, 3600), (math.inf, 14400))
_OUT = {"memory": "out_of_memory", "time": "timeout"}


class Advice(NamedTuple):
    """What is known of one resource of a kind of jobs."""

    asked: Optional[float]  # what most of them asked for
    used: Optional[float]  # what the given share of them used at most
    most: Optional[float]  # what any of them used
    suggested: Optional[float]
    why: str  # in words


def memory(runs: Sequence[Run], quantile: float, headroom: float) -> Advice:
    """Return what to ask for of a node's memory, in bytes."""
    return _advice("memory", runs, lambda run: run.memory, lambda run: run.peak, quantile, headroom)


def time(runs: Sequence[Run], quantile: float, headroom: float) -> Advice:
    """Return which limit to ask for, in seconds."""
    return _advice("time", runs, lambda run: run.limit, lambda run: run.elapsed, quantile, headroom)


def cpus(runs: Sequence[Run], quantile: float, headroom: float) -> Advice:
    """Return for how many CPUs to ask."""
    done = [run for run in runs if run.state == "completed" and run.cpu_time is not None and run.elapsed]
    busy = [(run.cpu_time or 0.0) / run.elapsed for run in done]
    asked = _usual([run.asked for run in runs])
    if not busy or asked is None:
        return Advice(asked, None, None, None, "the accounting knows no CPU time of a job that completed")
    used = at(busy, quantile)
    wanted = max(1, math.ceil(used * (1 + headroom / 100) - 0.05))
    if wanted >= asked:
        return Advice(asked, used, max(busy), asked, "they are used")
    why = f"{_share(quantile, len(busy))} kept at most {used:.1f} busy; + {headroom:g} %"
    return Advice(asked, used, max(busy), wanted, why)


def gpus(runs: Sequence[Run]) -> Advice:
    """Return for how many GPUs to ask: fewer only where none was ever used."""
    having = [run for run in runs if run.gpus]
    asked = _usual([run.gpus for run in having])
    known = [run.gpu_percent for run in having if run.gpu_percent is not None]
    if not having or asked is None:
        return Advice(None, None, None, None, "")
    if not known:
        return Advice(asked, None, None, None, "the accounting has no gres/gpuutil")
    mean = sum(known) / len(known)
    busy = asked * mean / 100
    if not any(known):
        return Advice(asked, 0.0, 0.0, 0, f"{_jobs(len(known))} used none of theirs")
    return Advice(asked, busy, asked * max(known) / 100, asked, f"busy for {mean:.0f} %")


def at(values: Sequence[float], quantile: float) -> float:
    """Return the value that so many percent do not exceed.

    Example:
        >>> at([1.0, 2.0, 3.0, 4.0], 75), at([5.0], 95)
        (3.0, 5.0)
    """
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * quantile / 100) - 1)]


def _advice(
    what: str,
    runs: Sequence[Run],
    asks: Callable[[Run], Optional[float]],
    uses: Callable[[Run], Optional[float]],
    quantile: float,
    headroom: float,
) -> Advice:
    asked = _usual([value for value in map(asks, runs) if value is not None])
    seen = [value for value in map(uses, runs) if value is not None]
    done = [value for value in map(uses, (run for run in runs if run.state == "completed")) if value is not None]
    out = [max(asks(run) or 0, uses(run) or 0) for run in runs if run.state == _OUT[what]]
    most = max(seen, default=None)
    used = at(done, quantile) if done else None
    short = max(out, default=0)
    if short and short >= (used or 0):
        wanted = _rounded(what, short * GROWTH)
        return Advice(asked, used, most, wanted, f"{_ran_out(what, out, runs)}: {GROWTH:g} times that, and maybe more")
    if used is None:
        why = "no job completed: what it takes is not known" if seen else "the accounting knows no peak"
        return Advice(asked, None, most, None, why)
    wanted = _rounded(what, used * (1 + headroom / 100))
    why = f"{_share(quantile, len(done))} used at most {shown(what, used)}; + {headroom:g} %"
    if asked is not None and wanted >= asked and not out:
        return Advice(asked, used, most, asked, "it is used, and enough")
    over = sum(value > wanted for value in done)
    return Advice(asked, used, most, wanted, why + (f"; {over} would not have had enough" if over else ""))


def _usual(values: Sequence[float]) -> Optional[float]:
    """Return what most have; of several such, the largest."""
    counts: Dict[float, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return max(counts, key=lambda value: (counts[value], value), default=None)


def _rounded(what: str, value: float) -> float:
    """Return a figure that a person would write, no smaller."""
    steps: Sequence[Tuple[float, float]] = _MEMORY_STEPS if what == "memory" else _TIME_STEPS
    step = next(each for limit, each in steps if value <= limit)
    return math.ceil(value / step) * step


def shown(what: str, value: float) -> str:
    """Return a figure as people write it for Slurm."""
    return units.shown_memory(value) if what == "memory" else units.shown_time(value)


def _ran_out(what: str, out: List[float], runs: Sequence[Run]) -> str:
    return f"{'it' if len(runs) == 1 else f'{len(out)} of {len(runs)}'} ran out of {what} with {shown(what, max(out))}"


def _share(quantile: float, count: int) -> str:
    if count == 1:
        return "the one that completed"
    every = math.ceil(count * quantile / 100) == count
    return f"all {count} that completed" if every else f"{quantile:g} % of {count} that completed"


def _jobs(count: int) -> str:
    return f"{count} job{'s' * (count != 1)}"
