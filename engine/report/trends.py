"""How what was done has gone over time, as `trends` tells it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.journal.ask.figures import buckets
from runbook.engine.report import words
from runbook.engine.report.bars import course
from runbook.engine.report.passes import SCHEMA
from runbook.engine.report.table import table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.journal.ask.trends import Series, Trends
    from runbook.engine.report.paint import Paint

_BARS: Final = 12
_WIDE: Final = 90  # columns from which on there is room for more of them


def lines(paint: Paint, found: Trends, limit: int) -> Iterator[str]:
    """Yield the text."""
    several = len({one.runbook for one in (*found.operations, *found.detectors, *found.steps, *found.components)}) > 1
    place = 0
    for title, group in (
        ("OPERATION", found.operations),
        ("DETECTOR, to heal", found.detectors),
        ("STEP", found.steps),
        ("COMPONENT", found.components),
    ):
        shown = sorted(group, key=lambda one: -one.trend.attempts)[:limit]
        if shown:
            yield from [""] if place else []
            place += 1
            heads = (title, "tries", "ok", "mean", "first 10", "last 10", "a try", "course", "")
            yield from table(
                paint, heads, [_row(paint, one, several=several) for one in shown], ("a try", "mean", "course")
            )
    if found.advice:
        yield from [""] if place else []
        yield paint("WHAT IT SUGGESTS", "dim")
        for one in found.advice[:limit]:
            name = f"{one.runbook}: {one.about}" if several else one.about
            first, *rest = words.wrapped(words.printable(f"{name}: {one.text}"), paint.columns - 2)
            yield f"{paint('!', 'yellow')} {first}"
            yield from (f"  {line}" for line in rest)


def document(found: Trends) -> dict[str, Any]:
    """Return the document of `trends --format json`."""
    return {
        "schema": SCHEMA,
        "operations": [_series(one) for one in found.operations],
        "detectors": [_series(one) for one in found.detectors],
        "steps": [_series(one) for one in found.steps],
        "components": [_series(one) for one in found.components],
        "suggestions": [asdict(one) for one in found.advice],
    }


def _series(one: Series) -> dict[str, Any]:
    trend = one.trend
    return {
        "runbook": one.runbook,
        "name": one.name,
        "attempts": trend.attempts,
        "successes": trend.successes,
        "failures": trend.attempts - trend.successes,
        "rate": trend.rate,
        "mean_s": trend.mean,
        "min_s": trend.least,
        "max_s": trend.most,
        "slope_s": trend.slope,
        "direction": trend.direction,
        "first_mean_s": trend.first_mean,
        "last_mean_s": trend.last_mean,
        "change": trend.change,
        "first_rate": trend.first_rate,
        "last_rate": trend.last_rate,
        "rate_direction": trend.rate_direction,
        "began": one.points[0].at,
        "ended": one.points[-1].at,
    }


def _row(paint: Paint, one: Series, *, several: bool) -> tuple[str, ...]:
    trend = one.trend
    took = [point.seconds for point in one.points if point.ok and point.seconds is not None]
    bars = course(paint, buckets(took, _BARS if paint.columns >= _WIDE else _BARS // 2))
    return (
        words.printable(f"{one.runbook}: {one.name}" if several else one.name),
        str(trend.attempts),
        "-" if trend.rate is None else f"{trend.rate:.0%}",
        _spent(trend.mean),
        _spent(trend.first_mean),
        _spent(trend.last_mean),
        _slope(trend.slope),
        bars or "-",
        _said(one),
    )


def _said(one: Series) -> str:
    trend = one.trend
    if trend.rate_direction in ("degrading", "improving"):
        return "fails more" if trend.rate_direction == "degrading" else "fails less"
    change = trend.change
    by = f" {change:+.0%}" if change is not None and trend.direction in ("degrading", "improving") else ""
    word = {"degrading": "slower", "improving": "faster", "stable": "steady", "unclear": "few yet"}[trend.direction]
    return word + by


def _slope(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if abs(seconds) < 0.0005:
        return "0s"
    sign = "+" if seconds > 0 else "-"
    return sign + words.duration(abs(seconds))


def _spent(seconds: float | None) -> str:
    return "-" if seconds is None else words.duration(seconds)
