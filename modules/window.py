"""The last numbers of a series, and what they say together: mean, slope, how odd the last one is.

The formulas are those of NIST's e-Handbook of Statistical Methods (https://www.itl.nist.gov/div898/handbook/): the
sample mean and standard deviation (1.3.5.1, 1.3.5.6), the slope of a line fitted by least squares (4.1.4.1), and the
z-score (1.3.5.17). Means are taken first and differences after, so that large numbers close together lose nothing.
"""

import math
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from runbook.modules.frozen import frozen

MOST = 500  # samples of one series that are kept, whatever the window
LEAST = 5  # samples before the last one, with fewer of which nothing is odd
_FLAT = 1e-9  # of the mean: numbers that differ by less do not differ

Span = Union[int, float]  # so many samples (int), or seconds (float)
Kept = Tuple[float, Optional[float]]  # when, and the number; None = not a number, or infinite


@frozen
class Summary:
    """What a window says; None where it holds too little for that."""

    value: Optional[float]
    mean: Optional[float]
    slope: Optional[float]
    zscore: Optional[float]
    nan: int
    samples: int


def load(kept: Mapping[str, Any]) -> List[Kept]:
    """Return a window's numbers from what `store` made."""
    begin = kept["begin"]
    return [(begin + after, value) for after, value in kept["values"]]


def store(window: Sequence[Kept]) -> Dict[str, Any]:
    """Return a window as short JSON."""
    begin = round(window[0][0], 3) if window else 0.0
    return {"begin": begin, "values": [[round(at - begin, 3), value] for at, value in window]}


def extended(window: Sequence[Kept], samples: Sequence[Tuple[float, float]], span: Span, now: float) -> List[Kept]:
    """Return a window after more samples, oldest first, as far back as it reaches.

    The newest sample stays whatever its age. One that lies in the future was taken before a clock was set back, and
    can't be put in order: it is dropped.
    """
    finite = [(at, value if math.isfinite(value) else None) for at, value in samples]
    whole = sorted([*window, *finite], key=lambda kept: kept[0])
    whole = [kept for kept in whole if kept[0] <= now + 1.0]
    if isinstance(span, int):
        return whole[-min(span, MOST) :]
    recent = [kept for kept in whole if kept[0] > now - span][-MOST:]
    return recent or whole[-1:]


def summary(window: Sequence[Kept], span: Span, now: float, *, counter: bool = False) -> Summary:
    """Return what the numbers say. Of a counter the slope passes over its new beginnings."""
    last = window[-1][1] if window else None
    inside = [kept for kept in window if isinstance(span, int) or kept[0] > now - span]
    finite = [(at, value) for at, value in inside if value is not None]
    values = [value for _, value in finite]
    return Summary(
        value=last,
        mean=_mean(values),
        slope=slope(_unwrapped(finite) if counter else finite),
        zscore=zscore(values) if last is not None else None,
        nan=len(inside) - len(finite),
        samples=len(inside),
    )


def slope(points: Sequence[Tuple[float, float]]) -> Optional[float]:
    """Return the slope of the line through points that makes the squares of its distances least: per second.

    It is the sum of (t - mean t)(v - mean v) divided by the sum of (t - mean t) squared.
    """
    mean = _mean([value for _, value in points])
    if len(points) < 2 or mean is None:
        return None
    first = points[0][0]
    middle = math.fsum(at - first for at, _ in points) / len(points)
    spread = math.fsum((at - first - middle) ** 2 for at, _ in points)
    if spread <= 0.0:
        return None  # all at one moment
    return _finite(lambda: math.fsum((at - first - middle) * (value - mean) for at, value in points) / spread)


def zscore(values: Sequence[float]) -> Optional[float]:
    """Return by how many standard deviations the last value differs from the mean of those before it.

    Where those are all the same, any other value is very far from them.
    """
    before, last = values[:-1], values[-1:]
    mean = _mean(before)
    if len(before) < LEAST or mean is None:
        return None
    squares = _finite(lambda: math.fsum((value - mean) ** 2 for value in before))
    if squares is None:
        return None
    deviation = max(math.sqrt(squares / (len(before) - 1)), abs(mean) * _FLAT, 1e-300)
    return _finite(lambda: (last[0] - mean) / deviation)


def _mean(values: Sequence[float]) -> Optional[float]:
    return _finite(lambda: math.fsum(values) / len(values)) if values else None


def _unwrapped(points: Sequence[Tuple[float, float]]) -> List[Tuple[float, float]]:
    """Return a counter without its new beginnings: what it had counted is added, as Prometheus' rate does."""
    added, before = 0.0, 0.0
    found = []
    for at, value in points:
        if value < before:
            added += before
        before = value
        found.append((at, value + added))
    return found


def _finite(compute: Callable[[], float]) -> Optional[float]:
    """Return a number; None where it is beyond all that a computer can hold."""
    try:
        value = compute()
    except (OverflowError, ValueError):
        return None
    return value if math.isfinite(value) else None
