"""The steps of a runbook, each with where it stands and what ran before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from runbook.modules import catalogue
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from runbook.engine.language.lint.context import Context
    from runbook.engine.model import Detector, Operation, StepCall
    from runbook.modules.declare import Probe, Step

Place = Literal["operation", "fallback", "recover", "cured", "unhealed", "recovery", "switch", "finally"]


@frozen
class Call:
    """A step and where it stands."""

    step: StepCall
    place: Place
    earlier: tuple[StepCall, ...] = ()  # those that ran before it, whose `register` it may use
    detectors: tuple[Detector, ...] = ()  # whose incidents it is about
    operation: Operation | None = None
    cls: type[Step] | None = None


def walk(context: Context) -> Iterator[Call]:
    """Yield every step of this file, in its order."""
    done: list[StepCall] = []
    for operation in context.runbook.operations:
        yield _call(operation.step, "operation", done, operation=operation)
        yield from _row(operation.fallback, "fallback", done, operation=operation)
        done.append(operation.step)
    for detector in context.detectors:
        before = done if detector.probe == "error" else []
        about: tuple[Detector, ...] = (detector,)
        steps = [step for rung in detector.recover for step in rung.steps]
        if context.recovery_of(detector) is None:
            yield from _row(steps, "recover", before, about)
        yield from _row(detector.cured, "cured", [*before, *steps], about)
        yield from _row(detector.unhealed, "unhealed", [*before, *steps], about)
    for name, rungs in context.recoveries.items():
        about = tuple(found for found in context.runbook.detectors if context.recovery_of(found) == name)
        yield from _row([step for rung in rungs for step in rung.steps], "recovery", [], about)
    pools = context.data.get("pools")
    for pool in context.runbook.pools.values():
        if isinstance(pools, dict) and pool.name in pools:
            yield from _row(pool.switch, "switch", [])
    yield from _row(context.runbook.finally_, "finally", done)


def _row(
    steps: Iterable[StepCall],
    place: Place,
    before: Sequence[StepCall],
    detectors: tuple[Detector, ...] = (),
    operation: Operation | None = None,
) -> Iterator[Call]:
    earlier = list(before)
    for step in steps:
        yield _call(step, place, earlier, detectors, operation)
        earlier.append(step)


def _call(
    step: StepCall,
    place: Place,
    earlier: Sequence[StepCall],
    detectors: tuple[Detector, ...] = (),
    operation: Operation | None = None,
) -> Call:
    return Call(step, place, tuple(earlier), detectors, operation, step_class(step.module))


def step_class(name: str) -> type[Step] | None:
    """Return a step's class, or None where there is no such step."""
    return catalogue.step(name) if name in catalogue.step_names() else None


def probe_class(name: str) -> type[Probe] | None:
    """Return a probe's class, or None where there is no such probe."""
    return catalogue.probe(name) if name in catalogue.probe_names() else None
