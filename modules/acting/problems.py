"""What could not be done to single entries of a tree; the others are done all the same."""

from typing import List

from runbook.modules.acting.hands import Hands, counted
from runbook.modules.declare import Failed, Refused

_NAMED = 5  # problems that are told in full


class Problems:
    """Counted, and the first ones told in full."""

    def __init__(self, root: str) -> None:
        self._root = root
        self.told: List[str] = []
        self.count = 0

    def add(self, path: str, reason: str) -> None:
        """Note one."""
        self.count += 1
        if len(self.told) < _NAMED:
            self.told.append(reason if reason.startswith("/") else f"{self._root}/{path}".rstrip("/") + f": {reason}")

    def another(self) -> "Problems":
        """Return an empty one of the same tree, for a part of the work."""
        return Problems(self._root)

    def take(self, count: int, told: List[str]) -> None:
        """Add what another one noted."""
        self.count += count
        self.told += told[: max(0, _NAMED - len(self.told))]

    def speak(self, hands: Hands, verb: str, total: int) -> None:
        """Raise when there are any: Refused when nothing at all was done."""
        if not self.count:
            return
        more = f"; and {self.count - _NAMED} more" if self.count > _NAMED else ""
        message = f"{self.count} of {counted(total, 'entry', 'entries')} not {verb}: {'; '.join(self.told)}{more}"
        raise Failed(message) if hands.touched else Refused(message)
