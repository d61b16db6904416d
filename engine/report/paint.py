"""Colours and signs, by hand: a healthy run does not pay for a library that draws."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

_CODES: Final[Mapping[str, str]] = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "cyan": "36",
}
_ASCII: Final = str.maketrans("✔✘…·→°│█—", "+x~-> |#-")
NARROWEST, WIDEST = 60, 100  # columns; a longer line is hard to read


@frozen
class Paint:
    """How to write to a stream: with colours or without, in Unicode or ASCII, this wide."""

    colour: bool = False
    unicode: bool = True
    columns: int = 80

    def __call__(self, text: str, *styles: str) -> str:
        """Return the text in these styles, where the stream shows colours."""
        if not self.colour or not styles or not text:
            return text
        return f"\x1b[{';'.join(_CODES[style] for style in styles)}m{text}\x1b[0m"

    def fit(self, text: str) -> str:
        """Return the text in the characters that the stream can carry."""
        return text if self.unicode else text.translate(_ASCII).encode("ascii", "backslashreplace").decode("ascii")


def on_terminal(stream: TextIO | None) -> bool:
    """Tell whether somebody looks at the stream."""
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def paint_for(stream: TextIO) -> Paint:
    """Return how to write to a stream."""
    terminal = on_terminal(stream)
    columns = 80
    if terminal:
        import shutil  # costs as much as ten questions to the journal

        columns = shutil.get_terminal_size((80, 24)).columns
    return Paint(
        colour=terminal and not os.environ.get("NO_COLOR"),
        unicode=(getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "").startswith("utf"),
        columns=max(NARROWEST, min(columns, WIDEST)),
    )
