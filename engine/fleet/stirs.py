"""What one agent may say it hears: of each key one word from one look to the next, and not without end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

_WORDS, _WORDS_STEADY = 1000, 120.0  # messages at once, and for each second; an agent of ours has 100 a second at most
_STIRS, _STIRS_STEADY = 20.0, 6.0  # stirs of one key at once, and for each second; an agent of ours has 5 a second


class Endless(Exception):
    """There is no end to what it says."""


class Stirs:
    """The account of one connection.

    Args:
        began: when it was made, on the monotonic clock.
    """

    def __init__(self, began: float) -> None:
        self._began = began
        self._words = 0
        self._armed: set[str] = set()
        self._left: dict[str, tuple[float, float]] = {}  # by key: stirs that it had left, and when

    def armed(self, keys: Iterable[str]) -> None:
        """Take in that looks go out with these keys: each may stir once."""
        self._armed.update(keys)

    def said(self, keys: Any, now: float) -> list[str]:
        """Return those of the keys that may stir now; others are nobody's, or come too often: they are polled.

        Raises:
            Endless: it says more than anybody can have heard.
        """
        self._words += 1
        if self._words > _WORDS + _WORDS_STEADY * (now - self._began):
            raise Endless
        if not isinstance(keys, list):
            return []
        return [key for key in keys if isinstance(key, str) and key in self._armed and self._pays(key, now)]

    def _pays(self, key: str, now: float) -> bool:
        self._armed.discard(key)
        left, at = self._left.get(key, (_STIRS, now))
        left = min(_STIRS, left + (now - at) * _STIRS_STEADY)
        self._left[key] = max(0.0, left - 1.0), now
        return left >= 1.0
