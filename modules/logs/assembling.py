"""The tracebacks in a file's bytes as they are read: which lines wait for those that are still to come."""

from bisect import bisect_right
from itertools import accumulate
from typing import List, Tuple

from runbook.modules.logs import pieces
from runbook.modules.logs.cleaning import cleaned
from runbook.modules.logs.line_ends import separators
from runbook.modules.logs.tracebacks import HEADER, Traceback, Tracebacks, tracebacks

HELD = 1024 * 1024  # bytes that are kept back until the end of a traceback is there
TIME = 1.0  # seconds of processor time for the new lines of a block

_HEADER = HEADER.encode()


class Assembly:
    """The tracebacks among the whole lines of a buffer; each line is looked at once, when it is new."""

    def __init__(self) -> None:
        self._looked = 0  # bytes of the buffer that were looked at
        self._begin = 0  # where the first line stands that was given to `_found`
        self._ends: List[int] = []  # of these lines
        self._passed = 0  # lines that were given to it and are no longer in the buffer
        self._found = Tracebacks()
        self.open = False  # what stands last breaks off in the middle

    @property
    def idle(self) -> bool:
        """Nothing is open, and nothing of the buffer was looked at."""
        return not (self._looked or self.open) and self._found.idle

    def ready(self, part: bytes, until: float, *, over: bool) -> int:
        """Return how much of some whole lines needs not wait.

        Args:
            part: the buffer's whole lines.
            until: when to end at the latest, on the monotonic clock.
            over: nothing more is awaited of what is whole, but might go on.

        Raises:
            TooMuch: it can't be told in time.
        """
        end = self._look(part, until)
        self.open = self._found.within or end < len(part)
        waiting = self._found.waiting(over=over)
        if waiting is not None:
            end = self._offset(waiting)
        return len(part) if len(part) - end > HELD else end

    def found(self, part: bytes) -> List[Traceback]:
        """Return the tracebacks among the first lines of the buffer, by the places of their lines."""
        known = self._found.found(self._passed + bisect_right(self._ends, len(part)))
        shift = separators(part[: self._begin]) - self._passed if known else 0
        return [each.moved(shift) for each in known]

    def drop(self, taken: int) -> None:
        """Forget what was taken from the buffer's beginning."""
        lines = bisect_right(self._ends, taken)
        if taken >= self._looked or lines == len(self._ends):
            self.pass_over(max(0, self._looked - taken))
            return
        self._looked -= taken
        self._begin = max(0, self._begin - taken)
        self._ends = [end - taken for end in self._ends[lines:]]
        self._passed += lines
        self._found.drop(self._passed)

    def pass_over(self, length: int) -> None:
        """Ask no longer for the tracebacks in so many first bytes."""
        self._looked = self._begin = length
        self._ends, self._passed, self._found = [], 0, Tracebacks()

    def _look(self, part: bytes, until: float) -> int:
        """Look at what is new; return where lines begin that are not put together yet."""
        text, end = together(part[self._looked :])
        new = part[self._looked : self._looked + end]
        if _HEADER not in text and self._found.idle:
            self._begin = self._looked + end
        elif new:
            places = list(accumulate(map(len, new.splitlines(keepends=True)), initial=self._looked))[1:]
            self._found.feed(_lines(text)[: len(places)], TIME, until)
            self._ends += places
        self._looked += end
        return self._looked

    def _offset(self, line: int) -> int:
        return self._ends[line - self._passed - 1] if line > self._passed else self._begin


def standing(part: bytes) -> List[Traceback]:
    """Return the tracebacks among lines of which the last may be unfinished."""
    text, _ = together(part)
    return tracebacks(_lines(text)) if _HEADER in text else []


def together(part: bytes) -> Tuple[bytes, int]:
    """Return the lines for the patterns, and where they are no longer whole."""
    return pieces.together(part) if pieces.held(part) else (part, len(part))


def _lines(text: bytes) -> List[str]:
    return cleaned(text).data.decode("utf-8", "replace").split("\n")
