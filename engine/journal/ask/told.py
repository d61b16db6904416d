"""Who was told of what by a channel: what later messages are judged by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.journal import codec
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from runbook.engine.journal.store import Journal


@frozen
class Told:
    """One message to one channel."""

    at: float
    runbook: str
    host: str
    detector: str
    subject: str
    incident: str
    channel: str
    status: str  # sent, failed or held
    place: str = ""  # the step's path in its runbook
    cured: bool = False  # it said that the fault is over

    @property
    def fault(self) -> tuple[str, str, str, str]:
        """What it is about, whichever incident that was."""
        return self.runbook, self.host, self.detector, self.subject


def told(journal: Journal, since: float) -> list[Told]:
    """Return the messages since a time, oldest first; of all runbooks, since they share the channels."""
    rows = journal.ask(
        "SELECT at, runbook, host, detector, subject, incident, status, data FROM events"
        " WHERE kind = 'channel.told' AND at >= ? ORDER BY seq",
        (since,),
    )
    found = []
    for at, runbook, host, detector, subject, incident, status, column in rows:
        data = codec.load(column)
        channel, place, cured = str(data.get("channel")), str(data.get("place") or ""), data.get("cured") is True
        found.append(Told(at, runbook, host, detector, subject, incident, channel, status, place, cured))
    return found
