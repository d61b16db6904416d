"""The block of `status` about watches: who watches what, and what is wrong with whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runbook.engine.journal.watches import DIED, HANGS, STANDBY
from runbook.engine.report import words
from runbook.engine.report.clock import moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.journal.ask.standing import Standing
    from runbook.engine.journal.watches import Watch
    from runbook.engine.report.paint import Paint

_LATE: Final = 1.0  # seconds of lag that are worth a colour
_WIDEST: Final = 30  # columns of a runbook's name


def dead(stands: Standing) -> list[tuple[Watch, str]]:
    """Return the watches that are to look after something, and do not."""
    return [(one, state) for one, state in stands.watches if state in (DIED, HANGS)]


def lines(paint: Paint, stands: Standing, now: float) -> Iterator[str]:
    """Yield the text."""
    if not stands.watches:
        return
    names = {
        one.run: words.printable(one.runbook + (f" {one.shard}" if one.shard else "")) for one, _ in stands.watches
    }
    wide = min(max(len("RUNBOOK"), *(words.width(name) for name in names.values())), _WIDEST)
    yield paint(f"{'RUNBOOK':<{wide}}  WATCH", "dim")
    for one, state in stands.watches:
        name = words.cut(names[one.run], wide)
        said, *below = _said(paint, one, state, stands, now)
        yield f"{name}{' ' * (wide - words.width(name))}  {said}"
        for line in below:
            yield " " * (wide + 2) + line


def remedy(one: Watch, state: str, stands: Standing) -> str:
    """Return the command that mends a watch which died or hangs."""
    stop = str(one.told.get("stop") or "").partition("  ")[0]
    if stop.startswith("systemctl"):
        return stop.replace(" stop ", " restart ")
    file = next((each.file for each in stands.passes if each.runbook == one.runbook), "") or one.runbook
    start = f"runbook watch {words.printable(file)}"
    return start if state == DIED or not stop else f"{stop}; {start}"


def _said(paint: Paint, one: Watch, state: str, stands: Standing, now: float) -> list[str]:
    sign = f"{words.duration(max(0.0, now - one.beat))} ago"
    by = words.printable(one.holder)
    if state == STANDBY:
        return [f"{paint('stands by', 'cyan')} since {moment(one.since, now)} ({by}), last sign of life {sign}"]
    if state in (DIED, HANGS):
        what = "DIED" if state == DIED else "HANGS, or can't write this journal"
        told = f"last sign of life at {moment(one.beat, now)}, {sign}: nobody looks"
        return [f"{paint(what, 'bold', 'red')}: {told}", f"by {by}; {paint(remedy(one, state, stands), 'bold')}"]
    lasts = words.duration(max(0.0, now - one.since))
    first = f"{paint('alive', 'green')} since {moment(one.since, now)} ({lasts}), last sign of life {sign}"
    found = [_next(one, now), _lag(paint, one), _breadth(one)]
    below = [", ".join(part for part in found if part)] if any(found) else []
    observing = one.told.get("observing")
    troubles = [f"only observes: {observing}"] if observing else []
    below += [paint(words.printable(str(text)), "yellow") for text in (*troubles, *(one.told.get("degraded") or ()))]
    return [first, *below]


def _next(one: Watch, now: float) -> str:
    at = one.told.get("next")
    if not isinstance(at, int | float):
        return ""
    return f"next look in {words.duration(at - now)}" if at > now else "looks now"


def _lag(paint: Paint, one: Watch) -> str:
    lag = one.told.get("lag")
    if not isinstance(lag, int | float):
        return ""
    return paint(f"lag {words.duration(lag)}", *(["yellow"] if lag >= _LATE else []))


def _breadth(one: Watch) -> str:
    told: dict[str, Any] = {name: one.told.get(name) for name in ("detectors", "hosts", "listening")}
    detectors, hosts, heard = (value if isinstance(value, int) else None for value in told.values())
    if detectors is None or hosts is None:
        return ""
    said = f"{words.amount(detectors, 'detector')} on {words.amount(hosts, 'host')}"
    return said + (f", {heard} of {detectors * hosts} heard at once" if heard else "")
