"""Candidates by RE2 (the package google-re2): the texts of all patterns at once."""

import importlib
from typing import Any, Iterator, Sequence

from runbook.modules.logs.engines.lines import Finder, LineEngine, Wanted
from runbook.modules.logs.needed import escaped
from runbook.modules.logs.patterns import Pattern

MEMORY = 192 * 1024 * 1024  # for an automaton


def made(patterns: Sequence[Pattern]) -> LineEngine:
    """Return the engine for these patterns.

    Raises:
        ImportError: the package is not there.
    """
    re2: Any = importlib.import_module("re2")

    def finder(wanted: Wanted) -> Finder:
        options = re2.Options()
        options.encoding = re2.Options.Encoding.LATIN1
        options.max_mem = MEMORY
        options.never_capture = True
        options.log_errors = False
        texts = [*map(escaped, wanted.cased), *(escaped(text, folds=True) for text in wanted.folded)]
        compiled = re2.compile(b"|".join([*texts, *wanted.outlines]), options)
        return lambda text: _lines(compiled, text)

    return LineEngine("re2", patterns, finder)


def _lines(compiled: Any, text: bytes) -> Iterator[int]:
    at = 0
    while at < len(text):
        match = compiled.search(text, at)
        if match is None:
            return
        end = match.end()
        yield text.rfind(b"\n", 0, end) + 1
        at = text.find(b"\n", end) + 1
        if not at:
            return
