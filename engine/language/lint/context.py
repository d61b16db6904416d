"""A runbook as the rules see it: its steps, expressions and patterns, each with its place in the file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from runbook.engine.language import params
from runbook.engine.language.lint import known
from runbook.modules import catalogue
from runbook.modules.declare import Kind, Probe, Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from runbook.engine.language.lint.known import Known
    from runbook.engine.language.source import Source
    from runbook.engine.model import Detector, Edit, Operation, Path, Runbook, Rung, Span, StepCall

_TEMPLATE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_]\w*")

Place = Literal["operation", "fallback", "recover", "cured", "unhealed", "recovery", "switch", "finally"]


@dataclass(frozen=True, slots=True)
class Remark:
    """What a rule has to say; its code, name and level come from the rule."""

    span: Span
    message: str
    hint: str = ""
    fixes: tuple[Edit, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """A step and where it stands."""

    step: StepCall
    place: Place
    earlier: tuple[StepCall, ...] = ()  # those that ran before it, whose `register` it may use
    detectors: tuple[Detector, ...] = ()  # whose incidents it is about
    operation: Operation | None = None
    cls: type[Step] | None = None


@dataclass(frozen=True, slots=True)
class Use:
    """An expression, where it stands, and the names that are known there."""

    expression: Any
    path: Path
    known: Known
    detector: Detector | None = None  # of a condition over its records
    fields: Mapping[str, Any] | None = None  # of the records that a condition is about
    call: Call | None = None


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression written in the runbook."""

    text: str
    path: Path


