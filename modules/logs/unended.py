"""The tracebacks whose end has not been seen, and what each one's lines begin with: a time, a rank, a pod's name."""

import re
from typing import Dict, Iterator, List, Optional, Tuple

LONGEST = 400  # lines of a traceback
WIDEST = 64 * 1024  # characters of its lines

_GROUP = re.compile(r"[ |]*\+ Exception Group $")
_TIMES = re.compile(
    r"\d{4}[-/]\d\d[-/]\d\d|\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?|\b\d\d-\d\d\b|\b\d{10}(?:\.\d+)?|\b\d+\.\d{6}\b"
)


class Unended:
    """A traceback whose end has not been seen."""

    def __init__(self, first: int, line: str, at: int) -> None:
        prefix = line[:at]
        group = _GROUP.search(prefix)
        if group:
            prefix = prefix[: group.start()]
        self.group = group is not None
        self.first = first
        self.indent = 0 if prefix.strip() else len(prefix)
        self.bare: Optional[bool] = None if prefix.strip() else True  # its lines bear no prefix; None: not known yet
        shown = prefix.rstrip()
        self.gap = len(prefix) - len(shown)  # blanks between the prefix and the text
        self.timed = _TIMES.search(shown) is not None
        self.key = timeless(shown)[0] if self.timed else shown
        self.own: List[int] = []
        self.characters = 0
        self.last = first
        self.final: Optional[int] = None
        self.ended = False
        self.unlike = 0  # lines in a row
        self.chained: Optional[List[Tuple[int, int]]] = None  # lines behind the final one, and their lengths
        self.marked = False  # one of them announces another traceback
        self.take(first, len(line))

    def take(self, line: int, length: int) -> None:
        """Take in a line."""
        self.own.append(line)
        self.characters += length
        self.last = line
        self.unlike = 0

    @property
    def full(self) -> bool:
        """Nothing more is taken in."""
        return len(self.own) >= LONGEST or self.characters >= WIDEST

    @property
    def within(self) -> bool:
        """It breaks off before an exception is named."""
        return not self.ended and (self.final is None or self.final < self.last)


class Prefixes:
    """The open ones by what their lines begin with."""

    def __init__(self) -> None:
        self._known: Dict[str, Unended] = {}
        self._counts: Dict[int, int] = {}
        self.lengths: List[int] = []  # the longest first

    def put(self, one: Unended) -> Optional[Unended]:
        """Take one in; return the one whose prefix is the same, which is forgotten."""
        same = self._known.get(one.key)
        if same is not None:
            self.drop(same)
        self._known[one.key] = one
        count = self._counts.get(len(one.key), 0)
        self._counts[len(one.key)] = count + 1
        if not count:
            self.lengths = sorted(self._counts, reverse=True)
        return same

    def drop(self, one: Unended) -> None:
        """Forget one."""
        if self._known.get(one.key) is one:
            del self._known[one.key]
            self._counts[len(one.key)] -= 1
            if not self._counts[len(one.key)]:
                del self._counts[len(one.key)]
                self.lengths = sorted(self._counts, reverse=True)

    def of(self, text: str) -> Iterator[Tuple[int, Unended]]:
        """Yield those with whose prefix a text begins, and its length, the longest first."""
        for length in self.lengths:
            one = self._known.get(text[:length])
            if one is not None:
                yield length, one


def timeless(text: str) -> Tuple[str, List[Tuple[int, int]]]:
    """Return a text without its times, and by how much what stands behind each was moved."""
    parts: List[str] = []
    moved: List[Tuple[int, int]] = []
    at = length = 0
    for match in _TIMES.finditer(text):
        parts += [text[at : match.start()], "#"]
        length += match.start() - at + 1
        at = match.end()
        moved.append((length, at - match.start() - 1))
    return "".join([*parts, text[at:]]), moved
