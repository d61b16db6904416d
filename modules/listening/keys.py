"""When which key is told to have stirred: once until it is looked at again, and less often while that goes on."""

from typing import Dict, Iterable, List

NEVER = float("inf")
_SOON, _LATE = 0.01, 0.2  # seconds between two stirs of one key: at first, and at most while looks cost little
_FREE = 4  # stirs in a row before they are spaced further and further
_CALM = 1.0  # seconds without one after which all begins anew
_SHARE = 20.0  # times what looks cost, in which none follows for what stirs all the time: a twentieth of a core
_LATEST = 30.0  # seconds, in any case


class _Key:
    """One detector, as the agent knows it."""

    def __init__(self) -> None:
        self.stirred = False  # something happened since the last look began
        self.told = False  # and that was said
        self.called = False  # the look that is under way was called for by that
        self.last = -NEVER  # when it was said last
        self.row = 0  # how often, one soon after the other
        self.changed = True  # something happened since the last look began, whether it was told or not
        self.epoch = 0

    @property
    def busy(self) -> bool:
        """It stirs all the time."""
        return self.row >= _FREE

    @property
    def due(self) -> float:
        """When it may be told."""
        return self.last + min(_LATE, _SOON * 2.0 ** min(10, max(0, self.row - _FREE)))


class Keys:
    """The keys of one connection. Times are seconds on the monotonic clock."""

    def __init__(self) -> None:
        self._keys: Dict[str, _Key] = {}
        self._stirred: Dict[str, _Key] = {}  # not told yet
        self._rest = -NEVER  # until when those that stir all the time have to wait
        self._epochs = 0

    def begin(self, key: str) -> int:
        """A look begins: what happened before, it sees. Return what is another number once something has happened."""
        known = self._keys.setdefault(key, _Key())
        if known.changed:
            self._epochs += 1
            known.changed, known.epoch = False, self._epochs
        known.called = known.told
        known.stirred = known.told = False
        self._stirred.pop(key, None)
        return known.epoch

    def looked(self, key: str, cost: float, now: float) -> None:
        """A look ended, and took so many seconds of processor time."""
        known = self._keys.get(key)
        if known is not None and known.called:
            known.called = False
            self._rest = min(max(self._rest, now) + _SHARE * cost, now + _LATEST)

    def stir(self, key: str) -> bool:
        """Something happened; tell whether that is news."""
        known = self._keys.get(key)
        if known is not None:
            known.changed = True
        if known is None or known.stirred:
            return False
        known.stirred = True
        self._stirred[key] = known
        return True

    def due(self, now: float) -> List[str]:
        """Return the keys to be told now."""
        found = [key for key, known in self._stirred.items() if self._due(known) <= now]
        for key in found:
            known = self._stirred.pop(key)
            known.row = known.row + 1 if now < self._due(known) + _CALM else 0
            known.told, known.last = True, now
        return found

    @property
    def deadline(self) -> float:
        """When `due` has something to say though nothing more happens."""
        return min(map(self._due, self._stirred.values()), default=NEVER)

    def drop(self, keys: Iterable[str]) -> None:
        """Know nothing of them any more."""
        for key in keys:
            self._keys.pop(key, None)
            self._stirred.pop(key, None)

    def forgotten(self, now: float, after: float) -> List[str]:
        """Return the keys that were told so long ago, and at which nobody looked since."""
        return [key for key, known in self._keys.items() if known.told and now - known.last > after]

    def _due(self, known: _Key) -> float:
        return max(known.due, self._rest) if known.busy else known.due
