"""When which key is told to have stirred: once until it is looked at again, and less often while that goes on."""

from typing import Dict, Iterable, List

NEVER = float("inf")
_SOON, _LATE = 0.01, 0.2  # seconds between two stirs of one key that come back to back: at first, and at most
_CALM = 1.0  # seconds without one after which the next is told at once
_SHARE = 20.0  # times that a look took until the next: what stirs all the time takes a twentieth of a core


class _Key:
    """One detector, as the agent knows it."""

    def __init__(self) -> None:
        self.stirred = False  # something happened since the last look began
        self.told = False  # and that was said
        self.last = -NEVER  # when it was said last
        self.gap = _SOON
        self.took = 0.0  # seconds of the last look


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

    def looked(self, key: str, took: float) -> None:
        """A look ended, after so many seconds."""
        self._keys.setdefault(key, _Key()).took = took

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
        found = [key for key, known in self._stirred.items() if _at(known) <= now]
        for key in found:
            known = self._stirred.pop(key)
            known.told = True
            busy = now - known.last < _CALM + 2 * _gap(known)
            known.gap = min(_LATE, known.gap * 2) if busy else _SOON
            known.last = now
        return found

    @property
    def deadline(self) -> float:
        """When `due` has something to say though nothing more happens."""
        return min(map(_at, self._stirred.values()), default=NEVER)

    def drop(self, keys: Iterable[str]) -> None:
        """Know nothing of them any more."""
        for key in keys:
            self._keys.pop(key, None)
            self._stirred.pop(key, None)

    def forgotten(self, now: float, after: float) -> List[str]:
        """Return the keys that were told so long ago, and at which nobody looked since."""
        return [key for key, known in self._keys.items() if known.told and now - known.last > after]


def _gap(known: _Key) -> float:
    return max(known.gap, _SHARE * known.took)


def _at(known: _Key) -> float:
    return known.last + _gap(known)
