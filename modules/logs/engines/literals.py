"""Candidates by the texts that the patterns can't match without; needs nothing but Python."""

import sys
from typing import Dict, Iterable, Iterator, List, Sequence, Set, Tuple

from runbook.modules.logs.engines.engine import Mark
from runbook.modules.logs.engines.plan import Expression, expressions
from runbook.modules.logs.patterns import Pattern

FEW = 100  # texts that are looked for one by one
_GRAM = 4  # bytes
_ANEW = 64  # blocks after which is looked again what a log holds least of


class LiteralEngine:
    """Looks for the texts of each expression; of one without any, every line is a candidate."""

    name = "literals"
    sees_docker = False
    sure = False

    def __init__(self, made: Sequence[Expression]) -> None:
        self.expressions = made
        self._any = [number for number, expression in enumerate(made) if not expression.texts]
        self._reaching: List[Tuple[int, _Sets]] = []
        self._rarest: List[Tuple[bytes, ...]] = []  # of each of these the set that the log holds least of
        self._blocks = 0
        groups: Dict[bytes, Dict[_Sets, List[int]]] = {}
        for number, expression in enumerate(made):
            sets = tuple(tuple(text.encode("latin-1") for text in texts) for texts in expression.texts)
            if sets and expression.lines > 1:
                self._reaching.append((number, sets))
            elif sets:
                for text in sets[0]:
                    groups.setdefault(text, {}).setdefault(sets[1:], []).append(number)
        self._texts = {text: list(conditions.items()) for text, conditions in groups.items()}
        self._grams = _Grams(self._texts) if len(self._texts) > FEW else None

    def candidates(self, text: bytes) -> List[Mark]:
        """Return the lines that hold the texts of an expression."""
        return [*self.anywhere(text), *self.of_one_line(text)]

    def anywhere(self, text: bytes) -> List[Mark]:
        """Return the lines of expressions that have no texts, and of those that reach over several lines."""
        found = [(start, number) for start in _all_lines(text) for number in self._any] if self._any else []
        lower = text.lower() if self._reaching else b""
        if not self._blocks % _ANEW:
            self._rarest = [min(sets, key=lambda texts: sum(map(lower.count, texts))) for _, sets in self._reaching]
        self._blocks += 1
        for (number, sets), rarest in zip(self._reaching, self._rarest):
            for literal in rarest:
                for start in _lines_with(lower, literal):
                    begin, end = _around(lower, start, self.expressions[number].lines - 1)
                    if _all_there(lower[begin:end], sets):
                        found += [(at, number) for at in _starts(text, start, end)]
        return found

    def of_one_line(self, text: bytes) -> List[Mark]:
        """Return the lines of the others."""
        found: List[Mark] = []
        lower = text.lower()
        for literal in self._texts if self._grams is None else self._grams.there(lower):
            conditions = self._texts[literal]
            for start in _lines_with(lower, literal):
                line = b""
                for also, numbers in conditions:
                    if also and not line:
                        end = lower.find(b"\n", start)
                        line = lower[start : len(lower) if end < 0 else end]
                    if _all_there(line, also):
                        found += [(start, number) for number in numbers]
        return found


_Sets = Tuple[Tuple[bytes, ...], ...]


def _all_there(line: bytes, sets: _Sets) -> bool:
    """Tell whether a text of each set stands in a line."""
    for texts in sets:
        for text in texts:
            if text in line:
                break
        else:
            return False
    return True


def _around(text: bytes, start: int, lines: int) -> Tuple[int, int]:
    """Return where so many lines before a line begin, and so many behind it end."""
    end = text.find(b"\n", start)
    end = len(text) if end < 0 else end
    for _ in range(lines):
        start = text.rfind(b"\n", 0, max(0, start - 1)) + 1
        further = text.find(b"\n", end + 1)
        end = len(text) if further < 0 else further
    return start, end


def _starts(text: bytes, start: int, end: int) -> Iterator[int]:
    while 0 <= start < end:
        yield start
        start = text.find(b"\n", start) + 1 or -1


class _Grams:
    """Tells which of many texts may stand in a block, by stretches of four bytes of each: one pass for all."""

    def __init__(self, texts: Iterable[bytes]) -> None:
        self._short = [text for text in texts if len(text) < _GRAM]
        self._by_gram: Dict[int, List[bytes]] = {}
        grams = {text: [_number(text[at : at + _GRAM]) for at in range(len(text) - _GRAM + 1)] for text in texts}
        often: Dict[int, int] = {}
        for found in grams.values():
            for gram in found:
                often[gram] = often.get(gram, 0) + 1
        for text, found in grams.items():
            if found:  # the one that fewest others have
                self._by_gram.setdefault(min(found, key=lambda gram: (often[gram], gram)), []).append(text)
        self._known = frozenset(self._by_gram)

    def there(self, lower: bytes) -> List[bytes]:
        """Return the texts that may stand in a block in lower case."""
        found: Set[int] = set()
        for shift in range(_GRAM):
            end = len(lower) - (len(lower) - shift) % _GRAM
            if end > shift:
                found |= self._known.intersection(memoryview(lower)[shift:end].cast("I"))
        return [*self._short, *(text for gram in found for text in self._by_gram[gram])]


def _number(gram: bytes) -> int:
    return int.from_bytes(gram, sys.byteorder)


def _all_lines(text: bytes) -> Iterator[int]:
    start = 0
    while start < len(text):
        yield start
        start = text.find(b"\n", start) + 1
        if not start:
            return


def _lines_with(text: bytes, literal: bytes) -> Iterator[int]:
    at = text.find(literal)
    while at >= 0:
        yield text.rfind(b"\n", 0, at) + 1
        end = text.find(b"\n", at)
        if end < 0:
            return
        at = text.find(literal, end + 1)


def made(patterns: Sequence[Pattern]) -> LiteralEngine:
    """Return the engine for these patterns."""
    return LiteralEngine(expressions(patterns))
