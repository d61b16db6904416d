"""The judge of candidates: a line matches if Python's `re` says so, and what is told of it is the same everywhere."""

import re
from typing import Any, Dict, Iterator, List, Mapping, Match, NamedTuple, Optional, Sequence, Tuple
from typing import Pattern as Regex

from runbook.modules.logs.cleaning import Text, cleaned
from runbook.modules.logs.engines.engine import Engine
from runbook.modules.logs.literals import numeric_groups
from runbook.modules.logs.patience import Expired, Patience
from runbook.modules.logs.patterns import Pattern

KEPT = 8 * 1024  # characters of a line, and of a group, that are kept


class Hit(NamedTuple):
    """A line that matches."""

    index: int  # separators (line feed, carriage return) between the block's begin and the line, where the match ends
    line: str  # the line as text, cleaned; cut around the match where it is long; several are joined by line feeds
    name: str  # the pattern's name
    groups: Mapping[str, Any]
    lines: int = 1  # over how many lines the match reaches
    stamp: str = ""  # the time that docker wrote beside the line


class TooSlow(Exception):
    """The lines could not be matched in time; the message is the pattern that was being looked for."""


class Found(NamedTuple):
    """A match."""

    start: int  # where the line that it ends in begins, in the text
    number: int  # of the pattern
    match: "Match[str]"


class Judge:
    """A matcher of candidates.

    What a lone carriage return parts (a progress bar's states) are lines of their own, but neither `^` nor `$` matches
    at it: a text that a log quotes may hold one, and a line feed it may not.
    """

    def __init__(self, patterns: Sequence[Pattern], engine: Engine) -> None:
        self.patterns = tuple(patterns)
        self.engine = engine
        self._reach = max((pattern.lines for pattern in patterns), default=1)
        self._compiled: List[Optional[Regex[str]]] = [None] * len(self.patterns)

    def hits(
        self, block: bytes, limit: float = 60.0, *, goes_on: bool = False, before: bytes = b"", every: bool = False
    ) -> Iterator[Hit]:
        """Return the lines that match, in order, each with the first pattern in order that does."""
        text = cleaned(block)
        head = b""
        if before and self._reach > 1:
            head = last_lines(cleaned(before).data, self._reach - 1)
        data = head + text.data
        found = self.found(data, limit, begin=len(head), goes_on=goes_on and not head, every=every)
        return self._told(Text(data, text.stamps), found, len(head))

    def found(
        self, data: bytes, limit: float, *, begin: int = 0, goes_on: bool = False, every: bool = False
    ) -> List[Found]:
        """Return the matches that end behind `begin`, in order.

        Raises:
            TooSlow: it took longer than the limit.
        """
        trying = [""]
        try:
            with Patience(limit):
                return list(self._found(data, begin, trying, goes_on=goes_on, every=every))
        except Expired:
            raise TooSlow(trying[0]) from None

    def _found(self, data: bytes, begin: int, trying: List[str], *, goes_on: bool, every: bool) -> Iterator[Found]:
        lines: Dict[int, List[int]] = {}
        for at, number in self.engine.candidates(data):
            start = data.rfind(b"\n", 0, at) + 1
            if start >= begin:
                lines.setdefault(start, []).append(number)
        for start in sorted(lines):
            numbers = lines[start]
            end = data.find(b"\n", start)
            end = len(data) if end < 0 else end
            line: Optional[str] = None
            skip = 0
            for number in sorted(set(numbers)) if len(numbers) > 1 else numbers:
                trying[0] = self.patterns[number].regex
                if self.patterns[number].lines > 1:
                    match = self._reaching(number, data, start, end, goes_on=goes_on)
                else:
                    if line is None:
                        line, skip = _line(data, start, end, goes_on=goes_on)
                    match = (self._compiled[number] or self._compile(number)).search(line, skip)
                if match is not None:
                    yield Found(start, number, match)
                    if not every:
                        break

    def _compile(self, number: int) -> "Regex[str]":
        compiled = self._compiled[number] = re.compile(self.patterns[number].regex)
        return compiled

    def _reaching(self, number: int, data: bytes, start: int, end: int, *, goes_on: bool) -> "Optional[Match[str]]":
        """Return the match that ends in a line and may have begun in those before it."""
        first = start
        for _ in range(self.patterns[number].lines - 1):
            first = data.rfind(b"\n", 0, max(0, first - 1)) + 1
        window, skip = _line(data, first, end, goes_on=goes_on)
        if "\r" in window:
            window = window.replace("\r\n", "\r")
        last = max(window.rfind("\n"), window.rfind("\r", 0, len(window) - 1)) + 1
        pattern = self._compiled[number] or self._compile(number)
        at: int = skip
        while True:
            match = pattern.search(window, at)
            if match is None or match.end() >= last:
                return match
            at = _next_line(window, match.start())  # one that begins further on may end in the line

    def _told(self, text: Text, found: Sequence[Found], begin: int) -> Iterator[Hit]:
        index, counted = 0, begin
        for start, number, match in found:
            index += text.data.count(b"\n", counted, start)
            counted = start
            stamp = text.stamps[index] if text.stamps else ""
            yield self.told(index, number, match, stamp)

    def told(self, index: int, number: int, match: "Match[str]", stamp: str = "") -> Hit:
        """Return what is told of a match."""
        pattern = self.patterns[number]
        numeric = numeric_groups(pattern.regex) if match.re.groupindex else {}
        groups = {name: _value(value, numeric.get(name)) for name, value in match.groupdict().items()}
        lines = 1
        if pattern.lines > 1:
            lines += match.string.count("\n", match.start(), match.end())
            lines += match.string.count("\r", match.start(), match.end())
            lines -= match.end() == len(match.string) and match.string.endswith("\r", match.start())
        return Hit(index, _window(match, pattern.lines), pattern.name, groups, lines, stamp)


def last_lines(text: bytes, number: int) -> bytes:
    """Return so many lines from a text's end; the last is made whole."""
    if not text.endswith(b"\n"):
        text += b"\n"
    at = len(text)
    for _ in range(number):
        at = text.rfind(b"\n", 0, max(0, at - 1)) + 1
    return text[at:]


def _line(data: bytes, start: int, end: int, *, goes_on: bool) -> Tuple[str, int]:
    """Return a line with the carriage returns around it, so that they are neither its begin nor its end.

    The number is where it begins itself.
    """
    line = data[start:end].decode("utf-8", "replace")
    if data[start - 2 : start - 1] == b"\r" if start else goes_on:
        return f"\r{line}", 1
    return line, 0


def _next_line(window: str, at: int) -> int:
    ends = [end for end in (window.find("\n", at), window.find("\r", at)) if end >= 0]
    return min(ends, default=len(window)) + 1


def _window(match: "Match[str]", lines: int) -> str:
    """Return the line, or as much of it as is kept, so that the match can be seen."""
    line = match.string
    if lines > 1:
        begin = max(line.rfind("\n", 0, match.start()), line.rfind("\r", 0, match.start())) + 1
        return line[begin:].strip("\r").replace("\r", "\n")[:KEPT]
    if "\r" in line:
        line = line.strip("\r")
    if len(line) <= KEPT or match.start() < KEPT // 2:
        return line[:KEPT]
    begin = match.start() - KEPT // 2
    return line[begin : begin + KEPT]


def _value(text: Optional[str], kind: Optional[type]) -> Any:
    if text is None:
        return None
    text = text.strip("\r")
    if kind is None:
        return text[:KEPT]
    try:
        return kind(text) if len(text) <= 18 else text[:KEPT]
    except ValueError:
        return text
