"""The judge of candidates: a line matches if Python's `re` says so, and what is told of it is the same everywhere."""

from bisect import bisect_left
from typing import (
    AbstractSet,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    Match,
    Optional,
    Sequence,
    Tuple,
    Union,
)
from typing import Pattern as Regex

from runbook.modules.logs.candidates import Line, by_line
from runbook.modules.logs.cleaning import Text, cleaned, unfolded, unwrapped
from runbook.modules.logs.engines.engine import DOCKER_LINE, Engine
from runbook.modules.logs.engines.texts import all_there, conditions, without_digits
from runbook.modules.logs.groups import numeric_groups
from runbook.modules.logs.hits import Hit, TooSlow, hit
from runbook.modules.logs.patience import Expired, Patience
from runbook.modules.logs.patterns import Pattern
from runbook.modules.logs.ready import Ready
from runbook.modules.logs.subjects import names_device
from runbook.modules.logs.talk import may_speak, speaks
from runbook.modules.logs.verdicts import NONE, Verdicts

Found = Tuple[int, int, "Optional[Match[str]]"]
"""Where the line begins that a match ends in, the number of its pattern, and the match; None where only its being there
was asked for."""


Test = Callable[[bytes, int, int], object]

_ANY = 1 << 40  # bytes, for a match that may begin anywhere
TRIED = 8  # lines that are judged by a pattern before a test for one of its alternatives is made


