"""Candidates by RE2 (the package google-re2): one automaton for all patterns."""

import importlib
from typing import Any, Iterator, Sequence

from runbook.modules.logs.engines.lines import Finder, LineEngine
from runbook.modules.logs.engines.syntax import perl
from runbook.modules.logs.patterns import Pattern
from runbook.modules.logs.superset import Node

MEMORY = 32 * 1024 * 1024  # for its automaton


def made(patterns: Sequence[Pattern]) -> LineEngine:
    """Return the engine for these patterns.

    Raises:
        ImportError: the package is not there.
    """
    re2: Any = importlib.import_module("re2")

    def finder(node: Node) -> Finder:
        options = re2.Options()
        options.encoding = re2.Options.Encoding.LATIN1
        options.max_mem = MEMORY
        options.never_capture = True
        options.log_errors = False
        compiled = re2.compile(b"(?m)" + perl(node), options)

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

        return find

    return LineEngine("re2", patterns, finder)
