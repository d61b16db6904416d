"""Lines by their kind, which is what a line has beside digits.

Most lines of a log are of few kinds. A text that stands in a line stands, without its digits, in the line's kind. So a
kind is searched once, and each line that is of one known already costs no more than being looked up.
"""

import re
from itertools import accumulate, compress
from typing import AbstractSet, Dict, Iterable, Iterator, List, Optional, Sequence, Set

from runbook.modules.logs.digits import LONGEST
from runbook.modules.logs.engines.plan import Expression
from runbook.modules.logs.engines.plan import Set as Texts
from runbook.modules.logs.engines.texts import Literals
from runbook.modules.logs.needed import SHORTEST, SHORTEST_ALSO

MOST = 16 * 1024  # kinds that are remembered
PIECE = 32 * 1024  # bytes that texts are looked for in at a time: of many only few stand in so little
FEW = 16  # new kinds, that are searched as soon as anything else is made
WITHOUT = 16  # blocks that are read without kinds, behind one of too many new ones

_DIGITS = b"0123456789"
_DIGIT = re.compile("[0-9]").search


class Kinds:
    """Finds the lines that may hold the texts of expressions."""

    def __init__(self, expressions: Sequence[Expression], strange: float) -> None:
        """Take in expressions of one line.

        Args:
            expressions: that are looked for by their texts.
            strange: of a block's lines; where more are of new kinds, another way to find them is quicker.
        """
        sets = list(map(_of_kinds, (each.texts for each in expressions)))
        self._ours = [number for number, own in enumerate(sets) if own]
        self._literals = Literals([expressions[number]._replace(texts=sets[number]) for number in self._ours])
        self._rest = [number for number, own in enumerate(sets) if not own]
        self._others = Literals([expressions[number] for number in self._rest])
        self._strange = strange
        self._with: Dict[bytes, Sequence[int]] = {}  # kinds with texts, and the expressions whose texts they are
        self._none: Set[bytes] = set()
        self._left = 0  # blocks that are still to be read without kinds

    def lines(self, text: bytes) -> "Optional[Dict[int, List[int]]]":
        """Return where the lines begin, and which expressions each may hold; None where another way is quicker."""
        if self._left:
            self._left -= 1
            return None
        kinds = text.translate(None, _DIGITS).split(b"\n")
        new = set(kinds).difference(self._none, self._with)
        if len(new) > max(FEW, self._strange * len(kinds)):
            self._left = WITHOUT
            return None
        known = self._with
        if new:
            fresh = self._searched(new)
            known = {**known, **fresh}
            self._remember(new, fresh)
        found: Dict[int, List[int]] = {}
        if not known.keys().isdisjoint(kinds):
            ends = accumulate(map(len, text.split(b"\n")), initial=0)  # line feeds not counted
            for place, end in compress(enumerate(ends), map(known.__contains__, kinds)):
                found[place + end] = [*known[kinds[place]]]
        for at, number in self._others.of_one_line(text):
            found.setdefault(at, []).append(self._rest[number])
        return found

    def _searched(self, new: AbstractSet[bytes]) -> Dict[bytes, Sequence[int]]:
        """Return those of some kinds that hold texts, with the expressions whose texts they are."""
        found: Dict[bytes, Dict[int, None]] = {}
        for text in _pieces(new):
            for at, number in self._literals.of_one_line(text):
                found.setdefault(_line(text, at), {})[self._ours[number]] = None
        return {kind: tuple(numbers) for kind, numbers in found.items()}

    def _remember(self, new: AbstractSet[bytes], found: Dict[bytes, Sequence[int]]) -> None:
        if len(self._with) + len(self._none) + len(new) > MOST:
            self._with, self._none = {}, set()
        for kind in new:
            if len(kind) > LONGEST:
                continue
            if kind in found:
                self._with[kind] = found[kind]
            else:
                self._none.add(kind)


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
    made = [
        (folds, sorted({_kind(word) for word in words}) if any(map(_DIGIT, words)) else words) for folds, words in sets
    ]
    usable = [each for each in made if min(map(len, each[1])) >= SHORTEST_ALSO]
    return sorted(usable, key=lambda each: min(*map(len, each[1]), 2 * SHORTEST), reverse=True)


def _kind(word: str) -> str:
    return word.encode("latin-1").translate(None, _DIGITS).decode("latin-1")
