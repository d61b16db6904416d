"""What is told of a line that matches."""

from typing import Any, Mapping, Match, NamedTuple, Optional

from runbook.modules.logs.groups import numeric_groups
from runbook.modules.logs.patterns import Pattern

KEPT = 8 * 1024  # characters of a line, and of a group, that are kept


class TooSlow(Exception):
    """The lines could not be matched in time; the message is the pattern that was being looked for."""

    def __init__(self, regex: str, number: int = -1) -> None:
        super().__init__(regex)
        self.number = number


class Hit(NamedTuple):  # a dataclass takes ten times as long to make
    """A line that matches."""

    index: int  # type: ignore[assignment]  # separators (line feed, carriage return) between the block's begin and the line, where the match ends
    line: str  # the line as text, cleaned; cut around the match where it is long; several are joined by line feeds
    name: str  # the pattern's name
    groups: Mapping[str, Any]
    lines: int = 1  # over how many lines the match reaches
    stamp: str = ""  # the time that docker wrote beside the line


def hit(pattern: Pattern, index: int, match: "Match[str]", stamp: str = "") -> Hit:
    """Return what is told of a match, that of a line or of those that it reaches over."""
    numeric = numeric_groups(pattern.regex) if match.re.groupindex else {}
    groups = {name: _value(value, numeric.get(name)) for name, value in match.groupdict().items()}
    if pattern.lines == 1:
        return Hit(index, _window(match), pattern.name, groups, 1, stamp)
    window = match.string.rstrip("\r").replace("\r", "\n")
    begin = window.rfind("\n", 0, match.start()) + 1
    return Hit(index, window[begin:][:KEPT], pattern.name, groups, 1 + window.count("\n", begin), stamp)


def _window(match: "Match[str]") -> str:
    """Return the line, or as much of it as is kept, so that the match can be seen."""
    line = match.string
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
