"""Engines that tell only which lines hold one of the patterns' texts; which it is is looked up in these lines alone."""

from functools import cached_property
from typing import Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from runbook.modules.logs.digits import LONGEST, masked
from runbook.modules.logs.engines.engine import Mark
from runbook.modules.logs.engines.kinds import Kinds
from runbook.modules.logs.engines.plan import Expression, expressions
from runbook.modules.logs.engines.texts import Conditions, Literals, all_there, conditions
from runbook.modules.logs.needed import SHORTEST
from runbook.modules.logs.patterns import Pattern

KINDS = 4096  # of lines, of which is remembered what they hold
MANY = 16  # texts that are looked for in a block as quickly as its lines are parted
LARGE = 16 * 1024  # bytes of a block that are worth it
STRANGE = 0.1  # of its lines: where more are of kinds that were not seen before, a finder is quicker
_DIGITS = frozenset("0123456789")


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

    def __init__(
        self, name: str, patterns: Sequence[Pattern], finder: Optional[Callable[[Wanted], Finder]] = None
    ) -> None:
        self.name = name
        self.expressions = expressions(patterns)
        self._finder = finder
        self._ours = [number for number, each in enumerate(self.expressions) if each.lines == 1 and each.texts]
        self._single = [self.expressions[number] for number in self._ours]
        ours = set(self._ours)
        self._anywhere = _Part(self.expressions, [one for one in range(len(self.expressions)) if one not in ours])
        self._known: Dict[bytes, List[int]] = {}  # by lines with their digits masked
        self._conditions: Dict[int, Conditions] = {}

    @cached_property
    def _literals(self) -> Literals:
        """Return what looks for each text."""
        return Literals(self.expressions)

    @cached_property
    def _plain(self) -> "_Part":
        """Return the expressions of one line whose texts say no digits."""
        return _Part(self.expressions, [one for one in self._ours if not _says_digits(self.expressions[one])])

    @cached_property
    def _numbered(self) -> "_Part":
        """Return the others."""
        return _Part(self.expressions, [one for one in self._ours if _says_digits(self.expressions[one])])

    @cached_property
    def _lines(self) -> Optional[Finder]:
        """Return what finds the lines in a block; None where each text is looked for."""
        if not self._single:
            return _nothing
        if self._finder is None:
            return None
        first = [conditions(each.texts[:1])[0] for each in self._single if not each.outline]
        folded = fewest(word for folds, words in first if folds for word in words)
        cased = fewest(word for folds, words in first if not folds for word in words)
        outlines = list(dict.fromkeys(each.outline.encode("latin-1") for each in self._single if each.outline))
        return self._finder(Wanted(cased, folded, outlines))

    @cached_property
    def _by_kind(self) -> Optional[Kinds]:
        """Return what finds them by the kinds of a block's lines."""
        many = sum(len(each.texts[0][1]) for each in self._single) > MANY
        return Kinds(self._single, STRANGE if self._finder else 1.0) if many else None

    def candidates(self, text: bytes) -> List[Mark]:
        """Return the lines that may match, with the expressions whose texts they hold."""
        made = self.__dict__
        if len(text) < LARGE and not ("_by_kind" in made or "_lines" in made):
            return self._literals.candidates(text)  # so little is not worth the making of more
        by_kind = self._by_kind.lines(text) if self._by_kind is not None else None
        if by_kind is not None:
            return self._anywhere.anywhere(text) + self._held(text, by_kind)
        if self._lines is None:
            return self._literals.candidates(text)
        return self._anywhere.anywhere(text) + self._looked_up(text, self._lines(text))

    def _held(self, text: bytes, may_hold: Mapping[int, Iterable[int]]) -> List[Mark]:
        """Return which of some expressions' texts some lines hold."""
        found: List[Mark] = []
        known = self._conditions
        for start, places in may_hold.items():
            end = text.find(b"\n", start)
            line = text[start : len(text) if end < 0 else end]
            for place in places:
                number = self._ours[place]
                if number not in known:
                    known[number] = conditions(self.expressions[number].texts)
                if all_there(line, known[number]):
                    found.append((start, number))
        return found

    def _looked_up(self, text: bytes, starts: Iterable[int]) -> List[Mark]:
        """Return which expressions' texts some lines hold."""
        found: List[Mark] = []
        told: List[Tuple[int, bytes]] = []
        strange: Dict[bytes, None] = {}  # lines of no kind that is known
        for start in starts:
            end = text.find(b"\n", start)
            line = text[start : len(text) if end < 0 else end]
            told.append((start, line))
            if len(line) > LONGEST:
                strange[line] = None
            elif (kind := masked(line)) not in self._known:
                strange[kind] = None
        fresh = self._numbers(self._plain, list(strange))
        with_digits = self._numbers(self._numbered, [line for _, line in told])
        for start, line in told:
            kind = line if len(line) > LONGEST else masked(line)
            numbers = fresh[kind] if kind in fresh else self._known[kind]
            found += [(start, number) for number in (*numbers, *with_digits[line])]
        if len(self._known) + len(fresh) > KINDS:
            self._known.clear()
        self._known.update((kind, numbers) for kind, numbers in fresh.items() if len(kind) <= LONGEST)
        return found

    @staticmethod
    def _numbers(part: "_Part", lines: Sequence[bytes]) -> Dict[bytes, List[int]]:
        """Return the numbers of the expressions whose texts stand in some lines."""
        found: Dict[bytes, List[int]] = {line: [] for line in lines}
        if not part.numbers or not lines:
            return found
        where, size = {}, 0
        for line in found:
            where[size] = line
            size += len(line) + 1
        for at, number in part.literals.of_one_line(b"\n".join(found)):
            found[where[at]].append(part.numbers[number])
        return found


class _Part:
    """Some of the expressions."""

    def __init__(self, expressions: Sequence[Expression], numbers: List[int]) -> None:
        self.numbers = numbers
        self.literals = Literals([expressions[number] for number in numbers])

    def anywhere(self, text: bytes) -> List[Mark]:
        """Return the lines of those that have no texts, or reach over several lines."""
        return [(at, self.numbers[number]) for at, number in self.literals.anywhere(text)]


def _says_digits(expression: Expression) -> bool:
    return any(not _DIGITS.isdisjoint(word) for _, words in expression.texts for word in words)


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
