"""What a host is asked for, with the parameters filled in, and what its answers mean to `error` detectors."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from runbook.engine import ears
from runbook.engine.detect import errors as failures
from runbook.engine.errors import RenderError
from runbook.engine.fleet import Spec, messages
from runbook.engine.fleet.bounded import within
from runbook.engine.fleet.connection import Gone
from runbook.engine.language import render
from runbook.engine.model import UNKNOWN, Lacking, NotSeen
from runbook.engine.recover import failing
from runbook.modules import catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from runbook.engine.fleet.connection import Fleet
    from runbook.engine.model import Look, Outcome, Truth
    from runbook.engine.recover.commands import LookAt
    from runbook.engine.recover.state import Plan, State, Task

PATTERN_SECONDS: Final = 1.0  # for the `error` detectors' patterns over one failure (invariant 6)


def specs(
    plan: Plan,
    host: str,
    names: Iterable[str],
    cursor: Callable[[str, str], Mapping[str, Any]],
    *,
    listens: bool = False,
) -> tuple[dict[str, list[Spec]], dict[str, Look]]:
    """Return the looks of these detectors that a host is to be asked for, and those that are known without asking.

    The former by the user under whom they are made. With `listens`, agents say when something happens to them.
    """
    asked: dict[str, list[Spec]] = {}
    known: dict[str, Look] = {}
    for name in names:
        detector = plan.detector(name)
        if catalogue.probe(detector.probe).engine:
            continue
        if not plan.concerns(detector, host):
            known[name] = Lacking(f"its `hosts: {detector.hosts}` leave {host} out")
            continue
        try:
            params = render.probe(detector.probe, detector.params, plan.scopes[host], path=detector.path)
        except RenderError as error:
            known[name] = NotSeen(error.what)
            continue
        deadline = catalogue.probe(detector.probe).deadline(params)
        heard = ears.key(plan.runbook.name, name) if listens else ""
        spec = Spec(name, detector.probe, params, cursor(host, name), deadline, detector.python, heard)
        asked.setdefault(plan.user(host, detector.become, detector.become_user), []).append(spec)
    return asked, known


def now(fleet: Fleet, host: str, asked: Mapping[str, Sequence[Spec]]) -> dict[str, Look]:
    """Ask a host, and wait for its answers.

    Args:
        fleet: reaches it.
        host: its name.
        asked: by user, the looks that are made under him.
    """
    found: dict[str, Look] = {}
    waited = {fleet.send(host, messages.probe(specs), user): specs for user, specs in asked.items()}
    while waited:
        for number, answer in fleet.receive(1.0):
            specs = waited.pop(number, ())
            if isinstance(answer, Gone):
                found |= {spec.id: NotSeen(answer.reason) for spec in specs}
            elif specs:
                found |= fleet.looks(answer)
    return found


def waiting(command: LookAt) -> Spec:
    """Return the one look that a step waits for."""
    deadline = catalogue.probe(command.probe).deadline(command.params)
    return Spec(command.intent or "", command.probe, command.params, deadline=deadline, python=command.python)


def matched(state: State, task: Task | None, outcome: Outcome) -> dict[str, Truth]:
    """Ask the `error` detectors about a failed attempt, in a process that is ended when they take too long."""
    if task is None or task.owner.kind != "operation" or outcome.ok:
        return {}
    name = state.plan.runbook.operations[state.works[task.owner.host].index].name
    fields = failing.failure(name, 0, outcome)
    found: dict[str, Truth] = {}
    for detector in failures.about(state.plan.runbook.detectors, name):
        answer = within(PATTERN_SECONDS, partial(failures.matches, detector, fields))
        found[detector.name] = UNKNOWN if answer is None else answer
        if answer is True:
            break
    return found
