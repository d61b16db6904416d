"""Where the texts stand that the patterns can't match without, by nothing but Python."""

import re
import sys
from collections import Counter
from functools import cached_property
from itertools import chain
from typing import AbstractSet, Dict, Iterable, Iterator, List, Sequence, Tuple

from runbook.modules.logs.engines.engine import Mark
from runbook.modules.logs.engines.plan import Expression, Set

FEW = 200  # texts that are looked for one by one
LITTLE = 16 * 1024  # bytes in which more are looked for so: to do better costs as much as that
_GRAM = 4  # bytes
_DIGIT = re.compile(rb"\d")
_ANEW = 64  # blocks after which is looked again what a log holds least of


class Literals:
    """Looks for the texts of each expression; of one without any, every line is a candidate."""

    def __init__(self, made: Sequence[Expression]) -> None:
        self.expressions = made
        self._any = [number for number, expression in enumerate(made) if not expression.texts]
        self._reaching: List[Tuple[int, Conditions]] = []
        self._rarest: List[Condition] = []  # of each of these the set that the log holds least of
        self._blocks = 0
        single: Dict[bool, Dict[bytes, List[Tuple[Conditions, int]]]] = {False: {}, True: {}}
        for number, expression in enumerate(made):
            sets = conditions(expression.texts)
            if sets and expression.lines > 1:
                self._reaching.append((number, sets))
            elif sets:
                folds, words = sets[0]
                also = (sets[1:], number)
                for word in words:
                    single[folds].setdefault(word, []).append(also)
        self._cased, self._folded = _Words(single[False]), _Words(single[True])

    def candidates(self, text: bytes) -> List[Mark]:
        """Return the lines that hold the texts of an expression."""
        return [*self.anywhere(text), *self.of_one_line(text)]

    def anywhere(self, text: bytes) -> List[Mark]:
        """Return the lines of expressions that have no texts, and of those that reach over several lines."""
        found = [(start, number) for start in _all_lines(text) for number in self._any] if self._any else []
        if not self._reaching:
            return found
        lower = text.lower()
        if not self._blocks % _ANEW:
            self._rarest = [min(sets, key=lambda each: _often(text, lower, each)) for _, sets in self._reaching]
        self._blocks += 1
        for (number, sets), (folds, words) in zip(self._reaching, self._rarest):
            for word in words:
                for start in lines_with(lower if folds else text, word):
                    begin, end = _around(text, start, self.expressions[number].lines - 1)
                    if all_there(text[begin:end], sets):
                        found += [(at, number) for at in _starts(text, start, end)]
        return found

    def of_one_line(self, text: bytes) -> List[Mark]:
        """Return the lines of the others."""
        found = list(self._cased.candidates(text, text))
        if self._folded.words:
            found += self._folded.candidates(text.lower(), text)
        return found


Condition = Tuple[bool, Tuple[bytes, ...]]
Conditions = Tuple[Condition, ...]


def conditions(sets: Sequence[Set]) -> Conditions:
    """Return sets of texts as bytes."""
    return tuple((folds, tuple(word.encode("latin-1") for word in words)) for folds, words in sets)


def without_digits(sets: Conditions) -> Conditions:
    """Return the sets that say the same of all lines that differ in digits alone."""
    return tuple(each for each in sets if not any(map(_DIGIT.search, each[1])))


def all_there(text: bytes, sets: Conditions) -> bool:
    """Tell whether a word of each set stands in a text."""
    lower = b""
    for folds, words in sets:
        if folds and not lower:
            lower = text.lower()
        where = lower if folds else text
        for word in words:
            if word in where:
                break
        else:
            return False
    return True


class _Words:
    """Texts of single lines, all in the same case, with what else a line must hold for which expression."""

    def __init__(self, words: Dict[bytes, List[Tuple[Conditions, int]]]) -> None:
        self.words = words
        self._left = LITTLE if len(words) > FEW else 1 << 62  # bytes that are searched for each word

    @cached_property
    def _grams(self) -> "_Grams":
        return _Grams(self.words)

    def _there(self, text: bytes) -> Iterable[bytes]:
        """Return the words that may stand in a block."""
        if len(text) <= self._left:
            self._left -= len(text)
            return self.words
        return self._grams.there(text)

    def candidates(self, text: bytes, cased: bytes) -> Iterator[Mark]:
        """Yield the candidates, given a block in the words' case, and in its own."""
        for word in self._there(text):
            also = self.words[word]
            for start in lines_with(text, word):
                line = b""
                for sets, number in also:
                    if sets and not line:
                        end = cased.find(b"\n", start)
                        line = cased[start : len(cased) if end < 0 else end]
                    if all_there(line, sets):
                        yield start, number


def _often(text: bytes, lower: bytes, condition: Condition) -> int:
    folds, words = condition
    return sum(map((lower if folds else text).count, words))


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
    """Tells which of many texts may stand in a block, by a stretch of four bytes of each: one pass for all."""

    def __init__(self, texts: Iterable[bytes]) -> None:
        self._short = [text for text in texts if len(text) < _GRAM]
        self._by_gram: Dict[int, List[bytes]] = {}
        grams = {text: _ends(text) for text in texts if len(text) >= _GRAM}
        often = Counter(chain.from_iterable(grams.values()))
        for text, (first, last) in grams.items():
            self._by_gram.setdefault(first if often[first] < often[last] else last, []).append(text)
        self._known = frozenset(self._by_gram)

    def there(self, lower: bytes) -> List[bytes]:
        """Return the texts that may stand in a block in lower case."""
        found: AbstractSet[int] = frozenset()
        for shift in range(_GRAM):
            end = len(lower) - (len(lower) - shift) % _GRAM
            if end > shift:
                found |= self._known.intersection(memoryview(lower)[shift:end].cast("I"))
        return [*self._short, *(text for gram in found for text in self._by_gram[gram])]


def _ends(text: bytes) -> Tuple[int, int]:
    """Return the stretches that a text begins and ends with, as the numbers that a view of a block gives."""
    return int.from_bytes(text[:_GRAM], sys.byteorder), int.from_bytes(text[-_GRAM:], sys.byteorder)


def _all_lines(text: bytes) -> Iterator[int]:
    start = 0
    while start < len(text):
        yield start
        start = text.find(b"\n", start) + 1
        if not start:
            return


def lines_with(text: bytes, literal: bytes) -> Iterator[int]:
    """Yield where the lines begin that hold a text."""
    at = text.find(literal)
    while at >= 0:
        yield text.rfind(b"\n", 0, at) + 1
        end = text.find(b"\n", at)
        if end < 0:
            return
        at = text.find(literal, end + 1)
