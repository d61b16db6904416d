"""Where the lines of a file end: at line feeds, carriage returns, or both."""

from itertools import accumulate
from typing import List, Sequence


def separators(part: bytes) -> int:
    """Return how many line ends there are."""
    return part.count(b"\n") + (part.count(b"\r") - part.count(b"\r\n") if b"\r" in part else 0)


def feeds(part: bytes) -> Sequence[int]:
    """Return how many line feeds stand before each line: what a lone carriage return ends is no line of a file."""
    if b"\r" not in part:
        return range(part.count(b"\n") + 1)
    return list(accumulate((line.endswith(b"\n") for line in part.splitlines(keepends=True)), initial=0))


def ends(part: bytes) -> List[int]:
    """Return where the lines end."""
    return list(accumulate(map(len, part.splitlines(keepends=True))))


def returns(part: bytes) -> bool:
    """Tell whether a carriage return stands last, whatever hole follows it."""
    return part.rstrip(b"\0").endswith(b"\r")


def whole_lines(buffer: bytes) -> int:
    """Return where the last whole line ends; a carriage return at the very end may be half of a line's end."""
    end = len(buffer) - 1 if buffer.endswith(b"\r") else len(buffer)
    return max(buffer.rfind(b"\n", 0, end), buffer.rfind(b"\r", 0, end)) + 1