class Judge:
    """A matcher of candidates.

    What a lone carriage return parts (a progress bar's states) are lines of their own, but neither `^` nor `$` matches
    at it: a text that a log quotes may hold one, and a line feed it may not.
    """

    def __init__(self, patterns: Sequence[Pattern], engine: Engine) -> None:
        self.patterns = tuple(patterns)
        self.names = [pattern.name for pattern in self.patterns]
        self.devices = {number for number, each in enumerate(self.patterns) if names_device(each.regex)}
        self.engine = engine
        self.reach = max((pattern.lines for pattern in patterns), default=1)
        self._ready = Ready(self.patterns)
        self._compiled: List[Optional[Regex[str]]] = [None] * len(self.patterns)
        self._testing = True  # whether candidates may be worth a quick test before the pattern itself
        self._owners = [expression.pattern for expression in engine.expressions]
        self._alike = [each.alike for each in engine.expressions]
        self._unlike = {each.pattern for each in engine.expressions if not each.alike}
        self._verdicts = Verdicts(self._owners)
        self._reaches = [_ANY if each.reach is None else each.reach for each in engine.expressions]
        self._around = [conditions(expression.around) for expression in engine.expressions]
        self._words = [
            () if self.patterns[each.pattern].lines > 1 else without_digits(around)
            for each, around in zip(engine.expressions, self._around)
        ]
        self._exact: Dict[int, Optional[Test]] = {}  # by expression; what tells of a line of ASCII whether it matches
        self._tried = [0] * len(engine.expressions)  # lines that were judged without it

    def prepare(self) -> None:
        """Compile all the expressions, which otherwise waits for the first line that may match."""
        for number, pattern in enumerate(self.patterns):
            numeric_groups(pattern.regex)
            self._compile(number)
        self._testing = False  # the tests are many more than the patterns

    def keep(self) -> None:
        """Keep what was compiled for the next process."""
        self._ready.keep()

    def hits(
        self, block: bytes, limit: float = 60.0, *, goes_on: bool = False, before: bytes = b"", every: bool = False
    ) -> Iterator[Hit]:
        """Return the lines that match, in order, each with the first pattern in order that does."""
        head = b""
        if before and self.reach > 1:
            head = last_lines(cleaned(before).data, self.reach - 1)
        text, marks = self.candidates(block, head)
        found = self.found(text.data, marks, limit, goes_on=goes_on and not head, every=every)
        return self._told(text, found, len(head))

    def candidates(self, block: "Union[bytes, Text]", head: bytes = b"") -> "Tuple[Text, List[Tuple[int, int]]]":
        """Return a block, which may be a text already, behind some, and the (offset, pattern) pairs to be judged."""
        text = block if isinstance(block, Text) else cleaned(block, docker=not self.engine.sees_docker)
        data = head + text.data if head else text.data
        marks = self._marks(data)
        if self.engine.sees_docker and [1 for _, number in marks if number == DOCKER_LINE]:
            if text is not block:
                text = unwrapped(text.data)._replace(cut=text.cut)
                data = head + text.data if head else text.data
                marks = self._marks(data)
            marks = [mark for mark in marks if mark[1] != DOCKER_LINE]
        marks.sort()
        if head:
            del marks[: bisect_left(marks, (len(head), 0))]
        return Text(data, text.stamps, text.cut), marks

    def _marks(self, data: bytes) -> List[Tuple[int, int]]:
        marks = list(self.engine.candidates(data))
        twin = unfolded(data)
        return marks + _moved(self.engine.candidates(twin), twin, data) if twin is not None else marks

    def found(
        self,
        data: bytes,
        marks: Sequence[Tuple[int, int]],
        limit: float,
        *,
        goes_on: bool = False,
        every: bool = False,
        counted: AbstractSet[int] = frozenset(),
    ) -> List[Found]:
        """Return what of the candidates matches, in order.

        Args:
            data: the text.
            marks: the candidates, sorted.
            limit: seconds of processor time.
            goes_on: before the text stands a lone carriage return.
            every: every pattern of a line, not only the first that matches.
            counted: patterns of which only their being there is asked for.

        Raises:
            TooSlow: it took longer than the limit.
        """
        trying = [0]
        try:
            with Patience(limit):
                return self._found(data, marks, trying, counted, goes_on=goes_on, every=every)
        except Expired:
            number = trying[0]
            raise TooSlow(self.patterns[number].regex, number) from None

    def _found(
        self,
        data: bytes,
        marks: Sequence[Tuple[int, int]],
        trying: List[int],
        counted: AbstractSet[int],
        *,
        goes_on: bool,
        every: bool,
    ) -> List[Found]:
        found: List[Found] = []
        plain = b"\r" not in data and not goes_on
        exact = plain and data.isascii()
        owners = self._owners
        for start, end, places in by_line(data, marks):
            key = self._verdicts.key(data, start, end, places) if plain else None
            verdict = self._verdicts.of(key, counted) if key and not every else None
            if verdict is not None:
                if verdict != NONE:
                    found.append((start, verdict, None))
                continue
            line = Line(data, start, end, places, goes_on=goes_on, plain=plain, exact=exact)
            if key:
                line.known = self._verdicts.known(key)
            names: List[str] = []
            verdict = NONE
            for expression in sorted(places):
                number = owners[expression]
                if every and self.patterns[number].name in names:
                    continue  # a signature may have several patterns, and a pattern several expressions
                before, there = line.known.get(number), line.known.get(~expression)
                if before is False or there is False or number == line.failed:
                    continue
                match: Union[bool, Match[str]] = True
                if not (before or there) or number not in counted:
                    trying[0] = number
                    match = self._tried_out(line, expression, number, counted=number in counted)
                if match is False:
                    continue
                if number not in self._unlike:
                    line.known[number] = True
                found.append((start, number, None if isinstance(match, bool) else match))
                verdict = number
                if not every:
                    break
                names.append(self.patterns[number].name)
            if key and not every:
                self._verdicts.keep(key, line.known, verdict)
        return found

    def _tried_out(self, line: Line, expression: int, number: int, *, counted: bool) -> "Union[bool, Match[str]]":
        """Hold a pattern against a line: return the match, or False; True where only its being there is asked for."""
        alike = self._alike[expression]
        if self._around[expression] and not self._may_match(expression, line.data, line.start, line.end):
            if alike or not all_there(line.data[line.start : line.end], self._words[expression]):
                line.known[~expression] = False
            return False
        test = None
        if self._testing and self._worth(expression) and line.tests:
            test = self._exact[expression] if expression in self._exact else self._compile_exact(expression)
        if test is not None:
            there = test(line.data, line.start + self._begin(number, line.places, line.start), line.end) is not None
            if alike and not (there and line.may_speak):
                line.known[~expression] = there
            if not there:
                return False
            if counted and not line.may_speak:
                return True
        if self.patterns[number].lines > 1:
            match = self._reaching(number, line.data, line.start, line.end, goes_on=line.goes_on)
        else:
            text = line.text
            begin = self._begin(number, line.places, line.start) if text.isascii() else 0
            match = (self._compiled[number] or self._compile(number)).search(text, line.skip + begin)
            if match is not None and line.may_speak:
                match = self._said(number, match)
        if match is None:
            line.failed = number
            if number not in self._unlike:
                line.known[number] = False
            elif alike:
                line.known[~expression] = False
            return False
        return match

    def _said(self, number: int, match: "Optional[Match[str]]") -> "Optional[Match[str]]":
        """Return the first match, from this one on, of what is not only spoken of, where a signature is looked for."""
        if self.patterns[number].role is not None:
            while match is not None and match.end() > match.start() and speaks(match.string, match.start()):
                match = match.re.search(match.string, match.end())
        return match

    def _begin(self, number: int, places: Mapping[int, int], start: int) -> int:
        """Return where in a line of ASCII a match may begin at the earliest, by what was found of its pattern."""
        owners, reaches = self._owners, self._reaches
        least = min(at - reaches[each] for each, at in places.items() if owners[each] == number)
        return max(0, least - start)

    def owner(self, expression: int) -> int:
        """Return the pattern that an engine's expression belongs to."""
        return self._owners[expression]

    def match(self, data: bytes, start: int, number: int, *, goes_on: bool = False) -> "Optional[Match[str]]":
        """Return the match of a pattern in the line that begins there."""
        end = data.find(b"\n", start)
        return self._reaching(number, data, start, len(data) if end < 0 else end, goes_on=goes_on)

    def _compile(self, number: int) -> "Regex[str]":
        compiled = self._compiled[number] = self._ready.pattern(self.patterns[number].regex)
        return compiled

    def _compile_exact(self, expression: int) -> "Optional[Test]":
        text = self.engine.expressions[expression].exact
        test = None if text is None else self._ready.test(text.encode("latin-1")).search
        self._exact[expression] = test
        return test

    def _worth(self, expression: int) -> bool:
        """Tell whether so many lines were judged that a test is worth the making."""
        self._tried[expression] += 1
        return self._tried[expression] > TRIED

    def _may_match(self, expression: int, data: bytes, start: int, end: int) -> bool:
        """Tell whether the lines that a match may reach over hold what it can't do without."""
        window = data[self._first(self._owners[expression], data, start) : end]
        return b"\r" in window or not window.isascii() or all_there(window, self._around[expression])

    def _first(self, number: int, data: bytes, start: int) -> int:
        """Return where the first line begins that a match may have begun in."""
        for _ in range(self.patterns[number].lines - 1):
            start = data.rfind(b"\n", 0, max(0, start - 1)) + 1
        return start

    def _reaching(self, number: int, data: bytes, start: int, end: int, *, goes_on: bool) -> "Optional[Match[str]]":
        """Return the match that ends in a line and may have begun in those before it."""
        first = self._first(number, data, start)
        window, at = data[first:end].decode("utf-8", "replace"), 0
        if "\r" in window:
            window = window.replace("\r\n", "\r")
        if data[first - 2 : first - 1] == b"\r" if first else goes_on:
            window, at = f"\r{window}", 1  # it is not where a line begins
        last = len(window) - len(data[start:end].decode("utf-8", "replace"))
        pattern = self._compiled[number] or self._compile(number)
        while at <= len(window):
            match = pattern.search(window, at)
            if match is not None and self.patterns[number].lines == 1 and may_speak(data[start:end]):
                match = self._said(number, match)
            if match is None or match.end() >= last:
                return match
            at = _next_line(window, match.start())  # one that begins further on may end in the line
        return None

    def _told(self, text: Text, found: Sequence[Found], begin: int) -> Iterator[Hit]:
        index, counted = 0, begin
        for start, number, match in found:
            index += text.data.count(b"\n", counted, start)
            counted = start
            assert match is not None
            yield hit(self.patterns[number], index, match, text.stamps[index] if text.stamps else "")


def _moved(marks: Iterable[Tuple[int, int]], twin: bytes, data: bytes) -> List[Tuple[int, int]]:
    """Return a twin's candidates by where the same lines begin in the text itself."""
    moved: List[Tuple[int, int]] = []
    index = counted = start = 0
    for offset, number in sorted(marks):
        lines = twin.count(b"\n", counted, offset)
        counted = max(counted, offset)
        index += lines
        for _ in range(lines):
            start = data.find(b"\n", start) + 1
        moved.append((start, number))
    return moved


def last_lines(text: bytes, number: int) -> bytes:
    """Return so many lines from a text's end; the last is made whole."""
    if not text.endswith(b"\n"):
        text += b"\n"
    at = len(text)
    for _ in range(number):
        at = text.rfind(b"\n", 0, max(0, at - 1)) + 1
    return text[at:]


def _next_line(window: str, at: int) -> int:
    ends = [end for end in (window.find("\n", at), window.find("\r", at)) if end >= 0]
    return min(ends, default=len(window)) + 1
