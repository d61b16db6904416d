"""The regular expressions of a runbook: of detectors, of steps, and those that expressions search for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from runbook.engine.language import params
from runbook.engine.language.lint import known
from runbook.engine.language.lint.calls import probe_class
from runbook.modules.declare import Kind
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context
    from runbook.engine.model import Path
    from runbook.modules.declare import Probe, Step


@frozen
class Pattern:
    """A regular expression written in the runbook."""

    text: str
    path: Path


def walk(context: Context) -> Iterator[Pattern]:
    """Yield every regular expression of this file."""
    for detector in context.detectors:
        if detector.error is not None:
            start = context.parameter(detector.path, "error", "patterns")
            yield from _texts(context, list(detector.error.patterns), start)
        cls = probe_class(detector.probe)
        if cls is not None and detector.error is None:
            yield from _regexes(context, cls, detector.params, detector.path, detector.probe)
    for call in context.calls:
        if call.cls is not None:
            yield from _regexes(context, call.cls, call.step.params, call.step.path, call.step.module)
    for use in context.uses:
        for text in known.searched(use.expression):
            yield Pattern(text, use.path)


def _regexes(
    context: Context, cls: type[Step | Probe], given: Mapping[str, Any], path: Path, module: str
) -> Iterator[Pattern]:
    fields = params.fields(cls)
    for name, value in given.items():
        if name in fields and fields[name].kind is Kind.REGEX:
            yield from _texts(context, value, context.parameter(path, module, name))


def _texts(context: Context, value: Any, path: Path) -> Iterator[Pattern]:
    if isinstance(value, str):
        yield Pattern(value, path)
    elif isinstance(value, (list, tuple)):
        listed = isinstance(context.within(path), list)
        for index, item in enumerate(value):
            yield from _texts(context, item, (*path, index) if listed else path)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(context, item, (*path, key))
