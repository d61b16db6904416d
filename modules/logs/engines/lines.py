"""Engines that tell only which lines hold one of the patterns' texts; which it is is looked up in these lines alone."""

from typing import Callable, Iterator, List, Sequence

from runbook.modules.logs.engines.engine import Mark
from runbook.modules.logs.engines.literals import LiteralEngine
from runbook.modules.logs.engines.plan import expressions
from runbook.modules.logs.patterns import Pattern

Finder = Callable[[bytes], Iterator[int]]
"""What returns where the lines begin that hold one of some texts, in any case."""


class LineEngine:
    """Finds the lines first, then what they hold."""

    sees_docker = False
    sure = False

    def __init__(self, name: str, patterns: Sequence[Pattern], finder: "Callable[[Sequence[bytes]], Finder]") -> None:
        self.name = name
        self.expressions = expressions(patterns)
        self._literals = LiteralEngine(self.expressions)
        self._lines = finder(fewest(self._literals.texts))

    def candidates(self, text: bytes) -> List[Mark]:
        """Return the lines that may match, with the expressions whose texts they hold."""
        found = list(self._literals.anywhere(text))
        starts = list(self._lines(text))
        if not starts:
            return found
        lines: List[bytes] = []
        where = {}
        size = 0
        for start in starts:
            end = text.find(b"\n", start)
            line = text[start : len(text) if end < 0 else end]
            where[size] = start
            lines.append(line)
            size += len(line) + 1
        for at, number in self._literals.of_texts(b"\n".join(lines)):
            start = where[at]
            for _ in range(self.expressions[number].lines):
                found.append((start, number))
                start = text.find(b"\n", start) + 1
                if not 0 < start < len(text):
                    break
        return found


def fewest(texts: Sequence[bytes]) -> List[bytes]:
    """Return the texts without those that hold another: a line that holds the longer holds the shorter."""
    kept: List[bytes] = []
    for text in sorted(texts, key=len):
        if not any(shorter in text for shorter in kept):
            kept.append(text)
    return kept
