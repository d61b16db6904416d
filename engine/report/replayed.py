"""The report of `runbook replay`: what a runbook would have done in the past, and what would have stopped it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from runbook.engine.report import words
from runbook.engine.report.rehearsal import told_line

if TYPE_CHECKING:
    from runbook.engine.rehearse.replay import Fired, Replayed
    from runbook.engine.report.paint import Paint

_MOST = 20  # lines of what happened, unless more is asked for


def lines(paint: Paint, found: Replayed, name: str, verbosity: int) -> list[str]:
    """Return the report for people."""
    source = f"{words.amount(found.events, 'line')} of logs, {words.amount(found.periods, 'incident')} of the journal"
    head = f"{words.printable(name)}  {paint(f'{_day(found.begin)} to {_day(found.end)}; {source}', 'dim')}"
    shown = [head]
    if not found.fired:
        shown.append("  nothing would have fired")
    for fired in found.fired:
        shown += _fired(paint, fired)
    if found.played is not None and verbosity >= 0 and found.fired:
        kinds = {"incident.opened", "incident.ended", "guard.refused", "step.begun", "notified"}
        happened = [told for told in found.played.told if told.kind in kinds]
        most = len(happened) if verbosity > 0 else _MOST
        shown += ["", paint("  what would have happened", "bold")]
        for told in happened[:most]:
            moment = datetime.fromtimestamp(found.begin + told.at).astimezone().strftime("%m-%d %H:%M:%S")
            shown.append(f"    {paint(moment, 'cyan')}  {told_line(told)}")
        if len(happened) > most:
            shown.append(paint(f"    … {len(happened) - most} more; -v shows them", "dim"))
    for detector, reason in found.blind:
        shown.append(f"  {paint('not told', 'yellow')}  {words.printable(detector)}: {words.printable(reason)}")
    total = sum(fired.incidents for fired in found.fired)
    begun = sum(fired.recoveries for fired in found.fired)
    refused = sum(sum(fired.refused.values()) for fired in found.fired)
    shown.append(
        f"{words.amount(total, 'incident')}, {begun} recover{'y' if begun == 1 else 'ies'} begun, "
        f"{words.amount(refused, 'refusal')}, {words.amount(found.notified, 'notification')}"
    )
    return shown


def _fired(paint: Paint, fired: Fired) -> list[str]:
    assert fired.first is not None
    assert fired.last is not None
    when = f"at {_day(fired.first)}" if fired.incidents == 1 else f"from {_day(fired.first)} to {_day(fired.last)}"
    states = ", ".join(f"{count} {state}" for state, count in fired.states.most_common())
    found = [f"  {paint(words.printable(fired.detector), 'bold')}  fires {_times(fired.incidents)} {when}: {states}"]
    steps = ", ".join(f"{words.printable(title)} {_times(count)}" for title, count in fired.steps.most_common())
    if fired.recoveries:
        found.append(f"      {'recovery begins ' + _times(fired.recoveries)}: {steps or 'no step'}")
    for (guard, reason), count in fired.refused.most_common():
        found.append(f"      stopped {_times(count)} by {guard}: {words.printable(reason)}")
    return found


def _times(count: int) -> str:
    return "once" if count == 1 else "twice" if count == 2 else f"{count} times"


def _day(moment: float) -> str:
    return datetime.fromtimestamp(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def document(found: Replayed, name: str) -> dict[str, Any]:
    """Return it as one JSON document."""
    return {
        "schema": 1,
        "runbook": name,
        "from": found.begin,
        "to": found.end,
        "lines": found.events,
        "periods": found.periods,
        "detectors": [
            {
                "detector": fired.detector,
                "incidents": fired.incidents,
                "first": fired.first,
                "last": fired.last,
                "states": dict(fired.states),
                "recoveries": fired.recoveries,
                "steps": dict(fired.steps),
                "refused": [
                    {"guard": guard, "reason": reason, "times": count}
                    for (guard, reason), count in fired.refused.most_common()
                ],
            }
            for fired in found.fired
        ],
        "not_told": [{"detector": detector, "reason": reason} for detector, reason in found.blind],
        "notified": found.notified,
    }
