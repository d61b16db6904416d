"""When which key is told to have stirred: once until it is looked at again, and less often while that goes on."""

from typing import Dict, Iterable, List

NEVER = float("inf")
_SOON, _LATE = 0.01, 0.2  # seconds between two stirs of one key: at first, and at most while looks are quick
_FREE = 4  # stirs in a row before they are spaced further and further
_CALM = 1.0  # seconds without one after which all begins anew
_SHARE = 20.0  # times what a look costs until the next: what stirs all the time takes a twentieth of a core at most
_LATEST = 30.0  # seconds between two in any case


class _Key:
    """One detector, as the agent knows it."""

    def __init__(self) -> None:
        self.stirred = False  # something happened since the last look began
        self.told = False  # and that was said
        self.last = -NEVER  # when it was said last
        self.row = 0  # how often, one soon after the other
        self.cost = 0.0  # seconds of processor time of the last look

    @property
    def gap(self) -> float:
        """Seconds from one to the next."""
        most = min(_LATEST, max(_LATE, _SHARE * self.cost))
        return min(most, _SOON * 2.0 ** min(30, max(0, self.row - _FREE)))

    @property
    def due(self) -> float:
        """When it may be told."""
        return self.last + self.gap


class Keys:
    """The keys of one connection. Times are seconds on the monotonic clock."""

    def __init__(self) -> None:
        self._keys: Dict[str, _Key] = {}
        self._stirred: Dict[str, _Key] = {}  # not told yet

    def begin(self, key: str) -> None:
        """A look begins: what happened before, it sees."""
        known = self._keys.setdefault(key, _Key())
        known.stirred = known.told = False
        self._stirred.pop(key, None)

    def looked(self, key: str, cost: float) -> None:
        """A look ended, and took so many seconds of processor time."""
        self._keys.setdefault(key, _Key()).cost = cost

    def stir(self, key: str) -> bool:
        """Something happened; tell whether that is news."""
        known = self._keys.get(key)
        if known is None or known.stirred:
            return False
        known.stirred = True
        self._stirred[key] = known
        return True

    def due(self, now: float) -> List[str]:
        """Return the keys to be told now."""
        found = [key for key, known in self._stirred.items() if known.due <= now]
        for key in found:
            known = self._stirred.pop(key)
            known.row = known.row + 1 if now < known.due + _CALM else 0
            known.told, known.last = True, now
        return found

    @property
    def deadline(self) -> float:
        """When `due` has something to say though nothing more happens."""
        return min((known.due for known in self._stirred.values()), default=NEVER)

    def drop(self, keys: Iterable[str]) -> None:
        """Know nothing of them any more."""
        for key in keys:
            self._keys.pop(key, None)
            self._stirred.pop(key, None)

    def forgotten(self, now: float, after: float) -> List[str]:
        """Return the keys that were told so long ago, and at which nobody looked since."""
        return [key for key, known in self._keys.items() if known.told and now - known.last > after]
