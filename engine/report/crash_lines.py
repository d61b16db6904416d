"""The lines of a log that an incident is read from: the root's whole, those around it as far as they fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runbook.engine.report import words

if TYPE_CHECKING:
    from runbook.engine.report.paint import Paint
    from runbook.modules.logs.sightings import Spot

INDENT: Final = " " * 10
_ROWS: Final = 4  # rows of a terminal that one line of a log may take


def evidence(one: Spot, context: int, paint: Paint) -> list[str]:
    """Return the lines of the log: the root's whole, so many around it as far as they fit."""
    own = one.line.split("\n")
    begin = None if one.line_no is None else one.line_no - one.lines + 1
    before = one.before[len(one.before) - min(len(one.before), context) :]
    after = one.after[:context]
    rows = [
        *((text, -1) for text in before),
        *((text, max(0, one.at - sum(len(above) + 1 for above in own[:place]))) for place, text in enumerate(own)),
        *((text, -1) for text in after),
    ]
    first = None if begin is None else begin - len(before)
    digits = len(str((first or 0) + len(rows)))
    room = paint.columns - len(INDENT) - (0 if first is None else digits + 1) - 2
    lines: list[str] = []
    for place, (text, at) in enumerate(rows):
        number = "" if first is None else f"{first + place:>{digits}} "
        shown = words.printable(text.expandtabs(4).rstrip())
        if at < 0:
            beside = _beside(shown, words.printable(own[0].expandtabs(4)), room)
            lines.append(INDENT + paint(f"{number}│ {beside}".rstrip(), "dim"))
            continue
        lead = len(words.printable(text[:at].expandtabs(4)))
        pieces = words.wrapped(_cut_around(shown, lead, room * _ROWS), room)
        lines.append(f"{INDENT}{paint(number, 'dim')}{paint('│', 'red')} {paint(pieces[0], 'bold')}")
        under = " " * len(number)
        lines += [f"{INDENT}{under}{paint('│', 'red')} {paint(piece, 'bold')}" for piece in pieces[1:]]
    return lines


def _beside(text: str, root: str, columns: int) -> str:
    """Cut off a line beside the root's; of one that is too long, what both begin with is left out: it says nothing."""
    alike = next((place for place, pair in enumerate(zip(text, root, strict=False)) if len({*pair}) > 1), 0)
    same = text.rfind(" ", 0, alike) + 1
    if words.width(text) <= columns or same < columns // 4:
        return words.cut(text, columns)
    return words.cut(f"…{text[same - 1 :]}", columns)


def _cut_around(text: str, at: int, columns: int) -> str:
    """Cut a line off so that what stands at a place in it can be seen."""
    begin = at - columns // 4
    if words.width(text) <= columns or at <= columns // 2 or begin <= 0:
        return words.cut(text, columns)
    return words.cut(f"…{text[begin:]}", columns)
