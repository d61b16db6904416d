"""Candidates by RE2 (the package google-re2): one automaton for the texts of all patterns."""

import importlib
from typing import Any, Iterator, Sequence

from runbook.modules.logs.engines.lines import Finder, LineEngine
from runbook.modules.logs.patterns import Pattern

MEMORY = 32 * 1024 * 1024  # for its automaton


def made(patterns: Sequence[Pattern]) -> LineEngine:
    """Return the engine for these patterns.

    Raises:
        ImportError: the package is not there.
    """
    re2: Any = importlib.import_module("re2")

    def finder(texts: Sequence[bytes]) -> Finder:
        options = re2.Options()
        options.encoding = re2.Options.Encoding.LATIN1
        options.case_sensitive = False
        options.max_mem = MEMORY
        options.never_capture = True
        compiled = re2.compile(b"|".join(map(re2.escape, texts)), options)

        def find(text: bytes) -> Iterator[int]:
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

        return find if texts else _nothing

    return LineEngine("re2", patterns, finder)


def _nothing(_text: bytes) -> Iterator[int]:
    return iter(())
