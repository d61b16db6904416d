"""The lines of a text that may match, each with where what of it was found."""

from typing import Dict, Iterator, Mapping, Optional, Sequence, Tuple

from runbook.modules.logs.talk import may_speak

_SPEAKS = 1 << 40  # among what is known, beside patterns and expressions


class Line:
    """A line that may match."""

    def __init__(
        self, data: bytes, start: int, end: int, places: Mapping[int, int], *, goes_on: bool, plain: bool, exact: bool
    ) -> None:
        self.data, self.start, self.end = data, start, end
        self.places = places  # where each expression was found first
        self.goes_on = goes_on
        self.known: Dict[int, bool] = {}  # of lines that differ from it in digits alone
        self.failed = -1  # the pattern that was held against it last, and does not match
        self.skip = 0  # characters at the begin of the text that are not the line's
        self._plain, self._exact = plain, exact
        self._text: Optional[str] = None

    @property
    def tests(self) -> bool:
        """It can be tested as bytes."""
        return self._exact or _lone(self.data, self.start, self.end, goes_on=self.goes_on)

    @property
    def may_speak(self) -> bool:
        """It may be about what a program says, and not say it."""
        found = self.known.get(_SPEAKS)
        if found is None:
            found = self.known[_SPEAKS] = may_speak(self.data[self.start : self.end])
        return found

    @property
    def text(self) -> str:
        """What the patterns see."""
        if self._text is None:
            self._text = self.data[self.start : self.end].decode("utf-8", "replace")
            start = self.start
            if not self._plain and (self.data[start - 2 : start - 1] == b"\r" if start else self.goes_on):
                self._text, self.skip = f"\r{self._text}", 1
        return self._text


def by_line(data: bytes, marks: Sequence[Tuple[int, int]]) -> Iterator[Tuple[int, int, Dict[int, int]]]:
    """Yield where each line with candidates begins and ends, and where in it each expression was found first."""
    find, rfind = data.find, data.rfind
    count, at = len(marks), 0
    while at < count:
        offset, expression = marks[at]
        at += 1
        start, end = rfind(b"\n", 0, offset) + 1, find(b"\n", offset)
        if end < 0:
            end = len(data)
        places = {expression: offset}
        while at < count and marks[at][0] <= end:
            places.setdefault(marks[at][1], marks[at][0])
            at += 1
        yield start, end, places


def _lone(data: bytes, start: int, end: int, *, goes_on: bool) -> bool:
    """Tell whether a line of a text that is not all ASCII is, and has a carriage return at neither end."""
    before = data[start - 2 : start - 1] == b"\r" if start else goes_on
    line = data[start:end]
    return not before and line.isascii() and b"\r" not in line
