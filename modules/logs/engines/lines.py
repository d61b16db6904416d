"""Engines that tell only which lines hold one of the patterns' texts; which it is is looked up in these lines alone."""

from typing import Callable, Iterable, List, Sequence

from runbook.modules.logs.engines.engine import Mark
from runbook.modules.logs.engines.literals import LiteralEngine
from runbook.modules.logs.engines.plan import expressions
from runbook.modules.logs.patterns import Pattern

Finder = Callable[[bytes], Iterable[int]]
"""What returns where the lines begin that hold one of some texts, or what an outline says, in any case."""

Making = Callable[[Sequence[bytes], Sequence[bytes]], Finder]
"""What makes it of texts and of outlines."""


class LineEngine:
    """Finds the lines first, then what they hold."""

    sees_docker = False
    sure = False

    def __init__(self, name: str, patterns: Sequence[Pattern], finder: Making) -> None:
        self.name = name
        self.expressions = expressions(patterns)
        self._literals = LiteralEngine(self.expressions)
        single = [expression for expression in self.expressions if expression.lines == 1 and expression.texts]
        texts = {text.encode("latin-1") for each in single if not each.outline for text in each.texts[0]}
        outlines = dict.fromkeys(each.outline.encode("latin-1") for each in single if each.outline)
        self._lines = finder(fewest(texts), list(outlines)) if single else _nothing

    def candidates(self, text: bytes) -> List[Mark]:
        """Return the lines that may match, with the expressions whose texts they hold."""
        found = self._literals.anywhere(text)
        lines: List[bytes] = []
        where = {}
        size = 0
        for start in self._lines(text):
            end = text.find(b"\n", start)
            line = text[start : len(text) if end < 0 else end]
            where[size] = start
            lines.append(line)
            size += len(line) + 1
        if lines:
            found += [(where[at], number) for at, number in self._literals.of_one_line(b"\n".join(lines))]
        return found


def _nothing(_text: bytes) -> Iterable[int]:
    return ()


def fewest(texts: Iterable[bytes]) -> List[bytes]:
    """Return the texts without those that hold another: a line that holds the longer holds the shorter."""
    kept: List[bytes] = []
    for text in sorted(texts, key=len):
        if not any(shorter in text for shorter in kept):
            kept.append(text)
    return kept
