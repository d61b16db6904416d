"""The parameters of steps in which what a host wrote may do harm, and the words of commands, judged as `apply` does."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import TYPE_CHECKING, Any

from runbook.engine.errors import RenderError
from runbook.engine.language import params
from runbook.engine.language.expression import Expression
from runbook.engine.language.lint import known, places
from runbook.engine.language.taint import host_text, mentioned
from runbook.engine.language.words import HOST_TEXT, reading
from runbook.modules import catalogue
from runbook.modules.declare import Kind
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.calls import Call
    from runbook.engine.language.lint.context import Context
    from runbook.engine.language.peril import Reading
    from runbook.engine.language.scope import Scope
    from runbook.engine.model import Path
    from runbook.modules.declare import Probe, Step


@frozen
class Given:
    """A parameter that a step, or a probe in it, is given."""

    call: Call
    name: str
    kind: Kind | None
    value: Any
    path: Path
    beside: Mapping[str, Any]  # all parameters of the same module


@frozen
class Word:
    """A word of a command in which a host's text stands."""

    culprit: str  # the name that stands for it
    before: list[str]
    prefix: str
    reading: Reading


def parameters(context: Context) -> Iterator[Given]:
    """Yield what steps are given, and the probes in them (`wait_for`)."""
    for call in context.calls:
        if call.cls is not None:
            yield from _parameters(context, call, call.cls, call.step.params, (*call.step.path, call.step.module))


def _parameters(
    context: Context, call: Call, cls: type[Step | Probe], given: Mapping[str, Any], path: Path
) -> Iterator[Given]:
    fields = params.fields(cls)
    for name, value in given.items():
        kind = fields[name].kind if name in fields else None
        at = context.parameter(path[:-1], str(path[-1]), name)
        if kind is Kind.PROBE and isinstance(value, Mapping) and len(value) == 1:
            [(probe, inner)] = value.items()
            if probe in catalogue.probe_names() and isinstance(inner, Mapping):
                yield from _parameters(context, call, catalogue.probe(probe), inner, (*at, probe))
        else:
            yield Given(call, name, kind, value, at, given)


def culprits(context: Context, call: Call, value: object) -> list[str]:
    """Return the names in a value that stand for what a host wrote."""
    names = mentioned(value)
    if not names:
        return []
    fields = _fields(context, call)
    return sorted(name for name in names if host_text({name}, context, fields))


def words(context: Context, given: Given) -> Iterator[Word]:
    """Yield the words of a command that hold host text, each with how the program would read it."""
    scope = _scope(context, given.call)
    before: list[str] = []
    for word in given.value if isinstance(given.value, (list, tuple)) else [given.value]:
        if isinstance(word, Expression) and host_text(word.names, scope):
            try:
                found, prefix = reading(word, before, scope)
            except RenderError:
                return  # another rule says what is wrong with it
            yield Word(culprits(context, given.call, word)[0], list(before), prefix, found)
            before.append(HOST_TEXT)
        else:
            before.append(str(places.told(word, scope) or ""))


def reads_code(context: Context, given: Given) -> bool:
    """Tell whether the command beside a parameter takes its input for code, as far as its words can be told."""
    from runbook.engine.language import programs

    argv = given.beside.get("argv")
    scope = _scope(context, given.call)
    listed = argv if isinstance(argv, (list, tuple)) else str(argv or "").split()
    return programs.reads_code([places.told(word, scope) or "" for word in listed])


def loads_code(variable: str) -> bool:
    """Tell whether programs take code from an environment variable."""
    from runbook.engine.language import programs

    return programs.loads_code(variable)


def _scope(context: Context, call: Call) -> Scope:
    fields = _fields(context, call)
    if not fields:
        return context.later
    scope = copy(context.later)
    scope.host_names = scope.host_names | fields
    return scope


def _fields(context: Context, call: Call) -> frozenset[str]:
    found: set[str] = set()
    for detector in call.detectors:
        if detector.probe == "error":
            found |= set(known.fields(context, detector) or {})
    return frozenset(found)
