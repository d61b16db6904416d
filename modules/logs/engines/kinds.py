"""Lines by their kind, which is what a line has beside case, numbers and hexadecimal digits.

Most lines of a log are of few kinds. A text that stands in a line stands, with the same taken out of it, in the line's
kind. So a kind is searched once, and each line that is of one known already costs no more than being looked up.
"""

from typing import AbstractSet, Callable, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Set

from runbook.modules.logs.digits import LONGEST
from runbook.modules.logs.engines.plan import Expression
from runbook.modules.logs.engines.plan import Set as Texts
from runbook.modules.logs.engines.texts import Literals
from runbook.modules.logs.needed import SHORTEST, SHORTEST_ALSO

MOST = 16 * 1024  # kinds that are remembered
PIECE = 32 * 1024  # bytes that texts are looked for in at a time: of many only few stand in so little
STRANGE = 0.5  # of a block's lines: where so many are of new kinds, they tell nothing of the next ones
WITHOUT = 16  # blocks that are then read without them

_LOWER = bytes(range(256)).lower()
_TAKEN = b"0123456789abcdefABCDEF"


class Wanted(NamedTuple):
    """What the lines are to hold, one of all these."""

    cased: Sequence[bytes]  # texts
    folded: Sequence[bytes] = ()  # texts in lower case, which may stand in any
    outlines: Sequence[bytes] = ()  # expressions


Finder = Callable[[bytes], Iterable[int]]
"""What returns where the lines begin that hold what is wanted."""


class Kinds:
    """Finds the lines that may hold the texts of expressions."""

    def __init__(self, expressions: Sequence[Expression], finder: Optional[Callable[[Wanted], Finder]]) -> None:
        of_kinds = [each._replace(texts=sets) for each in expressions if (sets := _of_kinds(each.texts))]
        self._literals = Literals(of_kinds)
        self._others = Literals([each for each in expressions if not _of_kinds(each.texts)])
        words = {word.encode("latin-1") for each in of_kinds for word in each.texts[0][1]}
        self._find = finder(Wanted(sorted(words))) if finder is not None and words else None
        self._with: Set[bytes] = set()  # kinds with one of the texts
        self._none: Set[bytes] = set()
        self._left = 0  # blocks that are still to be read without kinds

    def lines(self, text: bytes) -> Optional[List[int]]:
        """Return where the lines begin, in order; None where another way is quicker."""
        if self._left and self._find is not None:
            self._left -= 1
            return None
        kinds = text.translate(_LOWER, _TAKEN).split(b"\n")
        new = set(kinds).difference(self._none, self._with)
        known: AbstractSet[bytes] = self._with
        if new:
            fresh = self._searched(new)
            known = known | fresh
            self._remember(new, fresh)
            if len(new) > STRANGE * len(kinds):
                self._left = WITHOUT
        found = {at for at, _ in self._others.of_one_line(text)}
        if not known.isdisjoint(kinds):
            at = 0
            for kind, line in zip(kinds, text.split(b"\n")):
                if kind in known:
                    found.add(at)
                at += len(line) + 1
        return sorted(found)

    def _searched(self, new: AbstractSet[bytes]) -> Set[bytes]:
        """Return those of some kinds that hold a text."""
        if self._find is not None:
            text = b"\n".join(new)
            new = {_line(text, at) for at in self._find(text)}
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


def _kind(word: str) -> str:
    return word.encode("latin-1").translate(_LOWER, _TAKEN).decode("latin-1")


def _of_kinds(sets: Sequence[Texts]) -> List[Texts]:
    """Return what of some sets can be told by kinds, that of the longest texts first."""
    made = [(False, sorted({_kind(word) for word in words})) for _, words in sets]
    usable = [each for each in made if min(map(len, each[1])) >= SHORTEST_ALSO]
    return sorted(usable, key=lambda each: min(min(map(len, each[1])), 2 * SHORTEST), reverse=True)
