"""What is made once, whichever of many threads needs it first."""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING, Generic, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Given = ParamSpec("Given")
Made = TypeVar("Made")


class Once(Generic[Given, Made]):
    """A function whose results are kept. `functools.cache` lets every thread that comes early make one of its own.

    Example:
        >>> @Once
        ... def pack() -> bytes:
        ...     return b"made by one of fifty threads that dial"
        >>> pack() is pack()
        True
    """

    def __init__(self, make: Callable[Given, Made]) -> None:
        self.__doc__ = make.__doc__
        self._kept = cache(make)
        self._making = threading.RLock()

    def __call__(self, *args: Given.args, **more: Given.kwargs) -> Made:
        """Return it; wait for who makes it."""
        with self._making:
            return self._kept(*args, **more)  # type: ignore[arg-type]  # what is given can be a key

    def cache_clear(self) -> None:
        """Forget what was made."""
        self._kept.cache_clear()
