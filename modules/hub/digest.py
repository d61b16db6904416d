"""The hash of a file that is still being written: a thread reads behind the writer, so that nobody waits for it."""

import hashlib
import os
import threading
from typing import Any, Callable, Optional

from runbook.modules.hub.listing import HubFile

PIECE = 1 << 20  # bytes read at once
_ALONE = 4 << 20  # bytes from which a thread is worth it


def begun(file: HubFile) -> Any:
    """Return the hash that the hub knows a file by, of nothing so far."""
    if file.large:
        return hashlib.sha256()
    started = hashlib.sha1(usedforsecurity=False)
    started.update(b"blob %d\0" % file.size)
    return started


def of(descriptor: int, file: HubFile, read: Callable[[int], None] = lambda _: None) -> str:
    """Return the hash of a whole file; `read` hears of each piece's bytes."""
    hashed, at = begun(file), 0
    while at < file.size:
        piece = os.pread(descriptor, min(PIECE, file.size - at), at)
        if not piece:
            return ""
        hashed.update(piece)
        at += len(piece)
        read(len(piece))
    return str(hashed.hexdigest())


class Follower:
    """Hashes what lies in a file up to where it was written."""

    def __init__(self, descriptor: int, file: HubFile, there: int) -> None:
        self._file = file
        self._descriptor = descriptor
        self._hashed = begun(file)
        self._at = 0
        self._reached = there
        self._dropped = False
        self._change = threading.Condition()
        self._fault: Optional[OSError] = None
        self._thread: Optional[threading.Thread] = None
        if file.size >= _ALONE:
            self._thread = threading.Thread(target=self._follow, daemon=True)
            self._thread.start()

    def reach(self, to: int) -> None:
        """Say that the file holds what it should up to here."""
        if self._thread is None:
            self._reached = to
        else:
            with self._change:
                self._reached = to
                self._change.notify()

    def result(self) -> str:
        """Return the hash, when the file is there as a whole."""
        if self._thread is None:
            return of(self._descriptor, self._file)
        self._thread.join()
        if self._fault is not None:
            raise self._fault
        return str(self._hashed.hexdigest()) if self._at == self._file.size else ""

    def drop(self) -> None:
        """Stop; the descriptor may be closed then."""
        with self._change:
            self._dropped = True
            self._change.notify()
        if self._thread is not None:
            self._thread.join()

    def _follow(self) -> None:
        try:
            while self._at < self._file.size:
                with self._change:
                    self._change.wait_for(lambda: self._reached > self._at or self._dropped)
                    reached = self._reached
                    if self._dropped:
                        return
                while self._at < reached and not self._dropped:
                    piece = os.pread(self._descriptor, min(PIECE, reached - self._at), self._at)
                    if not piece:
                        return
                    self._hashed.update(piece)
                    self._at += len(piece)
        except OSError as error:
            self._fault = error
