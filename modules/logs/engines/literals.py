"""Candidates by the texts that the patterns can't match without; needs nothing but Python."""

import sys
from typing import Dict, Iterable, Iterator, List, Sequence, Set

from runbook.modules.logs.engines.engine import Mark
from runbook.modules.logs.engines.plan import Expression, expressions
from runbook.modules.logs.patterns import Pattern

FEW = 100  # texts that are looked for one by one
_GRAM = 4  # bytes


class LiteralEngine:
    """Looks for the texts of each expression; of one without any, every line is a candidate."""

    name = "literals"
    sees_docker = False
    sure = False

    def __init__(self, made: Sequence[Expression]) -> None:
        self.expressions = made
        self._texts: Dict[bytes, List[int]] = {}
        self._any = [number for number, expression in enumerate(made) if expression.texts is None]
        for number, expression in enumerate(made):
            for text in expression.texts or ():
                self._texts.setdefault(text.encode("latin-1"), []).append(number)
        self._grams = _Grams(self._texts) if len(self._texts) > FEW else None

    @property
    def texts(self) -> Sequence[bytes]:
        """What is looked for, in lower case."""
        return list(self._texts)

    @property
    def complete(self) -> bool:
        """Every expression has texts to look for."""
        return not self._any

    def candidates(self, text: bytes) -> List[Mark]:
        """Return the lines that hold one of the texts."""
        return [*self.anywhere(text), *self.of_texts(text)]

    def anywhere(self, text: bytes) -> Iterator[Mark]:
        """Return every line, for the expressions that have no texts."""
        for start in _all_lines(text) if self._any else ():
            for number in self._any:
                yield start, number

    def of_texts(self, text: bytes) -> Iterator[Mark]:
        """Return the lines of the others."""
        lower = text.lower()
        wanted = self._texts if self._grams is None else self._grams.there(lower)
        for literal in wanted:
            numbers = self._texts[literal]
            for start in _lines_with(lower, literal):
                for number in numbers:
                    at = start
                    for _ in range(self.expressions[number].lines):  # the match may go on behind the text
                        yield at, number
                        at = text.find(b"\n", at) + 1
                        if not 0 < at < len(text):
                            break


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
            if found:  # the one that most others share, so that there are few
                self._by_gram.setdefault(max(found, key=lambda gram: (often[gram], gram)), []).append(text)
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
