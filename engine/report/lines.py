"""The lines that every block of text is made of: a headline with its sign, and what is told below it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runbook.engine.report import words
from runbook.engine.report.ranges import written

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
_LINES: Final = 3  # of a list of names
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


def row(paint: Paint, label: str, text: str, style: str = "", *, ours: bool = False) -> list[str]:
    """Return a labelled sentence below a headline, broken where the terminal ends.

    Args:
        paint: how to write.
        label: what stands before it.
        text: the sentence, printable.
        style: of the sentence.
        ours: no host wrote any of it, so that a command line at its end may be shown as one.
    """
    text = words.cut(text, _LONGEST)
    said, command = words.command_apart(text) if ours else (text, "")
    first, *rest = words.wrapped(said, paint.columns - len(INDENT))
    begin = f"    {paint(f'{label:<5}', 'dim')} {paint(first, style) if style else first}"
    below = [*rest, *([command] if command else [])]
    return [begin, *(INDENT + (paint(line, style) if style else line) for line in below)]


def named(paint: Paint, block: Callable[[str], list[str]], hosts: Sequence[str], *, whole: bool = False) -> list[str]:
    """Return a block that names its hosts: in its headline where they fit into it, else below it.

    Args:
        paint: how to write.
        block: returns the block of a host's name, or of words in its place.
        hosts: their names.
        whole: name all, however many they are.
    """
    if len(hosts) == 1:
        return block(hosts[0])
    lines = block(f"{len(hosts)} hosts: {written(hosts)}")
    if "\n" not in lines[0]:
        return lines
    first, *rest = block(f"{len(hosts)} hosts")
    return [first, *row(paint, "hosts", written(hosts, 0 if whole else room(paint))), *rest]


def room(paint: Paint) -> int:
    """Return how many columns a list of names may have: a few lines of them."""
    return (paint.columns - len(INDENT)) * _LINES - 20
