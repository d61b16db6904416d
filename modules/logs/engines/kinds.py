"""Lines by their kind, which is what a line has beside digits.

Most lines of a log are of few kinds. A text that stands in a line stands, without its digits, in the line's kind. So a
kind is searched once, and each line that is of one known already costs no more than being looked up.
"""

from itertools import accumulate, compress
from typing import AbstractSet, Iterable, Iterator, List, Optional, Sequence, Set

from runbook.modules.logs.digits import LONGEST
from runbook.modules.logs.engines.plan import Expression
from runbook.modules.logs.engines.plan import Set as Texts
from runbook.modules.logs.engines.texts import Literals
from runbook.modules.logs.needed import SHORTEST, SHORTEST_ALSO

MOST = 16 * 1024  # kinds that are remembered
PIECE = 32 * 1024  # bytes that texts are looked for in at a time: of many only few stand in so little
WITHOUT = 16  # blocks that are read without kinds, behind one of too many new ones

_DIGITS = b"0123456789"


class Kinds:
    """Finds the lines that may hold the texts of expressions."""

    def __init__(self, expressions: Sequence[Expression], strange: float) -> None:
        """Take in expressions of one line.

        Args:
            expressions: that are looked for by their texts.
            strange: of a block's lines; where more are of new kinds, another way to find them is quicker.
        """
        sets = list(map(_of_kinds, (each.texts for each in expressions)))
        self._literals = Literals([each._replace(texts=own) for each, own in zip(expressions, sets) if own])
        self._others = Literals([each for each, own in zip(expressions, sets) if not own])
        self._strange = strange
        self._with: Set[bytes] = set()  # kinds with one of the texts
        self._none: Set[bytes] = set()
        self._left = 0  # blocks that are still to be read without kinds

    def lines(self, text: bytes) -> Optional[List[int]]:
        """Return where the lines begin, in order; None where another way is quicker."""
        if self._left:
            self._left -= 1
            return None
        kinds = text.translate(None, _DIGITS).split(b"\n")
        new = set(kinds).difference(self._none, self._with)
        if len(new) > self._strange * len(kinds):
            self._left = WITHOUT
            return None
        known: AbstractSet[bytes] = self._with
        if new:
            fresh = self._searched(new)
            known = known | fresh
            self._remember(new, fresh)
        found = {at for at, _ in self._others.of_one_line(text)}
        if not known.isdisjoint(kinds):
            ends = accumulate(map(len, text.split(b"\n")), initial=0)  # line feeds not counted
            found.update(map(sum, compress(enumerate(ends), map(known.__contains__, kinds))))
        return sorted(found)

    def _searched(self, new: AbstractSet[bytes]) -> Set[bytes]:
        """Return those of some kinds that hold a text."""
        return {_line(text, at) for text in _pieces(new) for at, _ in self._literals.of_one_line(text)}

    def _remember(self, new: AbstractSet[bytes], found: AbstractSet[bytes]) -> None:
        if len(self._with) + len(self._none) + len(new) > MOST:
            self._with, self._none = set(), set()
        for kind in new:
            if len(kind) <= LONGEST:
                (self._with if kind in found else self._none).add(kind)


def _pieces(kinds: Iterable[bytes]) -> Iterator[bytes]:
    """Yield some kinds, so many together as make a piece."""
    piece: List[bytes] = []
    size = 0
    for kind in kinds:
        piece.append(kind)
        size += len(kind)
        if size >= PIECE:
            yield b"\n".join(piece)
            piece, size = [], 0
    yield b"\n".join(piece)


def _line(text: bytes, start: int) -> bytes:
    end = text.find(b"\n", start)
    return text[start : len(text) if end < 0 else end]


def _of_kinds(sets: Sequence[Texts]) -> List[Texts]:
    """Return what of some sets can be told by kinds, that of the longest texts first."""
    made = [(folds, sorted({_kind(word) for word in words})) for folds, words in sets]
    usable = [each for each in made if min(map(len, each[1])) >= SHORTEST_ALSO]
    return sorted(usable, key=lambda each: min(*map(len, each[1]), 2 * SHORTEST), reverse=True)


def _kind(word: str) -> str:
    return word.encode("latin-1").translate(None, _DIGITS).decode("latin-1")
