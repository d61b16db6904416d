"""Where a pattern is ambiguous within a loop: the texts on which a backtracking matcher has ever more ways to fail.

The pattern becomes the automaton of its positions (Glushkov), with the number of ways from one position to the next.
A loop that reads some text in two ways doubles the work with every repetition. What is found here is tried by
`backtrack` before anybody is told, since anchors and look-arounds are taken as holding here.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from runbook.engine.language.lint.backtrack import REPEATS, TooLarge, admits, sre
from runbook.engine.language.lint.loops import loops

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

OFTEN = 8  # a repeat that may go round this often is treated as a loop; shorter ones are written out
_MOST_POSITIONS = 400
_MOST_PAIRS = 20_000
_PLAIN = "a0 Z-_/.,:;=\"'\\()[]<>%*!\n\t\x00é中"

Ways = dict[int, int]  # position -> in how many ways it is reached, counted up to 2


class Part(NamedTuple):
    """A piece of the pattern: can it be empty (in how many ways), where does it begin and end."""

    empty: int
    first: Ways
    last: Ways


class Automaton:
    """The positions of a pattern, what each admits, and which follow which."""

    def __init__(self, tree: Any, flags: int) -> None:
        self.letters = _alphabet(tree)
        self.masks: list[int] = []
        self.follow: list[Ways] = []
        self.loops: list[int] = []  # positions that repeat themselves without bound
        self._known: dict[Any, int] = {}
        self.whole = self._sequence(tree, flags)

    def ambiguities(self) -> Iterator[tuple[str, str]]:
        """Yield (a text that leads to the loop, a text that the loop reads in two ways)."""
        for component in loops(self.follow):
            found = self._ambiguous(component)
            if found:
                yield found

    def chain(self) -> tuple[int, str]:
        """Return how many loops in a row can read the same letter, and that letter."""
        best, letter = 0, ""
        for index, candidate in enumerate(self.letters):
            count = self._chain_of(1 << index)
            if count > best:
                best, letter = count, candidate
        return best, letter

    def lead(self, letter: str) -> str:
        """Return a text that leads to the first loop that can read the letter."""
        bit = 1 << self.letters.index(letter)
        return self._way_to(next(at for at in self.loops if self.masks[at] & bit))

    # building

    def _sequence(self, tree: Any, flags: int) -> Part:
        part = Part(1, {}, {})
        for op, argument in tree:
            part = self._join(part, self._item(op, argument, flags))
        return part

    def _item(self, op: Any, argument: Any, flags: int) -> Part:
        if op in REPEATS:
            return self._repeat(op, argument, flags)
        if op is sre.BRANCH:
            return self._either(argument[1], flags)
        if op is sre.SUBPATTERN:
            _number, added, removed, body = argument
            return self._sequence(body, (flags | added) & ~removed)
        if op is sre.ATOMIC_GROUP:
            return self._sequence(argument, flags)
        if op is sre.GROUPREF_EXISTS:
            return self._either([body or [] for body in argument[1:]], flags)
        if op in {sre.LITERAL, sre.NOT_LITERAL, sre.ANY, sre.IN}:
            return self._position(op, argument, flags)
        if op in {sre.ASSERT, sre.ASSERT_NOT} and argument[0] > 0:
            self._sequence(argument[1], flags)  # an automaton of its own beside this one
        return Part(1, {}, {})

    def _position(self, op: Any, argument: Any, flags: int) -> Part:
        if len(self.masks) >= _MOST_POSITIONS:
            raise TooLarge
        key = (str(op), str(argument), flags)
        if key not in self._known:
            mask = sum(1 << bit for bit, one in enumerate(self.letters) if admits(op, argument, one, flags))
            self._known[key] = mask
        self.masks.append(self._known[key])
        self.follow.append({})
        here = len(self.masks) - 1
        return Part(0, {here: 1}, {here: 1})

    def _either(self, bodies: Iterable[Any], flags: int) -> Part:
        parts = [self._sequence(body, flags) for body in bodies]
        first: Ways = {}
        last: Ways = {}
        for part in parts:
            _add(first, part.first, 1)
            _add(last, part.last, 1)
        return Part(min(2, sum(part.empty for part in parts)), first, last)

    def _repeat(self, op: Any, argument: Any, flags: int) -> Part:
        low, high, body = argument
        if high < OFTEN:
            return self._written_out(low, high, body, flags)
        start = len(self.masks)
        part = self._sequence(body, flags)
        if op is not sre.POSSESSIVE_REPEAT:
            self._link(part.last, part.first)
            if part.empty and (high is not sre.MAXREPEAT or low > 1):
                self._link(part.last, part.first)  # which of the counted rounds are the empty ones is a choice too
            if len(self.masks) == start + 1:
                self.loops.append(start)
        return part if low else Part(min(2, part.empty + 1), part.first, part.last)

    def _written_out(self, low: int, high: int, body: Any, flags: int) -> Part:
        part = Part(1, {}, {})
        optional = Part(1, {}, {})
        for _ in range(int(high) - low):
            one = self._sequence(body, flags)
            joined = self._join(one, optional)
            optional = Part(1, joined.first, joined.last)
        for _ in range(low):
            part = self._join(part, self._sequence(body, flags))
        return self._join(part, optional)

    def _join(self, left: Part, right: Part) -> Part:
        self._link(left.last, right.first)
        first = dict(left.first)
        if left.empty:
            _add(first, right.first, left.empty)
        last = dict(right.last)
        if right.empty:
            _add(last, left.last, right.empty)
        return Part(min(2, left.empty * right.empty), first, last)

    def _link(self, last: Ways, first: Ways) -> None:
        for source, ways in last.items():
            _add(self.follow[source], first, ways)

    # asking

    def _letter(self, mask: int) -> str:
        return self.letters[(mask & -mask).bit_length() - 1]

    def _ambiguous(self, component: set[int]) -> tuple[str, str] | None:
        for home in sorted(component):
            pump = self._two_ways(home, component)
            if pump:
                return self._way_to(home), pump
        return None

    def _two_ways(self, home: int, component: set[int]) -> str:
        """Return a text that leads from `home` back to it in two ways, or nothing."""
        begin = (home, home, False)
        came: dict[tuple[int, int, bool], tuple[tuple[int, int, bool], str] | None] = {begin: None}
        waiting = deque([begin])
        while waiting:
            here = waiting.popleft()
            one, other, parted = here
            for left, ways in self.follow[one].items():
                for right in self.follow[other]:
                    both = self.masks[left] & self.masks[right]
                    if not both or left not in component or right not in component:
                        continue
                    apart = parted or left != right or (ways > 1 and one == other)
                    after = (left, right, apart)
                    if after == (home, home, True):
                        return self._trace(came, here) + self._letter(both)
                    if after not in came:
                        came[after] = (here, self._letter(both))
                        waiting.append(after)
            if len(came) > _MOST_PAIRS:
                return ""
        return ""

    def _trace(self, came: Any, here: Any) -> str:
        letters = []
        while came[here] is not None:
            here, letter = came[here]
            letters.append(letter)
        return "".join(reversed(letters))

    def _way_to(self, home: int) -> str:
        """Return a short text after which the automaton stands at `home`."""
        came: dict[int, int | None] = dict.fromkeys(self.whole.first)
        waiting = deque(came)
        while waiting and home not in came:
            here = waiting.popleft()
            for after in self.follow[here]:
                if after not in came and self.masks[after]:
                    came[after] = here
                    waiting.append(after)
        letters = []
        at: int | None = home if home in came else None
        while at is not None:
            if self.masks[at]:
                letters.append(self._letter(self.masks[at]))
            at = came[at]
        return "".join(reversed(letters))

    def _chain_of(self, bit: int) -> int:
        loops = [at for at in self.loops if self.masks[at] & bit]
        if len(loops) < 3:
            return 0
        longest = dict.fromkeys(loops, 1)
        for at in loops:
            for after in self._reach(at, bit) & set(loops):
                if after > at:
                    longest[after] = max(longest[after], longest[at] + 1)
        return max(longest.values())

    def _reach(self, start: int, bit: int) -> set[int]:
        seen: set[int] = set()
        waiting = [start]
        while waiting:
            for after in self.follow[waiting.pop()]:
                if after not in seen and self.masks[after] & bit:
                    seen.add(after)
                    waiting.append(after)
        return seen


def _add(into: Ways, more: Ways, times: int) -> None:
    for position, ways in more.items():
        into[position] = min(2, into.get(position, 0) + ways * times)


def _alphabet(tree: Any) -> str:
    """Letters that tell the pattern's classes apart: its own, the ends of its ranges, and one of each usual kind."""
    found = dict.fromkeys(_PLAIN)

    def visit(items: Any) -> None:
        for op, argument in items:
            if op in {sre.LITERAL, sre.NOT_LITERAL}:
                found[chr(argument)] = None
            elif op is sre.IN:
                for kind, value in argument:
                    if kind is sre.LITERAL:
                        found[chr(value)] = None
                    elif kind is sre.RANGE:
                        found.update(dict.fromkeys(map(chr, value)))
            else:
                for body in bodies(op, argument):
                    visit(body)

    visit(tree)
    return "".join(found)


def bodies(op: Any, argument: Any) -> list[Any]:
    """Return the parts of a pattern that a part of it is made of."""
    if op in REPEATS:
        return [argument[2]]
    if op is sre.BRANCH:
        return list(argument[1])
    if op is sre.SUBPATTERN:
        return [argument[3]]
    if op is sre.ATOMIC_GROUP:
        return [argument]
    if op in {sre.ASSERT, sre.ASSERT_NOT}:
        return [argument[1]]
    if op is sre.GROUPREF_EXISTS:
        return [body for body in argument[1:] if body]
    return []
