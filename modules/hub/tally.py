"""How far a download is: counted by its threads, told by the step."""

import threading
import time
from collections import deque
from typing import Callable, Deque, List, Tuple

from runbook.modules.acting.hands import size

_WINDOW = 5.0  # seconds of which the speed is told
_NOTES = 50  # that are kept
_SOON = 2.0  # seconds in which what happened to a file is still told


class Tally:
    """Counts bytes."""

    def __init__(self, total: int, found: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self.found = found  # bytes that were there before
        self.done = found
        self.fetched = 0  # bytes that came over the network, whatever became of them
        self.advanced = 0  # bytes that need not be fetched again, though they had to be when this began
        self.retries = 0
        self.notes: List[str] = []
        self.doing = ""  # what takes a while though no byte comes
        self._clock = clock
        self.began = clock()
        self._lock = threading.Lock()
        self._recent: Deque[Tuple[float, int]] = deque([(self.began, 0)])
        self._noted = 0.0

    def came(self, count: int, *, new: bool = True) -> None:
        """Count bytes of the network; `new` ones are of use."""
        with self._lock:
            self.fetched += count
            if new:
                self.done += count
                self.advanced += count

    def lost(self, count: int) -> None:
        """Count bytes that have to be fetched again."""
        with self._lock:
            self.done -= count
            self.advanced -= count

    def gained(self, count: int) -> None:
        """Count bytes that another process fetched."""
        with self._lock:
            self.done += count

    def note(self, text: str, *, retry: bool = False) -> None:
        """Keep what happened, for whoever asks why it took so long."""
        with self._lock:
            self.retries += retry
            self._noted = self._clock()
            if len(self.notes) < _NOTES:
                self.notes.append(text)

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return min(max(self.done / self.total, 0.0), 1.0) if self.total else 1.0

    def said(self) -> str:
        """Return how far it is: `1.7 GB of 4.1 GB, 85 MB/s, 28 s left`."""
        with self._lock:
            now = self._clock()
            self._recent.append((now, self.fetched))
            while len(self._recent) > 2 and now - self._recent[0][0] > _WINDOW:
                self._recent.popleft()
            (since, before), fetched = self._recent[0], self.fetched
            speed = (fetched - before) / (now - since) if now > since else 0.0
            told = f"{size(self.done)} of {size(self.total)}"
            if speed >= 1:
                told += f", {size(speed)}/s, {_left((self.total - self.done) / speed)} left"
            if self.doing and speed < 1:
                told += f" ({self.doing})"
            elif self.notes and (speed < 1 or now - self._noted < _SOON):
                told += f" ({self.notes[-1]})"
            return told

    def speed(self) -> float:
        """Return the mean in bytes per second."""
        passed = self._clock() - self.began
        return self.fetched / passed if passed > 0 else 0.0


def _left(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"
