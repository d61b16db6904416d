"""A runbook as the rules see it: its steps, expressions and patterns, each with its place in the file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from runbook.engine.language.lint import calls, regexes, uses
from runbook.engine.language.taint import HOST_TEXT, registered
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    from runbook.engine.language.lint.calls import Call
    from runbook.engine.language.lint.outside import Hosts
    from runbook.engine.language.lint.regexes import Pattern
    from runbook.engine.language.lint.uses import Use
    from runbook.engine.language.scope import Scope
    from runbook.engine.language.source import Source
    from runbook.engine.model import Detector, Edit, Path, Runbook, Rung, Span

_TEMPLATE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_]\w*")


@frozen
class Remark:
    """What a rule has to say; its code, name and level come from the rule."""

    span: Span
    message: str
    hint: str = ""
    fixes: tuple[Edit, ...] = ()


class Context:
    """One file for the rules: the source, the runbook in it, and what an inventory says."""

    def __init__(
        self, source: Source, runbook: Runbook | None, outside: Container[str] = (), hosts: Hosts | None = None
    ) -> None:
        self.source = source
        self.outside = outside
        self.hosts = hosts  # of an inventory, where one is given
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
                value = value[part]  # type: ignore[index]
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
    def host_names(self) -> frozenset[str]:
        """The names that stand for what a host wrote, beside the fields of records."""
        return HOST_TEXT | registered(self.runbook)

    @cached_property
    def later(self) -> Scope:
        """A scope in which all that is known only later has a mark for a value."""
        from runbook.engine.language.lint import known, places

        return places.scope(self, sorted(known.registered(self)))

    @cached_property
    def calls(self) -> list[Call]:
        """Every step of this file, in its order."""
        return list(calls.walk(self))

    @cached_property
    def uses(self) -> list[Use]:
        """Every expression of this file."""
        return list(uses.walk(self))

    @cached_property
    def patterns(self) -> list[Pattern]:
        """Every regular expression of this file."""
        return list(regexes.walk(self))

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
