"""A terminal's second screen: drawn over and over in place; what stood on the first one is back when it is left."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

_ENTER: Final = "\x1b[?1049h\x1b[?25l\x1b[2J"  # the second screen, without its cursor, empty
_LEAVE: Final = "\x1b[H\x1b[J\x1b[?25h\x1b[?1049l"  # empty too for consoles that have no second one
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"  # what lies between is shown at once, by terminals that know of it
_HOME, _REST, _BELOW = "\x1b[H", "\x1b[K", "\x1b[J"


class Screen:
    """Draws frames. In the first screen a terminal that is made smaller would break and keep the lines of old ones."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._size = (0, 0)  # of the last frame; (0, 0) = not entered

    def size(self) -> tuple[int, int]:
        """Return columns and rows, as they are now."""
        with contextlib.suppress(OSError, ValueError):
            found = os.get_terminal_size(self._stream.fileno())
            if found.columns and found.lines:
                return found.columns, found.lines
        found = shutil.get_terminal_size((80, 24))
        return found.columns, found.lines

    def draw(self, lines: Sequence[str], size: tuple[int, int]) -> None:
        """Draw a frame; its lines are narrower than the terminal, and fewer."""
        anew = _ENTER if self._size == (0, 0) else "" if self._size == size else _HOME + _BELOW
        text = "\n".join(line + _REST for line in lines)
        self._write(f"{_BEGIN}{anew}{_HOME}{text}{_BELOW}{_END}")
        self._size = size

    def leave(self) -> None:
        """Show what was there before."""
        if self._size != (0, 0):
            self._write(_LEAVE)
            self._size = (0, 0)

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # a terminal that went away is no reason to stop
            self._stream.write(text)
            self._stream.flush()


class Aside(io.StringIO):
    """The standard error while a board is shown: it is kept, and written where the board was afterwards."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self.stream = stream

    @property
    def text(self) -> str:
        """What was written so far."""
        return self.getvalue()

    def isatty(self) -> bool:
        """Tell that people read it."""
        return True

    def give(self) -> None:
        """Write what was kept."""
        with contextlib.suppress(OSError, ValueError):
            self.stream.write(self.getvalue())
            self.stream.flush()
