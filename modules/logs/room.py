"""What a look takes in: matching lines, and how much of them; for how long it waits for what is just being written."""

import time
from typing import Optional

from runbook.modules.frozen import frozen, thawed
from runbook.modules.logs.hits import Hit

QUIET = 2.0  # seconds without a change after which an unfinished last line or traceback is taken as it stands
STILL = 0.5  # the same for one that is whole, but may go on: the next traceback of a chain, the next line of a report
PAUSE = 0.05  # seconds between two questions whether it went on


@frozen
class Line:
    """A matching line."""

    path: str
    number: Optional[int]  # from 1; None where the file is too long to be counted, and where lines have none
    hit: Hit
    time: Optional[float] = None  # when it was written, where its source says so


@thawed
class Room:
    """How much one look may still take in."""

    records: int = 10_000
    characters: int = 6 * 1024 * 1024  # of evidence
    passed_over: int = 0  # lines that could not be matched in time
    patience: float = QUIET  # seconds that may be waited for the end of what is being written
    until: float = 0.0  # on the monotonic clock

    @property
    def left(self) -> bool:
        """There is room for another block."""
        return self.holds and time.monotonic() < self.until

    @property
    def holds(self) -> bool:
        """There is room for another record."""
        return self.records > 0 and self.characters > 0

    def take(self, hit: Hit) -> None:
        """Make it smaller by one record."""
        self.records -= 1
        self.characters -= len(hit.line) + sum(len(value) for value in hit.groups.values() if isinstance(value, str))
