"""The expressions of a runbook, each with where it stands and the names that are known there."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from runbook.engine.language import names, params
from runbook.engine.language.lint import known
from runbook.engine.language.taint import MEMBERS
from runbook.engine.model import Severity
from runbook.modules import catalogue
from runbook.modules.declare import Kind
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.calls import Call
    from runbook.engine.language.lint.context import Context
    from runbook.engine.language.lint.known import Known
    from runbook.engine.model import Detector, Path


_OF_MEMBERS = {
    "level": ("healthy", "degraded", "unhealthy", "critical"),
    "breaker": ("closed", "open", "half-open"),
}
_SEVERITIES = tuple(member.value for member in Severity)


@frozen
class Use:
    """An expression, where it stands, and the names that are known there."""

    expression: Any
    path: Path
    known: Known
    detector: Detector | None = None  # of a condition over its records
    fields: Mapping[str, Any] | None = None  # of the records that a condition is about
    call: Call | None = None

    @cached_property
    def mentions(self) -> tuple[names.Mention, ...]:
        """Every mention of a name in it."""
        return names.mentions(self.expression)

    @cached_property
    def opposites(self) -> dict[int, str]:
        """What each bare word of its comparisons is compared with."""
        return names.opposites(self.expression)

    def choices(self, name: str) -> tuple[object, ...]:
        """Return the closed set that something has its values from, or nothing."""
        if name == "incident.severity":
            return _SEVERITIES
        of, _, key = name.partition(".")
        if of in MEMBERS and key in _OF_MEMBERS:
            return _OF_MEMBERS[key]
        return tuple(getattr((self.fields or {}).get(name), "choices", ()))

    @cached_property
    def literals(self) -> tuple[names.Compared, ...]:
        """Every literal that something in it is compared with."""
        return names.literals(self.expression)


def walk(context: Context) -> Iterator[Use]:
    """Yield every expression of this file."""
    yield from _uses_at_top(context)
    yield from _uses_of_pools(context)
    for detector in context.detectors:
        yield from _uses_of_detector(context, detector)
    for call in context.calls:
        yield from _uses_of_step(context, call)
    for operation in context.runbook.operations:
        if operation.prefer is not None:
            yield Use(operation.prefer, (*operation.path, "prefer"), known.of_operation(context, operation, ()))


def _uses_at_top(context: Context) -> Iterator[Use]:
    anywhere = known.anywhere(context)
    of_var = known.of_var(context)
    for name, value in context.runbook.vars.items():
        for path, found in expressions(value, ("vars", name)):
            yield Use(found, path, of_var)
    for index, entry in enumerate(context.runbook.writable):
        for path, found in expressions(entry, ("writable", index)):
            yield Use(found, path, anywhere)


def _uses_of_pools(context: Context) -> Iterator[Use]:
    anywhere = known.anywhere(context)
    here = context.data.get("pools")
    for pool in context.runbook.pools.values():
        for index, member in enumerate(pool.members if isinstance(here, dict) and pool.name in here else ()):
            for path, found in expressions(member, ("pools", pool.name, "members", index)):
                yield Use(found, path, anywhere)


def _uses_of_detector(context: Context, detector: Detector) -> Iterator[Use]:
    reach = known.of_records(context, detector)
    fields = known.fields(context, detector)
    for key, found in (("when", detector.when), ("clear", detector.clear), ("subject", detector.subject)):
        path = (*detector.path, key)
        if found is None:
            continue
        if context.within(path) is None:
            path = (key,) if key in context.data else detector.path  # a default at the top
        yield Use(found, path, reach, detector, fields)
    anywhere = known.anywhere(context)
    for name, value in detector.params.items():
        start = context.parameter(detector.path, detector.probe, name)
        for path, found in expressions(value, start):
            yield Use(found, path, anywhere)


def _uses_of_step(context: Context, call: Call) -> Iterator[Use]:
    step = call.step
    if step.when is None and not _has_expressions(call):
        return
    reach = known.of_step(context, call)
    if step.when is not None:
        path = (*step.path, "when")
        if context.within(path) is not None:
            yield Use(step.when, path, reach, call=call)
    for name, value in step.params.items():
        start = context.parameter(step.path, step.module, name)
        if _is_condition(call, name):
            yield from _uses_of_waiting(context, call, value, start)
            continue
        for path, found in expressions(value, start):
            yield Use(found, path, reach, call=call)


def _has_expressions(call: Call) -> bool:
    """Tell whether a step has any: what may stand in them costs more to tell, the more steps ran before it."""
    given = call.step.params
    return next(expressions(given, ()), None) is not None or any(_is_condition(call, name) for name in given)


def _is_condition(call: Call, name: str) -> bool:
    given = params.fields(call.cls) if call.cls is not None else {}
    return name in given and given[name].kind is Kind.CONDITION


def _uses_of_waiting(context: Context, call: Call, value: Any, path: Path) -> Iterator[Use]:
    """A step's parameter that is a condition over the records of a probe beside it (`wait_for`)."""
    from runbook.engine.language import expression

    given = next((step for step in call.step.params.values() if _names_probe(step)), None)
    fields = known.probe_fields(given)
    reach = known.of_step(context, call)
    if fields is not None:
        reach = reach.with_fields(fields)
    for index, text in enumerate(value if isinstance(value, list) else [value]):
        found = text
        if isinstance(text, str):
            try:
                found = expression.parse(text, template=False)
            except expression.Syntax:
                continue  # the loader's business
        if hasattr(found, "names"):
            where = (*path, index) if isinstance(value, list) else path
            yield Use(found, where, reach, fields=fields, call=call)


def expressions(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """Yield every expression in a value, with its path."""
    if hasattr(value, "evaluate"):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from expressions(item, (*path, key))
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from expressions(item, (*path, index))


def _names_probe(value: Any) -> bool:
    return isinstance(value, Mapping) and len(value) == 1 and next(iter(value)) in catalogue.probe_names()
