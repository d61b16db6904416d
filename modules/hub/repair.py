"""Mending a large file whose hash is wrong: what the hub sends is compared with what is there until the hash is right.

The hub tells one hash for the whole file, so nobody knows where it is wrong. Reading the file again costs nothing
beside fetching it: after each stretch that differed the hash is tried, and when it is right the rest need not come.
"""

import os

from runbook.modules.hub import digest
from runbook.modules.hub.listing import HubFile

STEP = 64 << 10  # bytes that are compared at once


class Repair:
    """One pass over a file."""

    def __init__(self, descriptor: int, file: HubFile, at: int) -> None:
        """Begin at a byte: what lies before it was compared already."""
        self._descriptor = descriptor
        self._file = file
        self._differs = False  # the last bytes compared did
        self._stretches = 0
        self._next = 1  # the stretch after which the hash is tried: 1, 2, 4, …
        self.at = at
        self.right = False

    @property
    def over(self) -> bool:
        """The hash is right, or the file's end was reached."""
        return self.right or self.at >= self._file.size

    def compare(self, piece: bytes) -> bool:
        """Take the next bytes of the hub; returns whether that was enough."""
        view = memoryview(piece)[: self._file.size - self.at]
        while view and not self.over:
            step = view[:STEP]
            mine = os.pread(self._descriptor, len(step), self.at)
            if mine == step:
                self._ended()
            else:
                os.pwrite(self._descriptor, step, self.at)
                self._differs = True
            if not self.right:
                self.at += len(step)
            view = view[len(step) :]
        if self.at >= self._file.size and not self.right:
            self._next = 0
            self._differs = True
            self._ended()
        return self.over

    def _ended(self) -> None:
        """Try the hash after a stretch that differed."""
        if not self._differs:
            return
        self._differs = False
        self._stretches += 1
        if self._stretches >= self._next:
            self._next = self._stretches * 2
            self.right = digest.of(self._descriptor, self._file) == self._file.etag
