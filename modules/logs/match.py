"""Finding the lines that match one of many patterns.

The patterns' own literals are looked for first, in a whole block; only lines that hold one are given to the regular
expressions, in order. `Matcher` is what a faster engine has to offer as well.
"""

import re
from typing import Any, Dict, Iterator, List, Mapping, Match, Optional, Pattern, Protocol, Sequence, Tuple, Union

from runbook.modules.frozen import frozen
from runbook.modules.logs.literals import Literals, numeric_groups, required
from runbook.modules.logs.patience import Expired, Patience

WIDEST = 64 * 1024  # characters of a line that are given to the patterns
KEPT = 8 * 1024  # characters of a line, and of a group, that are kept

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\r\n]{0,2048}(?:\x07|\x1b\\)|[@-Z\\-_]|[ -/][0-~])")
_FOLDS_ELSEWHERE = re.compile("[ſıİ\u212a]")  # (?i) equates them with ASCII letters, `lower` does not


@frozen
class Hit:
    """A line that matches."""

    index: int  # separators (line feed, carriage return) between the block's begin and the line
    line: str  # the line as text, cleaned; cut around the match where it is long
    name: str  # the pattern's name
    groups: Mapping[str, Any]


class TooSlow(Exception):
    """The lines could not be matched in time; the message is the pattern that was being looked for."""


class Matcher(Protocol):
    """Finds matching lines in blocks of whole lines."""

    def hits(self, block: bytes, limit: float = ..., *, goes_on: bool = False) -> Iterator[Hit]:
        """Return the lines that match, in order, each with the first pattern in order that does.

        Args:
            block: whole lines.
            limit: seconds of processor time that it may take.
            goes_on: before the block stands a lone carriage return, so that its first line is no line's beginning.

        Raises:
            TooSlow: it took longer.
        """


@frozen
class _Named:
    name: str
    pattern: Pattern[str]
    literals: Optional[Literals]
    numeric: Mapping[str, type]


class LiteralMatcher:
    """A matcher that needs nothing but Python.

    What a lone carriage return parts (a progress bar's states) are lines of their own, but neither `^` nor `$` matches
    at it: a text that a log quotes may hold one, and a line feed it may not.
    """

    def __init__(self, patterns: Union[Sequence[str], Mapping[str, str]]) -> None:
        named = patterns.items() if isinstance(patterns, Mapping) else [(pattern, pattern) for pattern in patterns]
        self._patterns = [
            _Named(name, re.compile(pattern), required(pattern), numeric_groups(pattern)) for name, pattern in named
        ]

    def hits(self, block: bytes, limit: float = 60.0, *, goes_on: bool = False) -> Iterator[Hit]:
        """Return the lines that match, in order, each with the first pattern in order that does."""
        parted = _cleaned(block)
        text = parted.replace("\r", "\n")
        trying = [""]
        try:
            with Patience(limit):
                found = self._found(text, parted if goes_on or "\r" in parted else "", trying, goes_on=goes_on)
        except Expired:
            raise TooSlow(trying[0]) from None
        return _in_order(text, found)

    def _found(
        self, text: str, parted: str, trying: List[str], *, goes_on: bool
    ) -> "Dict[int, Tuple[_Named, Match[str]]]":
        """Return the matches by where their lines begin; `parted` is the text where it holds carriage returns."""
        lower: Optional[str] = None
        folds_elsewhere = not text.isascii() and _FOLDS_ELSEWHERE.search(text) is not None
        found: Dict[int, Tuple[_Named, Match[str]]] = {}
        for named in self._patterns:
            trying[0] = named.pattern.pattern
            literals = named.literals
            if literals is not None and literals.folded and lower is None and not folds_elsewhere:
                lower = text.lower()
                folds_elsewhere = len(lower) != len(text)  # a letter became two: the offsets would not fit
            if literals is None or (literals.folded and (folds_elsewhere or lower is None)):
                starts = _all_lines(text)
            else:
                starts = _lines_with(lower if literals.folded and lower is not None else text, literals.texts)
            for start in starts:
                if start not in found:
                    end = text.find("\n", start)
                    end = len(text) if end < 0 else end
                    line = text[start : min(end, start + WIDEST)]
                    if parted:
                        match = _search(named.pattern, line, parted, start, end, goes_on=goes_on)
                    else:
                        match = named.pattern.search(line)
                    if match is not None:
                        found[start] = (named, match)
        return found


def cleaned(block: bytes) -> str:
    """Return a block as text with one line feed for each separator, and without colours and NUL bytes."""
    return _cleaned(block).replace("\r", "\n")


def _cleaned(block: bytes) -> str:
    """Return the same with lone carriage returns as they are."""
    text = block.decode("utf-8", "replace")
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    if "\0" in text:
        text = text.replace("\0", " ")
    if "\x1b" in text:
        text = _ANSI.sub("", text)
    return text


def _search(
    pattern: Pattern[str], line: str, parted: str, start: int, end: int, *, goes_on: bool
) -> Optional[Match[str]]:
    """Match a line together with the carriage returns around it, so that they are neither its begin nor its end."""
    before = "\r" if (parted[start - 1] == "\r" if start else goes_on) else ""
    after = "\r" if start + len(line) == end and parted[end : end + 1] == "\r" else ""
    return pattern.search(f"{before}{line}{after}", len(before))


def _in_order(text: str, found: Dict[int, Tuple[_Named, Match[str]]]) -> Iterator[Hit]:
    index, counted = 0, 0
    for start in sorted(found):
        named, match = found[start]
        index += text.count("\n", counted, start)
        counted = start
        groups = {name: _value(value, named.numeric.get(name)) for name, value in match.groupdict().items()}
        yield Hit(index, _window(match), named.name, groups)


def _window(match: Match[str]) -> str:
    """Return the line, or as much of it as is kept, so that the match can be seen."""
    line = match.string.strip("\r")
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


def _all_lines(text: str) -> Iterator[int]:
    start = 0
    while start < len(text):
        yield start
        end = text.find("\n", start)
        if end < 0:
            return
        start = end + 1


def _lines_with(text: str, literals: Sequence[str]) -> Iterator[int]:
    """Yield where the lines begin that hold one of the literals; a line may come several times."""
    for literal in literals:
        at = text.find(literal)
        while at >= 0:
            yield text.rfind("\n", 0, at) + 1
            end = text.find("\n", at)
            if end < 0:
                break
            at = text.find(literal, end + 1)
