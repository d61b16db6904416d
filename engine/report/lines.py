"""The lines that every block of text is made of: a headline with its sign, and what is told below it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runbook.engine.report import words

if TYPE_CHECKING:
    from runbook.engine.report.paint import Paint

SIGNS: Final = {
    **dict.fromkeys(("cured", "succeeded", "done"), ("✔", "green")),
    **dict.fromkeys(("unhealed", "interrupted", "failed", "refused", "timeout", "lost"), ("✘", "red")),
    **dict.fromkeys(("open", "recovering", "observed", "suppressed", "unreachable", "stopped"), ("!", "yellow")),
    "released": ("!", "yellow"),
    **dict.fromkeys(("unverified", "unknown"), ("?", "yellow")),
    **dict.fromkeys(("waiting", "verifying", "running"), ("…", "cyan")),
    **dict.fromkeys(("pending", "skipped", "absent", "planned"), ("-", "dim")),
}
INDENT: Final = " " * 10
_LONGEST: Final = 800  # characters of one sentence: what is longer is told by the journal


def head(paint: Paint, state: str, title: str, right: str) -> str:
    """Return a headline: the sign of a state, what it is about, and to the right what became of it."""
    sign, colour = SIGNS.get(state, ("-", "dim"))
    room = paint.columns - 2 - words.width(right) - 2
    if words.width(title) > room:
        *first, last = words.wrapped(title, paint.columns - 2)
        if words.width(last) > room:
            first, last = [*first, last], ""
        gap = " " * (paint.columns - 2 - words.width(last) - words.width(right))
        below = paint(last, "bold") + gap + paint(right, colour)
        return f"{paint(sign, colour)} " + "\n  ".join([*(paint(line, "bold") for line in first), below])
    gap = " " * (room + 2 - words.width(title))
    return f"{paint(sign, colour)} {paint(title, 'bold')}{gap}{paint(right, colour)}"


def row(paint: Paint, label: str, text: str, style: str = "") -> list[str]:
    """Return a labelled sentence below a headline, broken where the terminal ends."""
    first, *rest = words.wrapped(words.cut(text, _LONGEST), paint.columns - len(INDENT))
    begin = f"    {paint(f'{label:<5}', 'dim')} {paint(first, style) if style else first}"
    return [begin, *(INDENT + (paint(line, style) if style else line) for line in rest)]
