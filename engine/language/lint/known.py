"""Which names an expression may use where it stands, and what each of them holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jinja2 import nodes

from runbook.engine.language import grammar, params
from runbook.engine.language.filters import PATTERNS
from runbook.engine.language.pooled import HEALTH
from runbook.engine.language.taint import MEMBERS
from runbook.modules import catalogue
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from runbook.engine.language.lint.calls import Call
    from runbook.engine.language.lint.context import Context
    from runbook.engine.model import Detector, Operation, StepCall

Keys = frozenset[str] | None  # what may stand behind its dot; None = anything, or nothing that is known

INCIDENT = frozenset({"id", "host", "detector", "subject", "severity", "since"})
RESULT = frozenset({"changed", "status", "exit_code", "output", "error"})
_WORDS: Mapping[str, Keys] = {
    "host": None,
    "runbook": frozenset({"name", "dir", "file"}),
    "run": frozenset({"id", "scratch"}),
}
RESERVED = frozenset({*_WORDS, "secrets", "incident", "member", "from", "to", "true", "false", "none", "loop"})
_GROUP = re.compile(r"\(\?P<([A-Za-z_]\w*)>")


@frozen
class Known:
    """Names and what may stand behind their dots."""

    names: Mapping[str, Keys]
    fields: Mapping[str, Any] | None = None  # of the record at hand; a name of a field needs no more
    open: bool = False  # there may be more names than can be told from the file

    def with_fields(self, fields: Mapping[str, Any]) -> Known:
        """Return these names and those of a record's fields."""
        return replace(self, names={**self.names, **dict.fromkeys(fields)}, fields=fields)

    def plus(self, more: Mapping[str, Keys]) -> Known:
        """Return these names and more of them."""
        return replace(self, names={**self.names, **more})


def anywhere(context: Context) -> Known:
    """What every expression may use."""
    runbook = context.runbook
    given = dict.fromkeys(runbook.vars)
    return Known({**_WORDS, "secrets": frozenset(runbook.secrets), **given})


def of_var(context: Context) -> Known:
    """What a var may use: it is filled in where it is used, so an incident may stand in it."""
    found = set(INCIDENT)
    for detector in context.runbook.detectors:
        several = fields(context, detector)
        if several is None:
            return anywhere(context).plus({"incident": None, **dict.fromkeys(MEMBERS)})
        found |= set(several)
    return anywhere(context).plus({"incident": frozenset(found), **dict.fromkeys(MEMBERS)})


def of_records(context: Context, detector: Detector) -> Known:
    """What a detector's condition may use."""
    base = anywhere(context).plus({"incident": _incident(context, [detector])})
    several = fields(context, detector)
    if several is None:
        return replace(base, open=True)
    return base.with_fields(several)


def of_step(context: Context, call: Call) -> Known:
    """What a step may use."""
    known = anywhere(context).plus(_registered(call.earlier))
    if call.place == "operation" and call.operation is not None:
        return of_operation(context, call.operation, call.earlier)
    if call.place == "fallback":
        return known.plus({"error": frozenset(params.record_fields(catalogue.probe("error")))})
    if call.place == "switch":
        keys = _members(context, str(call.step.path[1]))
        return known.plus({"incident": None, "from": keys, "to": keys})
    if call.place == "finally":
        return known
    known = known.plus({"incident": _incident(context, call.detectors)})
    if any(detector.probe == "error" for detector in call.detectors):
        known = known.plus({"error": None})
        for detector in call.detectors:
            several = fields(context, detector) if detector.probe == "error" else {}
            known = known.with_fields(several) if several else known
    return known


def of_operation(context: Context, operation: Operation, earlier: Sequence[StepCall]) -> Known:
    """What an operation may use."""
    known = anywhere(context).plus(_registered(earlier))
    if operation.pool is not None:
        known = known.plus({"member": _members(context, operation.pool)})
    return known


def fields(context: Context, detector: Detector) -> Mapping[str, Any] | None:
    """Return the fields of a detector's records with their types; None where they can't all be told."""
    return _fields(context, detector, frozenset())


def _fields(context: Context, detector: Detector, above: frozenset[str]) -> Mapping[str, Any] | None:
    if detector.members:
        found: dict[str, Any] = {}
        for name in detector.members:
            member = context.runbook.detector(name)
            if member is None or name in above:
                continue
            several = _fields(context, member, above | {detector.name})
            if several is None:
                return None
            found.update(several)
        return found
    return _of_probe(detector.probe, detector.params)


def probe_fields(given: Any) -> Mapping[str, Any] | None:
    """Return the fields of the probe in `{name: parameters}`."""
    if not isinstance(given, Mapping) or len(given) != 1:
        return None
    [(name, written)] = given.items()
    return _of_probe(name, written if isinstance(written, Mapping) else {})


def _of_probe(name: str, given: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if name not in catalogue.probe_names():
        return None
    found: dict[str, Any] = dict(params.record_fields(catalogue.probe(name)))
    if name in {"log", "error"}:
        for text in _leaves(given.get("patterns", ())):
            if not isinstance(text, str):
                return None  # a template: its groups are not known here
            found.update(dict.fromkeys(_GROUP.findall(text)))
        if "signatures" in given:
            return _with_signatures(found, given)
    return found


def _with_signatures(found: dict[str, Any], given: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Add the named groups of the signatures that are meant; None where they can't be told."""
    from runbook.engine.language import chosen
    from runbook.modules.logs import catalogued

    several = chosen.found(given["signatures"])
    if several is None:
        return None
    groups = dict.fromkeys(catalogued.groups(pattern for each in several for pattern in each.pattern))
    own = given.get("patterns", ())
    ids = tuple(each.id for each in several)
    if isinstance(own, Mapping):
        ids = (*own, *ids)
    named = replace(found["signature"], choices=ids) if not own or isinstance(own, Mapping) else found["signature"]
    return {**groups, **found, "signature": named}


def trees(expression: Any) -> tuple[nodes.Expr, ...]:
    """Return the trees of an expression: one of a condition, one for each {{ }} of a template."""
    found: tuple[nodes.Expr, ...] = expression.expressions
    return found


def searched(expression: Any) -> Iterator[str]:
    """Yield the regular expressions that an expression searches for."""
    for tree in expression.expressions:
        for node in grammar.walk(tree):
            if isinstance(node, nodes.Test) and node.name in PATTERNS:
                for argument in node.args[:1]:
                    if isinstance(argument, nodes.Const) and isinstance(argument.value, str):
                        yield argument.value


def _incident(context: Context, detectors: Iterable[Detector]) -> Keys:
    found = set(INCIDENT)
    several = list(detectors)
    for detector in several:
        known = fields(context, detector)
        if known is None:
            return None
        found |= set(known)
    return frozenset(found) if several else None


def registered(context: Context) -> frozenset[str]:
    """Return every name that some step registers."""
    return frozenset(call.step.register for call in context.calls if call.step.register)


def _registered(steps: Iterable[StepCall]) -> dict[str, Keys]:
    return {step.register: None for step in steps if step.register}


def _members(context: Context, name: str) -> Keys:
    """Return what may be read of a pool's members: the keys that any of them has, and their health."""
    pool = context.runbook.pools.get(name)
    return frozenset({*HEALTH, *(key for member in pool.members for key in member)}) if pool is not None else None


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _leaves(item)
    elif not isinstance(value, (bool, int, float, type(None))):
        yield value
