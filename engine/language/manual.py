"""A module's page: what its class says about it, as data that reports print."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

from runbook.engine.language import amounts, params
from runbook.modules import catalogue
from runbook.modules.declare import Kind, Probe, Step
from runbook.modules.frozen import frozen

Noun = Literal["step", "probe"]

_KINDS: Mapping[Kind, str] = {
    Kind.CELSIUS: "temperature",
    Kind.BEGIN: "end, start, last N lines or since DURATION",
    Kind.WATT: "power",
    Kind.REGEX: "regular expression",
    Kind.GLOB: "pattern of file names",
    Kind.ARGV: "command line",
    Kind.SCRIPT: "shell script",
}
_UNITS: Mapping[Kind, str] = {
    Kind.DURATION: "30s, 10m, 1h30m, 7d",
    Kind.SIZE: "500MB, 50GB, 4GiB",
    Kind.PERCENT: "85 or 85%",
    Kind.CELSIUS: "°C",
    Kind.WATT: "W",
    Kind.TIME: "seconds since 1970",
}
_PYTHON: Mapping[Any, str] = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    Any: "any value",
    type(None): "null",
}


@frozen
class Entry:
    """One parameter of a module, or one field of a probe's records."""

    name: str
    type: str  # in the runbook's words: duration, text, list of paths
    unit: str  # how its value is written, or what it counts; empty where there is nothing to say
    required: bool
    default: Any  # as in YAML; None also where there is none
    choices: tuple[Any, ...]  # of a closed set, in order
    description: str


@frozen
class Page:
    """What there is to know about a module."""

    name: str
    noun: Noun
    description: str
    parameters: tuple[Entry, ...]
    first: str | None  # the parameter that a scalar stands for
    fields: tuple[Entry, ...]  # of a probe's records
    subject: str | None  # the field that names a record's subject; None = the host
    events: bool
    impact: str  # of a step
    idempotent: bool
    engine: bool  # carried out by the engine itself
    timeout: str
    needs: tuple[str, ...]  # packages beyond those that travel
    writes: tuple[str, ...]  # parameters that must lie in `writable`
    example: str

    @property
    def summary(self) -> str:
        """The description's first sentence, without its full stop."""
        paragraph = " ".join(self.description.split("\n\n")[0].split())
        return paragraph.partition(". ")[0].removesuffix(".")


def names() -> dict[str, tuple[Noun, ...]]:
    """Return every module's name, and whether it is a step, a probe or both."""
    found: dict[str, tuple[Noun, ...]] = {}
    for name in sorted({*catalogue.step_names(), *catalogue.probe_names()}):
        nouns: list[Noun] = []
        if name in catalogue.step_names():
            nouns.append("step")
        if name in catalogue.probe_names():
            nouns.append("probe")
        found[name] = tuple(nouns)
    return found


def page(noun: Noun, name: str) -> Page:
    """Return a module's page.

    Raises:
        KeyError: there is none of that name.
    """
    cls: Any = catalogue.step(name) if noun == "step" else catalogue.probe(name)
    step: type[Step] | None = cls if noun == "step" else None
    probe: type[Probe] | None = cls if noun == "probe" else None
    return Page(
        name=name,
        noun=noun,
        description=params.description(cls),
        parameters=tuple(map(_entry, params.fields(cls).values())),
        first=params.first(cls),
        fields=tuple(map(_entry, params.record_fields(probe).values())) if probe else (),
        subject=probe.subject if probe else None,
        events=probe.events if probe else False,
        impact=step.impact.value if step else "none",
        idempotent=step.idempotent if step else True,
        engine=cls.engine,
        timeout=amounts.format_duration(cls.timeout),
        needs=step.needs if step else (),
        writes=step.writes if step else (),
        example=params.example(cls),
    )


def _entry(one: params.Parameter) -> Entry:
    return Entry(
        one.name,
        _words(one.type),
        _UNITS.get(one.kind, "") if one.kind else "",
        one.required,
        _plain(one.kind, one.default),
        one.choices,
        one.description,
    )


def _plain(kind: Kind | None, value: Any) -> Any:
    """Return a default as a runbook writes it."""
    if isinstance(value, tuple | frozenset):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        if kind is Kind.DURATION:
            return amounts.format_duration(value)
        if kind is Kind.SIZE:
            return amounts.format_size(value).replace(" ", "")
        if kind is Kind.PERCENT:
            return f"{value:g}%"
    return value


def _words(hint: Any) -> str:
    """Say a type in the runbook's words; null is what an optional value is by default, and goes without saying."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        kind = next((extra for extra in hint.__metadata__ if isinstance(extra, Kind)), None)
        return _KINDS.get(kind, kind.value) if kind else _words(arguments[0])
    if origin is Literal:
        return "one of " + ", ".join(str(one).lower() if isinstance(one, bool) else str(one) for one in arguments)
    if origin in {typing.Union, types.UnionType}:
        parts = [_words(part) for part in arguments if part is not type(None)]
        return " or ".join(dict.fromkeys(parts))
    if origin in {tuple, list, set, frozenset}:
        return f"list: {_words(arguments[0])}"
    if origin is not None and issubclass(origin, Mapping):
        return f"mapping to {_words(arguments[1])}"
    if hint in {dict, Mapping}:
        return "mapping"
    return _PYTHON.get(hint, getattr(hint, "__name__", str(hint)))
