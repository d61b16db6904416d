"""What waits for a person, as `approvals` tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runbook.engine.report import words
from runbook.engine.report.clock import moment
from runbook.engine.report.following import asked, following
from runbook.engine.report.lines import head, row
from runbook.engine.report.passes import SCHEMA
from runbook.engine.report.standing import told

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runbook.engine.journal.facts import IncidentRow
    from runbook.engine.people import People
    from runbook.engine.report.paint import Paint


def allowed(one: IncidentRow, people: People, now: float) -> bool:
    """Tell whether a person has allowed what waits, so that only the next pass is needed."""
    said = people.approvals.get(one.id)
    return said is not None and said.granted and said.until > now and said.digest == one.data.get("digest")


def lines(paint: Paint, waiting: Sequence[IncidentRow], people: People, now: float) -> Iterator[str]:
    """Yield the text."""
    for place, one in enumerate(waiting):
        if place:
            yield ""
        about = f" · {words.cut(one.subject, 60)}" if one.subject and one.subject != one.host else ""
        title = words.printable(f"{one.id}  {one.detector}{about} on {one.host} ({one.runbook})")
        yield head(paint, "waiting", title, f"{words.duration(now - one.opened)}")
        if one.data.get("reason"):
            yield from row(paint, "why", words.printable(str(one.data["reason"])))
        for step in asked(one):
            yield from row(paint, "would", told(step))
        said = people.approvals.get(one.id)
        if said is not None:
            word = "approved" if said.granted else "rejected"
            over = "which is over" if said.until <= now else f"until {moment(said.until, now)}"
            why = f": {said.reason}" if said.reason else ""
            yield from row(paint, "said", words.printable(f"{word} by {said.by} {moment(said.at, now)}, {over}{why}"))
        yield from row(paint, "next", following(one, people, now))


def document(waiting: Sequence[IncidentRow], people: People, now: float) -> dict[str, Any]:
    """Return the document of `approvals --format json`."""
    return {"schema": SCHEMA, "now": now, "approvals": [_one(one, people, now) for one in waiting]}


def _one(one: IncidentRow, people: People, now: float) -> dict[str, Any]:
    said = people.approvals.get(one.id)
    return {
        "id": one.id,
        "runbook": one.runbook,
        "host": one.host,
        "detector": one.detector,
        "subject": one.subject,
        "severity": one.severity,
        "opened": one.opened,
        "reason": one.data.get("reason") or None,
        "digest": one.data.get("digest") or None,
        "steps": [dict(step) for step in asked(one)],
        "allowed": allowed(one, people, now),
        "said": None if said is None else
        {"granted": said.granted, "by": said.by, "at": said.at, "until": said.until, "digest": said.digest,
         "reason": said.reason or None},
        "command": f"runbook approve {one.id}",
    }  # fmt: skip
