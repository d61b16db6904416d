"""What a pattern's files depend on: the directories that it lists and those that its files lie in.

A directory's time tells of every name that came, went or changed in it. So while none of them was touched, nothing is
left to ask but each file's own state, and ten thousand idle files cost one question each.
"""

import os
import time
from typing import Dict, Iterable, List, Mapping, Optional, Set

from runbook.modules.logs.cursor import stamp

TICK = 50_000_000  # nanoseconds in which a directory may change twice and show one time
AGAIN = 300.0  # seconds after which all is searched anyway: what a link leads to may change unseen
_NOWHERE = "-"


class Ground:
    """The directories of one look, each asked once."""

    def __init__(self, kept: Mapping[str, object], now: float) -> None:
        before = kept.get("folders")
        searched = kept.get("searched")
        fresh = isinstance(searched, (int, float)) and 0 <= now - searched < AGAIN
        self._before: Mapping[str, str] = before if isinstance(before, dict) and fresh else {}
        self._patterns: Mapping[str, List[str]] = kept.get("ground", {})  # type: ignore[assignment]
        self.searched = float(searched) if fresh and isinstance(searched, (int, float)) else now
        self._marks: Dict[str, str] = {}
        self._unsettled: Set[str] = set()
        self._new: Dict[str, List[str]] = {}

    def mark(self, folder: str) -> str:
        """Return what changes when a name in a directory does."""
        found = self._marks.get(folder)
        if found is None:
            try:
                result = os.stat(folder)
                found = stamp(result)
                if result.st_mtime_ns >= time.time_ns() - TICK:
                    self._unsettled.add(folder)
            except OSError:
                found = _NOWHERE
            self._marks[folder] = found
        return found

    def same(self, folder: str) -> bool:
        """Tell whether nothing came or went in a directory since the last look."""
        return self._before.get(folder) == self.mark(folder)

    def firm(self, pattern: str) -> bool:
        """Tell whether a pattern means the files that it meant at the last look, at the same places."""
        folders = self._patterns.get(pattern)
        return folders is not None and all(map(self.same, folders))

    def doubt(self, folder: str) -> None:
        """Let the next look search a directory again, whatever its time."""
        self._unsettled.add(folder)

    def stand(self, pattern: str, folders: Optional[Iterable[str]] = None) -> None:
        """Keep the directories that a pattern depends on: those of the last look, or new ones."""
        self._new[pattern] = list(self._patterns[pattern]) if folders is None else sorted(set(folders))
        for folder in self._new[pattern]:
            self.mark(folder)

    def keep(self) -> Dict[str, object]:
        """Return what the next look has to be given."""
        wanted = {folder for folders in self._new.values() for folder in folders} - self._unsettled
        marks = {folder: self._marks[folder] for folder in sorted(wanted)}
        return {"folders": marks, "ground": self._new, "searched": self.searched}
