"""What months do to a state: what no decision asks for any more is forgotten, and a clock that jumps is made good.

The journal keeps it; a run that begins loads the same of it (`restore`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from runbook.engine.decide import flapping
from runbook.engine.detect.lineage import REACH

if TYPE_CHECKING:
    from runbook.engine.recover.state import Turn


def forget(turn: Turn, before: float) -> None:
    """Forget recoveries and steps from before a time, and incidents that ended too long ago to be the root of others.

    Args:
        turn: what is known.
        before: seconds since the epoch; what began before that counts for no limit, and what ended for no cooldown.
    """
    over = min(before, turn.now)
    for group in ("begun", "steps"):
        _trim(turn, group, over)
    _trim(turn, "cleared", turn.now - flapping.window(turn.plan.every))
    finished = turn.read("finished")
    live = {incident.key for incident in turn.read("incidents").values()}
    stale = [key for key, at in finished.items() if at < over and key not in live]
    for key in stale:
        del turn.write("finished")[key]
    led = {incident.root for incident in turn.read("incidents").values() if incident.root}
    for group in ("ended", "past"):
        for name, incident in list(turn.read(group).items()):
            if incident.closed is not None and turn.now - incident.closed > REACH and name not in led:
                del turn.write(group)[name]


def jumped(turn: Turn, by: float) -> None:
    """Move on what lasts: holds, and the verifications that are going on, have not lasted longer for a clock's jump."""
    for key, hold in list(turn.read("holds").items()):
        turn.write("holds")[key] = replace(hold, since=hold.since + by, seen=hold.seen + by)
    for incident in list(turn.read("incidents").values()):
        if incident.verify_began is None and incident.well_since is None:
            continue
        began, well = incident.verify_began, incident.well_since
        turn.put(
            replace(
                incident,
                verify_began=None if began is None else began + by,
                well_since=None if well is None else well + by,
            )
        )


def _trim(turn: Turn, group: str, since: float) -> None:
    """Keep of each key's times those that are not before a time, and no key without any."""
    for key, times in list(turn.read(group).items()):
        kept = tuple(at for at in times if at >= since)
        if len(kept) == len(times):
            continue
        if kept:
            turn.write(group)[key] = kept
        else:
            del turn.write(group)[key]
