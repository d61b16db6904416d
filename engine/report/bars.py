"""Small bars: a share, and the course of a series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runbook.engine.report.paint import Paint

_STEPS: Final = "▁▂▃▄▅▆▇█"
_PLAIN: Final = "_.-=+*#@"  # where the stream carries ASCII alone


def bar(paint: Paint, share: float, columns: int = 10) -> str:
    """Return a bar that is full to a share of 0 to 1; what is not nothing shows, and what is not all is not full."""
    full = round(max(0.0, min(1.0, share)) * columns)
    if 0 < share < 1:
        full = min(max(full, 1), columns - 1)
    on, off = ("█", "░") if paint.unicode else ("#", ".")
    return on * full + off * (columns - full)


def course(paint: Paint, values: Sequence[float]) -> str:
    """Return a series as a line of bars, the least at the bottom; a series that does not move lies low."""
    if not values:
        return ""
    steps = _STEPS if paint.unicode else _PLAIN
    least, most = min(values), max(values)
    if most - least <= 0.05 * abs(most):
        return steps[1] * len(values)
    return "".join(steps[round((value - least) / (most - least) * (len(steps) - 1))] for value in values)
