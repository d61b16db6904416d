"""A mapping for what each host of a fleet adds a little to: a copy shares with the original what neither changes."""

from __future__ import annotations

from collections.abc import MutableMapping
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PARTS = 256  # of 20,000 entries (5,000 hosts, four detectors) a change copies 80, and these 256
Key = TypeVar("Key")
Value = TypeVar("Value")


class Shards(MutableMapping[Key, Value]):
    """A dict in parts, in no order that could be relied on.

    Args:
        of: what is in it at first.

    Example:
        >>> before = Shards({"gpu01": 1})
        >>> after = before.copy()
        >>> after["gpu02"] = 2
        >>> len(before), len(after)
        (1, 2)
    """

    def __init__(self, of: Mapping[Key, Value]) -> None:
        self._parts: list[dict[Key, Value]] = [{} for _ in range(_PARTS)]
        self._ours = set(range(_PARTS))  # the parts that nobody else has
        for key, value in of.items():
            self._parts[hash(key) % _PARTS][key] = value

    def copy(self) -> Shards[Key, Value]:
        """Return one that can be changed without this one, as long as this one is not changed any more itself."""
        found: Shards[Key, Value] = Shards.__new__(Shards)
        found._parts, found._ours = list(self._parts), set()
        return found

    def __getitem__(self, key: Key) -> Value:
        return self._parts[hash(key) % _PARTS][key]

    def __setitem__(self, key: Key, value: Value) -> None:
        self._part(key)[key] = value

    def __delitem__(self, key: Key) -> None:
        del self._part(key)[key]

    def __contains__(self, key: object) -> bool:
        return key in self._parts[hash(key) % _PARTS]

    def __iter__(self) -> Iterator[Key]:
        return chain.from_iterable(self._parts)

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def _part(self, key: Key) -> dict[Key, Value]:
        """Return the part of a key for changing it."""
        at = hash(key) % _PARTS
        if at not in self._ours:
            self._parts[at] = dict(self._parts[at])
            self._ours.add(at)
        return self._parts[at]
