"""Engines that tell only which lines hold one of the patterns' texts; which it is is looked up in these lines alone."""

from typing import Callable, Dict, Iterable, List, Mapping, NamedTuple, Sequence

from runbook.modules.logs.engines.engine import Mark
from runbook.modules.logs.engines.literals import LiteralEngine, conditions
from runbook.modules.logs.engines.plan import expressions
from runbook.modules.logs.needed import SHORTEST
from runbook.modules.logs.patterns import Pattern


class Wanted(NamedTuple):
    """What the lines are to hold, one of all these."""

    cased: Sequence[bytes]  # texts
    folded: Sequence[bytes]  # texts in lower case, which may stand in any
    outlines: Sequence[bytes]  # expressions


Finder = Callable[[bytes], Iterable[int]]
"""What returns where the lines begin that hold what is wanted."""


class LineEngine:
    """Finds the lines first, then what they hold."""

    sees_docker = False
    sure = False

    def __init__(self, name: str, patterns: Sequence[Pattern], finder: Callable[[Wanted], Finder]) -> None:
        self.name = name
        self.expressions = expressions(patterns)
        self._literals = LiteralEngine(self.expressions)
        single = [expression for expression in self.expressions if expression.lines == 1 and expression.texts]
        first = [conditions(each.texts[:1])[0] for each in single if not each.outline]
        folded = fewest(word for folds, words in first if folds for word in words)
        cased = fewest(word for folds, words in first if not folds for word in words)
        outlines = list(dict.fromkeys(each.outline.encode("latin-1") for each in single if each.outline))
        self._lines = finder(Wanted(cased, folded, outlines)) if single else _nothing

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
    kept: Dict[bytes, List[bytes]] = {}  # by their first bytes
    for text in sorted(set(texts), key=len):
        if not _holds(text, kept):
            kept.setdefault(text[:SHORTEST], []).append(text)
    return [text for several in kept.values() for text in several]


def _holds(text: bytes, others: Mapping[bytes, Sequence[bytes]]) -> bool:
    starts = range(len(text) - SHORTEST + 1)
    return any(text.startswith(other, at) for at in starts for other in others.get(text[at : at + SHORTEST], ()))
