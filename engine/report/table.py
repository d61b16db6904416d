"""Tables of text: the first column gives way when the terminal is narrow, numbers stand to the right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.report import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runbook.engine.report.paint import Paint

_GAP = 2
_NARROWEST = 12
_TELLING = 35  # of the first column: where more of a name is cut, columns that can be spared go first


def table(paint: Paint, heads: Sequence[str], rows: Sequence[Sequence[str]], spare: Sequence[str] = ()) -> list[str]:
    """Return the lines of a table; the first column is text, the others are numbers.

    Args:
        paint: how to write, and how wide.
        heads: of the columns.
        rows: their cells.
        spare: the heads of columns that are left out, in this order, where all are too wide.
    """
    widths = [max(words.width(row[place]) for row in (heads, *rows)) for place in range(len(heads))]
    narrowest = max(_NARROWEST, min(widths[0], _TELLING)) + sum(widths[1:]) + _GAP * (len(heads) - 1)
    if narrowest > paint.columns and spare and spare[0] in heads:
        out = heads.index(spare[0])
        fewer = [[*row[:out], *row[out + 1 :]] for row in (heads, *rows)]
        return table(paint, fewer[0], fewer[1:], spare[1:])
    rest = sum(widths[1:]) + _GAP * (len(heads) - 1)
    widths[0] = max(_NARROWEST, min(widths[0], paint.columns - rest))
    return [paint(_line(heads, widths), "dim"), *(_line(row, widths) for row in rows)]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = words.cut(cells[0], widths[0])
    parts = [first + " " * (widths[0] - words.width(first))]
    parts += [" " * (width - words.width(cell)) + cell for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return (" " * _GAP).join(parts).rstrip()
