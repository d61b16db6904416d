"""What a person is asked for: the steps as they would be run now, without secrets, and the digest of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runbook.engine.decide import approval, guards
from runbook.engine.errors import RenderError
from runbook.engine.language import render
from runbook.engine.model import Mode, Strategy
from runbook.engine.recover import incident as life
from runbook.engine.recover.steps import carrier_of, impact_of, impacts, public, user_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runbook.engine.decide.guards import Refusal
    from runbook.engine.language.render import Scope
    from runbook.engine.model import Detector, StepCall
    from runbook.engine.recover.state import Incident, Turn

    Asked = tuple[Mapping[str, Any], ...]

_RUN = {"id": "{{ run.id }}", "scratch": "{{ run.scratch }}"}  # another run carries it out, and it is the same thing


def refusal(turn: Turn, incident: Incident, number: int) -> tuple[Refusal | None, Asked]:
    """Tell whether a rung waits for a person, and return what it is that the person would allow.

    Where the whole recovery needs one, all that is left of it is asked for at once; of a sequence too, as it is one
    cure. Else only the rung.
    """
    detector, caps = turn.plan.detector(incident.detector), turn.plan.settings.caps
    rung = detector.recover[number]
    found = impacts(rung)
    modes = [guards.mode_of(step, impact, detector) for step, impact in zip(rung.steps, found, strict=True)]
    said = approval.word(turn.people, incident.id, turn.now)
    if said is not None and not said.granted and said.digest == incident.digest:
        return approval.rejected(said), ()
    wants = approval.whole(detector, caps) or approval.of_rung(rung, found, modes, detector)
    if not wants or caps.approved:
        return None, ()
    rest = bool(approval.whole(detector, caps)) or detector.strategy is Strategy.SEQUENCE
    asked = tuple(_asked(turn, incident, range(number, len(detector.recover) if rest else number + 1)))
    before = (incident.digest, frozenset(step["digest"] for step in incident.asked))
    return approval.refuse(wants, said, asked, digest(incident, asked), before), asked


def digest(incident: Incident, asked: Asked) -> str:
    """Return what stands for these steps, done about the incident's subject."""
    return approval.digest(incident.host, incident.detector, incident.subject, [step["digest"] for step in asked])


def _asked(turn: Turn, incident: Incident, numbers: range) -> list[Mapping[str, Any]]:
    detector = turn.plan.detector(incident.detector)
    scope = life.scope(turn, incident).bind(run=_RUN)
    whole = bool(approval.whole(detector, turn.plan.settings.caps))
    found = []
    for number in numbers:
        for step in detector.recover[number].steps:
            mode = guards.mode_of(step, impact_of(step), detector)
            if mode is not Mode.OBSERVE and (whole or mode is Mode.APPROVE or number == numbers[0]):
                found.append(
                    _step(
                        step,
                        number,
                        scope,
                        detector,
                        user_of(turn.plan, carrier_of(incident.host, step, scope), step, detector),
                    )
                )
    return found


def _step(call: StepCall, rung: int, scope: Scope, detector: Detector, user: str) -> Mapping[str, Any]:
    """Return a step as it would be run; one that needs an earlier step's result, as it is written."""
    try:
        params = public(render.order(call, scope))
    except RenderError:
        params = {name: _written(value) for name, value in call.params.items()}
    when = call.when.text if call.when is not None else ""
    python = [call.python] if call.python else []
    held = [[each.module, {name: _written(value) for name, value in each.params.items()}] for each in call.holds]
    under = (when, user, call.delegate_to or "", detector.name)
    return {
        "step": call.title,
        "module": call.module,
        "params": params,
        "impact": impact_of(call).value,
        "rung": rung,
        "digest": approval.digest(call.module, params, *under, *held, *python),
    }


def _written(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _written(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_written(each) for each in value]
    return getattr(value, "text", value)
