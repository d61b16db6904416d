"""How much lies at a path: number, bytes and times of the files below it, found within a time limit."""

import os
import stat
import time
from typing import Optional, Set, Tuple

from runbook.modules.frozen import field, thawed


@thawed
class Extent:
    """A sum over files; several paths may be added to one."""

    files: int = 0
    size: int = 0  # bytes; a file with several hard links counts once
    newest: Optional[float] = None  # when the youngest was last changed
    oldest: Optional[float] = None
    complete: bool = True  # nothing was left out
    _linked: Set[Tuple[int, int]] = field(default_factory=set)

    def add(self, found: os.stat_result) -> None:
        """Count one file."""
        self.files += 1
        self.date(found.st_mtime)
        if found.st_nlink > 1:
            if (found.st_dev, found.st_ino) in self._linked:
                return
            self._linked.add((found.st_dev, found.st_ino))
        self.size += found.st_size

    def date(self, changed: float) -> None:
        """Take a time into account."""
        self.newest = changed if self.newest is None else max(self.newest, changed)
        self.oldest = changed if self.oldest is None else min(self.oldest, changed)

    def walk(self, top: str, until: float) -> None:
        """Add all files below a directory, without following links or crossing into another file system.

        Args:
            top: the directory.
            until: the time on the monotonic clock at which to give up; `complete` is false from then on.
        """
        try:
            device = os.stat(top).st_dev
        except OSError:
            self.complete = False
            return
        folders = [top]
        while folders:
            if time.monotonic() > until:
                self.complete = False
                return
            try:
                with os.scandir(folders.pop()) as entries:
                    for entry in entries:
                        self._take(entry, device, folders)
            except FileNotFoundError:
                continue  # it was removed while we looked
            except OSError:
                self.complete = False

    def _take(self, entry: "os.DirEntry[str]", device: int, folders: "list[str]") -> None:
        try:
            found = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return
        if not stat.S_ISDIR(found.st_mode):
            self.add(found)
        elif found.st_dev == device:
            folders.append(entry.path)
