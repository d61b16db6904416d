"""What could not be done to single entries of a tree; the others are done all the same."""

from typing import List

from runbook.modules.acting.hands import Hands, counted
from runbook.modules.declare import Failed, Refused

_NAMED = 5  # problems that are told in full


class Problems:
    """Counted, and the first ones told in full."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._told: List[str] = []
        self.count = 0

    def add(self, path: str, reason: str) -> None:
        """Note one."""
        self.count += 1
        if len(self._told) < _NAMED:
            self._told.append(reason if reason.startswith("/") else f"{self._root}/{path}".rstrip("/") + f": {reason}")

    def speak(self, hands: Hands, verb: str, total: int) -> None:
        """Raise when there are any: Refused when nothing at all was done."""
        if not self.count:
            return
        more = f"; and {self.count - _NAMED} more" if self.count > _NAMED else ""
        message = f"{self.count} of {counted(total, 'entry', 'entries')} not {verb}: {'; '.join(self._told)}{more}"
        raise Failed(message) if hands.touched else Refused(message)
