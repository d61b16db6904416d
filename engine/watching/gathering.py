"""Reading an inventory beside all else: its programs may take a minute, in which a watch must not stand still."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from runbook.engine.inventory import program

if TYPE_CHECKING:
    from collections.abc import Callable

    from runbook.engine.among import Among

PATIENCE: Final = 5.0  # seconds for what is given up


class Gathering:
    """An inventory that is being read, in a thread of its own.

    Args:
        read: reads it.
        call: is called, by that thread, when it is over.
        asked: somebody wants to hear how it went.

    Attributes:
        began: when it began, in seconds since the epoch.
    """

    def __init__(self, read: Callable[[], Among], call: Callable[[], None], *, asked: bool) -> None:
        self.began = time.time()
        self.asked = asked
        self._read, self._call = read, call
        self._found: Among | Exception | None = None
        self._thread = threading.Thread(target=self._go, name="inventory", daemon=True)
        self._thread.start()

    @property
    def over(self) -> bool:
        """It was read, or that failed."""
        return self._found is not None

    def result(self) -> Among:
        """Return what was read; raise what went wrong."""
        assert self._found is not None
        if isinstance(self._found, Exception):
            raise self._found
        return self._found

    def give_up(self) -> None:
        """End the programs that it waits for, and wait for it."""
        program.end_all()
        self._thread.join(PATIENCE)

    def _go(self) -> None:
        try:
            self._found = self._read()
        except Exception as error:  # noqa: BLE001 -- whoever asks for the result is told
            self._found = error
        self._call()