class Context:
    """One file for the rules: the source, and the runbook in it."""

    def __init__(self, source: Source, runbook: Runbook | None) -> None:
        self.source = source
        self._runbook = runbook
        self.data: Mapping[str, Any] = source.data if isinstance(source.data, Mapping) else {}

    @property
    def runbook(self) -> Runbook:
        """The runbook; only rules that say `NEEDS_RUNBOOK = False` are asked where there is none."""
        assert self._runbook is not None
        return self._runbook

    # places

    def remark(
        self,
        path: Path,
        message: str,
        hint: str = "",
        *,
        key: bool = False,
        word: str = "",
        fixes: Sequence[Edit] = (),
    ) -> Remark:
        """Say something about the value at a path (or its key, or a word in it)."""
        return Remark(self.at(path, key=key, word=word), message, hint, tuple(fixes))

    def remark_at(self, span: Span, message: str, hint: str = "") -> Remark:
        """Say something about a stretch of the file."""
        return Remark(span, message, hint)

    def remark_in(self, use: Use, offset: int, end: int, message: str, hint: str = "") -> Remark:
        """Say something about a stretch of an expression; offsets count within its text."""
        return Remark(self.at_word(use, offset, end), message, hint)

    def at(self, path: Path, *, key: bool = False, word: str = "") -> Span:
        """Return where a value stands; of several lines only the first, of a word in it the word alone."""
        if word and not key:
            start, end = self.source.offset(self.source.span(path))
            found = _find(self.source.text, word, start, end)
            if found is not None:
                return self.source.stretch(found, found + len(word))
        return self.source.head(path, key=key)

    def at_word(self, use: Use, offset: int, end: int) -> Span:
        """Return where a stretch of an expression stands; offsets count within the expression's text."""
        path = use.path
        while path and not isinstance(self.within(path), str):
            path = path[:-1]  # a word of a command that was split, or a condition that is a list
        word = use.expression.text[offset:end]
        text = self.within(path)
        if not isinstance(text, str) or not word:
            return self.source.head(use.path)
        shift = max(text.find(use.expression.text), 0)
        start, _ = self.source.offset(self.source.inside(path, shift + offset))
        if self.source.text.startswith(word, start):
            return self.source.stretch(start, start + len(word))
        begin, stop = self.source.offset(self.source.span(path))
        found = _find(self.source.text, word, begin, stop)
        return self.source.head(path) if found is None else self.source.stretch(found, found + len(word))

    def within(self, path: Path) -> Any:
        """Return the plain value at a path, or None."""
        value: Any = self.data
        for part in path:
            if not isinstance(value, (Mapping, list)):
                return None
            try:
                value = value[part]  # type: ignore[index] -- a path knows which of the two it is
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def parameter(self, path: Path, module: str, name: str) -> Path:
        """Return the path of a module's parameter, which may be written as `module: value`."""
        whole = (*path, module)
        given = self.within(whole)
        return (*whole, name) if isinstance(given, Mapping) and name in given else whole

    # what there is

    @cached_property
    def detectors(self) -> list[Detector]:
        """The detectors that stand in this file, not those that `use` brought."""
        return [found for found in self.runbook.detectors if self.own(found)]

    def own(self, detector: Detector) -> bool:
        """Whether a detector stands in this file."""
        return detector.origin in {"", self.runbook.file, self.source.file}

    @cached_property
    def recoveries(self) -> dict[str, tuple[Rung, ...]]:
        """The recoveries that stand in this file."""
        here = self.data.get("recoveries")
        own = here if isinstance(here, dict) else {}
        return {name: rungs for name, rungs in self.runbook.recoveries.items() if name in own}

    @cached_property
    def calls(self) -> list[Call]:
        """Every step of this file, in its order."""
        return list(self._calls())

    @cached_property
    def uses(self) -> list[Use]:
        """Every expression of this file."""
        return list(self._uses())

    @cached_property
    def patterns(self) -> list[Pattern]:
        """Every regular expression of this file."""
        return list(self._patterns())

    @cached_property
    def mentioned(self) -> frozenset[str]:
        """Every name that some expression mentions, those included that were filled in while the file was loaded."""
        found = {name for use in self.uses for name in use.expression.names}
        for text in _templates(self.data):
            found |= set(_NAME.findall(text))
        return frozenset(found)

    def recovery_of(self, detector: Detector) -> str | None:
        """Return the name of the recovery that a detector refers to."""
        given = self.within((*detector.path, "recover"))
        return given if isinstance(given, str) else None

    def _calls(self) -> Iterator[Call]:
        done: list[StepCall] = []
        for operation in self.runbook.operations:
            yield self._call(operation.step, "operation", done, operation=operation)
            yield from self._row(operation.fallback, "fallback", done, operation=operation)
            done.append(operation.step)
        for detector in self.detectors:
            before = done if detector.probe == "error" else []
            about: tuple[Detector, ...] = (detector,)
            steps = [step for rung in detector.recover for step in rung.steps]
            if self.recovery_of(detector) is None:
                yield from self._row(steps, "recover", before, about)
            yield from self._row(detector.cured, "cured", [*before, *steps], about)
            yield from self._row(detector.unhealed, "unhealed", [*before, *steps], about)
        for name, rungs in self.recoveries.items():
            about = tuple(found for found in self.runbook.detectors if self.recovery_of(found) == name)
            yield from self._row([step for rung in rungs for step in rung.steps], "recovery", [], about)
        pools = self.data.get("pools")
        for pool in self.runbook.pools.values():
            if isinstance(pools, dict) and pool.name in pools:
                yield from self._row(pool.switch, "switch", [])
        yield from self._row(self.runbook.finally_, "finally", done)

    def _row(
        self,
        steps: Iterable[StepCall],
        place: Place,
        before: Sequence[StepCall],
        detectors: tuple[Detector, ...] = (),
        operation: Operation | None = None,
    ) -> Iterator[Call]:
        earlier = list(before)
        for step in steps:
            yield self._call(step, place, earlier, detectors, operation)
            earlier.append(step)

    def _call(
        self,
        step: StepCall,
        place: Place,
        earlier: Sequence[StepCall],
        detectors: tuple[Detector, ...] = (),
        operation: Operation | None = None,
    ) -> Call:
        return Call(step, place, tuple(earlier), detectors, operation, step_class(step.module))

    def _uses(self) -> Iterator[Use]:
        yield from self._uses_at_top()
        for detector in self.detectors:
            yield from self._uses_of_detector(detector)
        for call in self.calls:
            yield from self._uses_of_step(call)
        for operation in self.runbook.operations:
            if operation.prefer is not None:
                yield Use(operation.prefer, (*operation.path, "prefer"), known.of_operation(self, operation, ()))

    def _uses_at_top(self) -> Iterator[Use]:
        anywhere = known.anywhere(self)
        for name, value in self.runbook.vars.items():
            for path, found in expressions(value, ("vars", name)):
                yield Use(found, path, known.of_var(self))
        for index, entry in enumerate(self.runbook.writable):
            for path, found in expressions(entry, ("writable", index)):
                yield Use(found, path, anywhere)

    def _uses_of_detector(self, detector: Detector) -> Iterator[Use]:
        names = known.of_records(self, detector)
        fields = known.fields(self, detector)
        for key, found in (("when", detector.when), ("clear", detector.clear), ("subject", detector.subject)):
            path = (*detector.path, key)
            if found is None:
                continue
            if self.within(path) is None:
                path = (key,) if key in self.data else detector.path  # a default at the top
            yield Use(found, path, names, detector, fields)
        anywhere = known.anywhere(self)
        for name, value in detector.params.items():
            start = self.parameter(detector.path, detector.probe, name)
            for path, found in expressions(value, start):
                yield Use(found, path, anywhere)

    def _uses_of_step(self, call: Call) -> Iterator[Use]:
        step = call.step
        names = known.of_step(self, call)
        if step.when is not None:
            path = (*step.path, "when")
            if self.within(path) is not None:
                yield Use(step.when, path, names, call=call)
        for name, value in step.params.items():
            start = self.parameter(step.path, step.module, name)
            if self._is_condition(call, name):
                yield from self._uses_of_waiting(call, value, start)
                continue
            for path, found in expressions(value, start):
                yield Use(found, path, names, call=call)

    def _is_condition(self, call: Call, name: str) -> bool:
        given = params.fields(call.cls) if call.cls is not None else {}
        return name in given and given[name].kind is Kind.CONDITION

    def _uses_of_waiting(self, call: Call, value: Any, path: Path) -> Iterator[Use]:
        """A step's parameter that is a condition over the records of a probe beside it (`wait_for`)."""
        from runbook.engine.language import expression

        given = next((step for step in call.step.params.values() if _names_probe(step)), None)
        fields = known.probe_fields(given)
        names = known.of_step(self, call)
        if fields is not None:
            names = names.with_fields(fields)
        for index, text in enumerate(value if isinstance(value, list) else [value]):
            found = text
            if isinstance(text, str):
                try:
                    found = expression.parse(text, template=False)
                except expression.Syntax:
                    continue  # the loader's business
            if hasattr(found, "names"):
                where = (*path, index) if isinstance(value, list) else path
                yield Use(found, where, names, fields=fields, call=call)

    def _patterns(self) -> Iterator[Pattern]:
        for detector in self.detectors:
            if detector.error is not None:
                start = self.parameter(detector.path, "error", "patterns")
                yield from self._texts(list(detector.error.patterns), start)
            cls = probe_class(detector.probe)
            if cls is not None and detector.error is None:
                yield from self._regexes(cls, detector.params, detector.path, detector.probe)
        for call in self.calls:
            if call.cls is not None:
                yield from self._regexes(call.cls, call.step.params, call.step.path, call.step.module)
        for use in self.uses:
            for text in known.searched(use.expression):
                yield Pattern(text, use.path)

    def _regexes(
        self, cls: type[Step | Probe], given: Mapping[str, Any], path: Path, module: str
    ) -> Iterator[Pattern]:
        fields = params.fields(cls)
        for name, value in given.items():
            if name in fields and fields[name].kind is Kind.REGEX:
                yield from self._texts(value, self.parameter(path, module, name))

    def _texts(self, value: Any, path: Path) -> Iterator[Pattern]:
        if isinstance(value, str):
            yield Pattern(value, path)
        elif isinstance(value, (list, tuple)):
            listed = isinstance(self.within(path), list)
            for index, item in enumerate(value):
                yield from self._texts(item, (*path, index) if listed else path)
        elif isinstance(value, Mapping):
            for key, item in value.items():
                yield from self._texts(item, (*path, key))


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


