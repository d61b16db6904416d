"""A download as one action: several files at a time, told as it goes, ended by the first that can't be had."""

import os
import threading
import time
from collections import deque
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple

from runbook.modules.acting.hands import Hands, size
from runbook.modules.declare import Blameless
from runbook.modules.frozen import frozen
from runbook.modules.hub.bring import Bringer, Stopped
from runbook.modules.hub.ground import Ground
from runbook.modules.hub.library import Library
from runbook.modules.hub.listing import HubFile, Listing
from runbook.modules.hub.place import Place
from runbook.modules.hub.tally import Tally

_TELL = 0.25  # seconds between two words of progress
_ENDING = 1.0  # seconds for the threads to end when it is over before its time


@frozen
class Wanted:
    """One file to see to."""

    file: HubFile
    found: int  # bytes of it that need not be fetched


@frozen
class Download:
    """What a `Do` carries out."""

    library: Library
    listing: Listing
    wanted: Tuple[Wanted, ...]
    found: int  # bytes of all files that need not be fetched
    place: Callable[[Ground], Place]
    root: str
    url: Callable[[HubFile], str]
    patience: float
    workers: int
    trust: bool = True  # in hashes that were right once

    def __call__(self, hands: Hands) -> Mapping[str, Any]:
        """Carry it out.

        Raises:
            Failed: a file can't be had; what came stays, and is built on the next time.
        """
        place = self.place(Ground(hands.trees, self.root))
        tally = Tally(self.listing.size, self.found)
        if self.found and self.found < self.listing.size:
            tally.note(f"found {size(self.found)} of {size(self.listing.size)}, resuming")
        work = _Work(self, place, tally)
        try:
            work.carry_out(hands)
            if not place.introduced(self.listing):
                place.introduce(self.listing)
                work.changed = True
        finally:
            hands.data.update(work.told())
        hands.output.add("".join(f"{note}\n" for note in tally.notes).encode("utf-8", "replace"))
        return {"changed": work.changed}


class _Work:
    """The threads of one download."""

    def __init__(self, download: Download, place: Place, tally: Tally) -> None:
        self._stop = threading.Event()
        self._bringer = Bringer(
            download.library, place, download.url, tally, download.patience, self._stop, trust=download.trust
        )  # fmt: skip
        self._place = place
        self._tally = tally
        self._ahead = deque(sorted(download.wanted, key=lambda one: -one.file.size))
        self._workers = min(download.workers, len(self._ahead))
        self._lock = threading.Lock()
        self._fault: Optional[BaseException] = None
        self.changed = False

    def carry_out(self, hands: Hands) -> None:
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(self._workers)]
        for thread in threads:
            thread.start()
        try:
            self._watch(hands, threads)
        except BaseException:
            self._stop.set()
            over = time.monotonic() + _ENDING
            for thread in threads:
                thread.join(max(0.0, over - time.monotonic()))
            raise
        if self._fault is not None:
            raise self._worded(self._fault) from self._fault

    def told(self) -> Dict[str, Any]:
        """Return what is known of it in the end, whatever the end was."""
        tally = self._tally
        told: Dict[str, Any] = {
            "found": tally.found,
            "fetched": tally.fetched,
            "progress": max(tally.advanced, 0),
            "speed": round(tally.speed()),
            "retries": tally.retries,
            "notes": tally.notes,
        }
        return {**told, **getattr(self._fault, "data", {})}

    def _watch(self, hands: Hands, threads: Sequence[threading.Thread]) -> None:
        """Tell how far it is, until all threads have ended."""
        for thread in threads:
            while thread.is_alive():
                thread.join(_TELL)
                hands.data["progress"] = max(self._tally.advanced, 0)  # kept when the step's time is over
                hands.share = self._tally.share
                hands.progress(self._tally.said())

    def _work(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                if not self._ahead:
                    return
                wanted = self._ahead.popleft()
            try:
                done = self._bringer.bring(wanted.file, wanted.found)
            except Stopped:
                return
            except BaseException as fault:  # noqa: BLE001 -- told by the thread that waits for all
                with self._lock:
                    self._fault = self._fault or fault
                self._stop.set()
                return
            with self._lock:
                self.changed = self.changed or done

    def _worded(self, fault: BaseException) -> BaseException:
        """Say what a fault of the file system means for the whole."""
        if not isinstance(fault, OSError) or isinstance(fault, FileNotFoundError):
            return fault
        rest = size(max(self._tally.total - self._tally.done, 0))
        return Blameless(f"{self._place.ground.path}: {os.strerror(fault.errno or 0)}, with {rest} still to come")


def check_room(ground: str, needed: int, free: int) -> None:
    """Raise Failed when what is still to come has no room.

    Args:
        ground: where it goes.
        needed: bytes that are still to come.
        free: bytes that are free there.
    """
    if needed > free:
        raise Blameless(
            f"no space left for it: {size(needed)} are still to come to {ground}, and {size(free)} are free on"
            f" {file_system(ground)}"
        )


def file_system(path: str) -> str:
    """Name the file system that holds a path: where it is mounted, what it is, and from where."""
    best: Tuple[int, str] = (-1, "its file system")
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                head, _, tail = line.partition(" - ")
                point = head.split()[4].encode().decode("unicode_escape", "replace")
                kind, source = (*tail.split(), "", "")[:2]
                if path == point or path.startswith(point.rstrip("/") + "/"):
                    best = max(best, (len(point), f"{point} ({kind}, {source})"), key=lambda one: one[0])
    except (OSError, IndexError, ValueError):
        return best[1]
    return best[1]
