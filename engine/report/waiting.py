"""What is being read, in one line of a terminal with a clock, when it takes longer than a moment."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Final, Self

from runbook.engine.report import words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TextIO

    from runbook.engine.report.paint import Paint
    from runbook.engine.scan.find import Left, Source

_MOMENT: Final = 1.0  # seconds without a word
_CLEAR: Final = "\r\x1b[K"


class Waiting:
    """Shows the file in hand; of use for nothing but a terminal."""

    def __init__(self, stream: TextIO, paint: Paint) -> None:
        self._stream = stream
        self._paint = paint
        self._what = ""
        self._files = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._show, name="waiting", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def following(self, found: Iterable[Source | Left]) -> Iterator[Source | Left]:
        """Yield what is read, one after the other, and know which it is."""
        for one in found:
            self._what = "the standard input" if one.path == "-" else words.printable(one.path)
            self._files += 1
            yield one

    def _show(self) -> None:
        begun = time.monotonic()
        shown = False
        with contextlib.suppress(OSError, ValueError):  # a terminal that went away is no reason to stop reading
            while not self._over.wait(_MOMENT):
                before = self._files - 1
                so_far = f", {before} file{'s' * (before > 1)} before it" if before else ""
                line = f"reading {self._what}{so_far}: {words.duration(time.monotonic() - begun)}"
                self._stream.write(_CLEAR + self._paint.fit(words.cut(line, self._paint.columns - 1)))
                self._stream.flush()
                shown = True
            if shown:
                self._stream.write(_CLEAR)
                self._stream.flush()