def step_class(name: str) -> type[Step] | None:
    """Return a step's class, or None where there is no such step."""
    return catalogue.step(name) if name in catalogue.step_names() else None


def probe_class(name: str) -> type[Probe] | None:
    """Return a probe's class, or None where there is no such probe."""
    return catalogue.probe(name) if name in catalogue.probe_names() else None


def _templates(value: Any) -> Iterator[str]:
    """Yield what stands between {{ and }} in a value's texts."""
    if isinstance(value, str):
        yield from _TEMPLATE.findall(value)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _templates(item)
    elif isinstance(value, list):
        for item in value:
            yield from _templates(item)


def _names_probe(value: Any) -> bool:
    return isinstance(value, Mapping) and len(value) == 1 and next(iter(value)) in catalogue.probe_names()


def _find(text: str, word: str, start: int, end: int) -> int | None:
    """Return where a word stands in a stretch, not as a part of another."""
    at = text.find(word, start, end)
    while at >= 0:
        before = text[at - 1 : at] if at > start else ""
        after = text[at + len(word) : at + len(word) + 1]
        if not ((_letter(before) and _letter(word[0])) or (_letter(after) and _letter(word[-1]))):
            return at
        at = text.find(word, at + 1, end)
    return None


def _letter(text: str) -> bool:
    return text.isalnum() or text == "_"
