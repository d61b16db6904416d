"""The mathematics of the answers: percentiles, the line through a series, first against last. Pure."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Final, Literal

from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

ENDS: Final = 10  # of a series: its first and its last ones are compared
FEWEST: Final = 5  # below which no direction is told
SURE: Final = 2.0  # standard errors that a slope is away from none
TELLING: Final = 0.1  # share of the mean by which a line has to rise or fall from end to end

Direction = Literal["improving", "stable", "degrading", "unclear"]


@frozen
class Point:
    """One attempt: when it ended, whether it worked, and its seconds where they are known."""

    at: float
    ok: bool
    seconds: float | None = None


@frozen
class Line:
    """The straight line that fits a series best, by least squares over its places."""

    slope: float  # a step
    error: float  # standard error of the slope; 0 where all lie on the line


@frozen
class Trend:
    """How a series of attempts has gone. Durations are those of the attempts that worked, in seconds."""

    attempts: int
    successes: int
    mean: float | None
    least: float | None
    most: float | None
    slope: float | None  # seconds an attempt
    direction: Direction
    first_mean: float | None  # of the first ten
    last_mean: float | None  # of the last ten
    first_rate: float | None  # the share of the first ten that worked
    last_rate: float | None
    rate_direction: Direction

    @property
    def rate(self) -> float | None:
        """The share that worked, 0 to 1."""
        return self.successes / self.attempts if self.attempts else None

    @property
    def change(self) -> float | None:
        """By what share of the first ten's mean the last ten's differs; 0.5 = half as long again."""
        if not self.first_mean or self.last_mean is None:
            return None
        return (self.last_mean - self.first_mean) / self.first_mean


def mean(values: Sequence[float]) -> float | None:
    """Return the mean, or None of nothing."""
    return math.fsum(values) / len(values) if values else None


def p95(values: Sequence[float]) -> float | None:
    """Return the least value that 19 of 20 stay within, by nearest rank.

    Example:
        >>> p95([float(n) for n in range(1, 101)]), p95([7.0])
        (95.0, 7.0)
    """
    return sorted(values)[rank(len(values))] if values else None


def rank(count: int) -> int:
    """Return the place, from 0, of the 95th percentile among so many sorted values."""
    return max(0, -(-95 * count // 100) - 1)


def line(values: Sequence[float]) -> Line | None:
    """Return the line through a series, or None of fewer than three values.

    Example:
        >>> line([10.0, 12.0, 14.0, 16.0])
        Line(slope=2.0, error=0.0)
    """
    count = len(values)
    if count < 3:
        return None
    middle_x, middle_y = (count - 1) / 2, math.fsum(values) / count
    spread = count * (count * count - 1) / 12  # the sum of squares of 0, 1, 2… about their middle
    slope = math.fsum((x - middle_x) * (y - middle_y) for x, y in enumerate(values)) / spread
    left = math.fsum((y - middle_y - slope * (x - middle_x)) ** 2 for x, y in enumerate(values))
    return Line(slope, math.sqrt(left / (count - 2) / spread))


def direction(values: Sequence[float], *, good: Literal["up", "down"], scale: float | None = None) -> Direction:
    """Return whether a series gets better, as far as its scatter lets that be told.

    Args:
        values: oldest first.
        good: whether more is better, or less.
        scale: what a change is measured by; none = the mean.
    """
    found = line(values) if len(values) >= FEWEST else None
    if found is None:
        return "unclear"
    by = abs(math.fsum(values) / len(values)) if scale is None else scale
    moved = abs(found.slope) * (len(values) - 1)
    if moved < TELLING * by or abs(found.slope) <= SURE * found.error or moved == 0:
        return "stable"
    return "improving" if (found.slope > 0) == (good == "up") else "degrading"


def trend(points: Sequence[Point]) -> Trend:
    """Return how a series has gone; its points stand oldest first."""
    took = [point.seconds for point in points if point.ok and point.seconds is not None]
    worked = [float(point.ok) for point in points]
    through = line(took)
    return Trend(
        attempts=len(points),
        successes=sum(point.ok for point in points),
        mean=mean(took),
        least=min(took, default=None),
        most=max(took, default=None),
        slope=through.slope if through else None,
        direction=direction(took, good="down"),
        first_mean=mean(took[:ENDS]),
        last_mean=mean(took[-ENDS:]),
        first_rate=mean(worked[:ENDS]),
        last_rate=mean(worked[-ENDS:]),
        rate_direction=direction(worked, good="up", scale=1.0),
    )


def buckets(values: Sequence[float], most: int) -> list[float]:
    """Return a series in at most so many means, oldest first: what a small bar is drawn of."""
    if len(values) <= most:
        return list(values)
    edges = [round(place * len(values) / most) for place in range(most + 1)]
    return [math.fsum(values[a:b]) / (b - a) for a, b in itertools.pairwise(edges)]
