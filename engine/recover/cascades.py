"""Root and cascade: of incidents whose logs show signatures of the catalogue, which follow from which others."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runbook.engine.decide.guards import Refusal, moment
from runbook.engine.detect import claims, sights
from runbook.engine.detect.lineage import REACH, parents, root
from runbook.engine.model import IncidentState
from runbook.engine.recover import decision
from runbook.engine.recover import incident as life

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runbook.engine.detect.sightings import Seen
    from runbook.engine.recover.state import Incident, Turn

_CASCADE = "cascade"


def fold(turn: Turn) -> None:
    """Attach each incident to the one that it follows from; those without a recovery lead only among themselves."""
    if not any(each.sights and each.state in life.ASKED_AGAIN for each in turn.read("incidents").values()):
        return
    known = _known(turn)
    able = [each for each in known if turn.plan.detector(each.detector).recover]
    _attach(turn, able, able)
    _attach(turn, known, [each for each in known if not turn.plan.detector(each.detector).recover])


def waits(turn: Turn, incident: Incident) -> bool:
    """Tell whether an incident is only consequences so far, and the root may still be heard of."""
    until = max((sight["time"] for sight in incident.sights), default=0.0) + REACH
    if not _only_follows(incident) or turn.now >= until or turn.plan.settings.check or turn.plan.settings.now:
        return False
    if not (turn.recovering and turn.plan.detector(incident.detector).recover):
        return False
    reason = f"only consequences are seen; waits for what they follow from until {moment(until)}"
    moved = decision.refuse(turn, incident, Refusal("root", reason, until))
    if turn.plan.settings.settle:
        turn.put(replace(moved, wake=until))
    return True


def may_follow(turn: Turn, incident: Incident) -> bool:
    """Tell whether an incident's events may follow from others that a detector can see, and that may yet come in."""
    plan = turn.plan
    others = [sign for name, sign in plan.signs.items() if plan.heard is None or name in plan.heard]
    known = [(plan.signs[sight["signature"]], sight["variant"]) for sight in incident.sights
             if sight["signature"] in plan.signs]  # fmt: skip
    return any(claims.may_follow(sign, variant, others) for sign, variant in known)


def _only_follows(incident: Incident) -> bool:
    return bool(incident.sights) and all(sight["role"] == _CASCADE for sight in incident.sights)


def _known(turn: Turn) -> list[Incident]:
    """Return the incidents with signatures: those that live, and those that have just ended."""
    over = [*turn.read("past").values(), *turn.read("ended").values()]
    lately = [each for each in over if each.closed is not None and turn.now - each.closed <= REACH]
    return [each for each in (*turn.read("incidents").values(), *lately) if each.sights and not each.root]


def _attach(turn: Turn, known: Sequence[Incident], followers: Sequence[Incident]) -> None:
    seen = _seen(turn, known)
    above = parents(seen)
    tops: dict[str, list[Seen]] = {}
    below: dict[str, list[Mapping[str, Any]]] = {}
    for place, one in enumerate(seen):
        top = seen[root(above, place)]
        tops.setdefault(one.evidence[0], []).append(top)
        if top is not one and top.evidence[0] == one.evidence[0]:
            below.setdefault(one.evidence[0], []).append(one.evidence[1])
    by_id = {each.id: each for each in known}
    alone = [top for each in known for top in tops.get(each.id, ()) if _rootless(each, tops[each.id])]
    for incident in sorted(followers, key=lambda each: (each.host, each.detector, each.subject)):
        current = turn.incident(incident.key)
        if current is None or current.id != incident.id or current.state not in life.ASKED_AGAIN:
            continue
        own = tops.get(current.id, ())
        leader = _alike(own[0], alone) if own and _rootless(current, own) else _leader(current, own)
        if current.id in below:
            within = (_entry(current, sight, "") for sight in below[current.id])
            others = (each for each in current.folded if each["id"])
            current = turn.put(replace(current, folded=(*within, *others)))
        if leader is not None and leader != current.id and not decision.is_parked(current):
            _follow(turn, current, by_id[leader])


def _seen(turn: Turn, known: Sequence[Incident]) -> list[Seen]:
    found = [
        one
        for incident in known
        for sight in incident.sights
        if (one := sights.seen(sight, turn.plan.signs, incident.host, (incident.id, sight))) is not None
    ]
    return sorted(found, key=lambda one: (one.time or 0.0, one.source, one.line, one.key))


def _leader(incident: Incident, tops: Sequence[Seen]) -> str | None:
    """Return the incident that another follows from, None where it has a root of its own."""
    own = [top for top in tops if top.evidence[0] == incident.id]
    others = [top for top in tops if top.evidence[0] != incident.id]
    if any(top.sign.role != _CASCADE for top in own) or not others:
        return None
    return str(others[0].evidence[0])


def _rootless(incident: Incident, tops: Sequence[Seen]) -> bool:
    """Tell whether nothing but consequences is known, neither here nor elsewhere."""
    return all(top.evidence[0] == incident.id and top.sign.role == _CASCADE for top in tops)


def _alike(one: Seen, alone: Sequence[Seen]) -> str | None:
    """Return the incident that leads those of one kind, which nobody knows the root of: the earliest."""
    near = [
        other
        for other in alone
        if other.kind == one.kind
        and abs((other.time or 0.0) - (one.time or 0.0)) <= REACH
        and not (other.job and one.job and other.job != one.job)
    ]
    first = min(near, key=lambda other: (other.time or 0.0, other.source), default=one)
    return str(first.evidence[0])


def _follow(turn: Turn, incident: Incident, leader: Incident) -> None:
    """Attach an incident to the one that it follows from, or to the one that this follows from in its turn."""
    current = _live(turn, leader.id) or leader
    while current.root and (further := _live(turn, current.root)) is not None:
        current = further
    if current.id == incident.id:
        return
    reason = f"follows from `{current.detector}` on {current.host} ({current.id})"
    turn.tell("incident.folded", incident, root=current.id, root_host=current.host, root_detector=current.detector)
    moved = life.move(turn, incident, IncidentState.SUPPRESSED, reason, root=current.id, wake=None, until=None)
    if current.closed is not None:
        life.end(turn, moved, current.state, f"{reason}, which is over")
        return
    entries = tuple(_entry(incident, sight, incident.id) for sight in incident.sights)
    turn.put(replace(current, folded=(*current.folded, *entries)))


def _live(turn: Turn, name: str) -> Incident | None:
    return next((each for each in turn.read("incidents").values() if each.id == name), None)


def _entry(incident: Incident, sight: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a consequence as reports list it; without an id it stands in the root's own incident."""
    return {
        "id": name,
        "host": incident.host,
        "detector": incident.detector,
        "subject": incident.subject,
        "signature": sight["signature"],
        "count": sight["count"],
    }
