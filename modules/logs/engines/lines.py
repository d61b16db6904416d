"""Engines that tell only which lines may match: their patterns are named by the literals that these lines hold."""

from typing import Callable, Iterator, List, Sequence

from runbook.modules.logs.engines.engine import Expression, Mark, asked
from runbook.modules.logs.engines.literals import LiteralEngine
from runbook.modules.logs.patterns import Pattern
from runbook.modules.logs.superset import Node, OneOf


class LineEngine:
    """Finds candidate lines by one expression of all patterns."""

    sees_docker = False

    def __init__(self, name: str, patterns: Sequence[Pattern], finder: "Callable[[Node], Finder]") -> None:
        self.name = name
        self.expressions = [Expression(number, None) for number in range(len(patterns))]
        nodes: List[Node] = []
        found = set()
        for each in asked(patterns):
            number = each.expression.pattern
            if each.node is not None and each.lines == 1:
                nodes.append(each.node)
                found.add(number)
            else:
                found.discard(number)
        self._found = sorted(found)
        self._others = [number for number in range(len(patterns)) if number not in found]
        self._names = LiteralEngine([patterns[number] for number in self._found])
        self._rest = LiteralEngine([patterns[number] for number in self._others])
        self._lines = finder(OneOf(tuple(nodes)))

    def candidates(self, text: bytes) -> List[Mark]:
        """Return the lines that may match, with the patterns whose literals they hold."""
        found = [(at, self._others[number]) for at, number in self._rest.candidates(text)]
        starts = list(self._lines(text))
        if not starts:
            return found
        lines: List[bytes] = []
        begins: List[int] = []
        size = 0
        for start in starts:
            end = text.find(b"\n", start)
            line = text[start : len(text) if end < 0 else end]
            begins.append(size)
            lines.append(line)
            size += len(line) + 1
        where = dict(zip(begins, starts))
        return found + [
            (where[at], self._found[number]) for at, number in self._names.candidates(b"\n".join(lines) + b"\n")
        ]


Finder = Callable[[bytes], Iterator[int]]
"""What returns where the lines begin that may match."""
