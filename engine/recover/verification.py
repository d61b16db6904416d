"""Looking whether a recovery cured: well for long enough, not well in time, or not seen."""

from __future__ import annotations

import enum
from dataclasses import replace
from typing import TYPE_CHECKING

from runbook.engine.model import IncidentState, Unknown
from runbook.engine.recover import incident as life
from runbook.modules import catalogue

if TYPE_CHECKING:
    from runbook.engine.model import Truth
    from runbook.engine.recover.state import Incident, Turn


class Answer(enum.Enum):
    """What a verification came to."""

    CURED = "cured"
    VAIN = "vain"  # its time is over, and it is not well
    BLIND = "blind"  # its time is over, and the last look saw nothing


def begin(turn: Turn, incident: Incident) -> Incident:
    """Begin to look: from `after` on, every `every`, for at most `within`."""
    wake = turn.now + turn.plan.detector(incident.detector).verify.after
    fresh = {"verify_began": turn.now, "well_since": None, "blind": False, "told": "", "peeked": None}
    return life.move(turn, incident, IncidentState.VERIFYING, "", wake=wake, **fresh)


def take(turn: Turn, incident: Incident, clear: Truth) -> tuple[Incident, Answer | None]:
    """Take in a look; None while it goes on."""
    verify = turn.plan.detector(incident.detector).verify
    began = incident.verify_began if incident.verify_began is not None else turn.now
    if turn.now < began + verify.after:
        return incident, None
    well = incident.well_since
    if clear is True:
        well = well if well is not None else turn.now
        incident = replace(incident, well_since=well, blind=False)
    elif clear is False:
        incident = replace(incident, well_since=None, blind=False, seen=turn.now)
    else:
        incident = replace(incident, blind=True)
    answer = None
    if clear is True and well is not None and turn.now - well >= verify.hold:
        answer = Answer.CURED
    elif clear is False and _failed_anew(turn, incident):
        answer = Answer.VAIN
    elif turn.now >= began + verify.within:
        answer = Answer.BLIND if incident.blind else Answer.VAIN
    else:
        incident = replace(incident, wake=min(turn.now + verify.every, began + verify.within))
    return turn.put(_told(turn, incident, clear, last=answer is not None)), answer


def woke(turn: Turn, incident: Incident) -> None:
    """Look again, now that it is time."""
    detector = turn.plan.detector(incident.detector)
    turn.look(incident.host, detector.verify.detector or detector.name)


def _failed_anew(turn: Turn, incident: Incident) -> bool:
    """Tell whether what the recovery led to is over, and as ill: a job that was sent again has failed, too."""
    detector = turn.plan.detector(incident.detector)
    own = detector.verify.detector in {None, detector.name}
    return own and catalogue.probe(detector.probe).vain(incident.fields, incident.after)


def _told(turn: Turn, incident: Incident, clear: Truth, *, last: bool) -> Incident:
    """Tell what a look said, where it says something else than the one before, or ends it."""
    word = "nothing" if isinstance(clear, Unknown) else "well" if clear else "ill"
    if word == incident.told and not last:
        return incident
    seen = None if isinstance(clear, Unknown) else clear
    turn.tell("verified.look", incident, fields=incident.after, clear=seen, at=turn.now, last=last)
    return replace(incident, told=word)
