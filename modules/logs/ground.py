"""What a pattern's files depend on: the directories that it lists and those that its files lie in.

A directory's time tells of every name that came, went or changed in it. So while none of them was touched, nothing is
left to ask but each file's own state, and ten thousand idle files cost one question each.
"""

import os
import time
from typing import Any, Dict, Iterable, List, Mapping, Optional, Set

from runbook.modules.logs.cursor import stamp

TICK = 50_000_000  # nanoseconds in which a directory may change twice and show one time
AGAIN = 300.0  # seconds after which all is searched anyway: what a link leads to may change unseen
_NOWHERE = "-"


def unmoved(kept: Mapping[str, Any], patterns: Iterable[str], now: float) -> bool:
    """Tell whether each of some patterns means what it meant, as `Ground.firm` does, without making one."""
    before, ground = kept.get("folders", {}), kept.get("ground", {})
    if not 0 <= now - kept.get("searched", 0.0) < AGAIN:
        return False
    folders = {folder for pattern in patterns for folder in ground.get(pattern) or ("",)}
    try:
        return all(before.get(folder) == stamp(os.stat(folder)) for folder in folders)
    except OSError:
        return False


class Ground:
    """The directories of one look, each asked once."""

    def __init__(self, kept: Mapping[str, Any], now: float) -> None:
        searched = kept.get("searched", 0.0)
        fresh = 0 <= now - searched < AGAIN
        self._before: Mapping[str, str] = kept.get("folders", {}) if fresh else {}
        self._patterns: Mapping[str, List[str]] = kept.get("ground", {})
        self._searched = searched if fresh else now
        self._began = time.time_ns()
        self._marks: Dict[str, str] = {}
        self._unsettled: Set[str] = set()
        self._doubted: Set[str] = set()
        self._new: Dict[str, List[str]] = {}

    def mark(self, folder: str) -> str:
        """Return what changes when a name in a directory does."""
        found = self._marks.get(folder)
        if found is None:
            try:
                result = os.stat(folder)
                found = stamp(result)
                if result.st_mtime_ns >= self._began - TICK:
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
        return bool(folders) and all(map(self.same, folders or ()))

    def doubt(self, folder: str) -> None:
        """Let the next look search a directory again, whatever its time."""
        self._doubted.add(folder)

    def stand(self, pattern: str, folders: Optional[Iterable[str]] = None) -> None:
        """Keep the directories that a pattern depends on: those of the last look, or new ones."""
        self._new[pattern] = sorted({*(self._patterns[pattern] if folders is None else folders), *self._doubted})
        for folder in self._new[pattern]:
            self.mark(folder)

    def keep(self) -> Dict[str, Any]:
        """Return what the next look has to be given."""
        wanted = {folder for folders in self._new.values() for folder in folders} - self._unsettled - self._doubted
        marks = {folder: self._marks[folder] for folder in sorted(wanted)}
        return {"folders": marks, "ground": self._new, "searched": self._searched}
