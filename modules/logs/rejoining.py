"""Lines that a terminal or a serial console broke at its width, put together again.

Such a log has no line that is wider, and of those as wide as that nearly all go on in the next one; then each is joined
with what follows. What goes on begins neither with a time, nor as tables, lists and programs begin their lines, nor
with the same kinds of characters as the line before it: lines of one format may all be as wide.
"""

import re
from typing import List, Optional

from runbook.modules.logs.cleaning import Text, cleaned

NARROWEST, WIDEST = 60, 250  # columns
SAMPLE = 16 * 1024  # bytes at a block's begin, in which the width stands several times
FEWEST = 3  # lines that go on
LONGEST = (
    15  # lines that messages are broken into, on the average: where hardly a line is shorter, all are of one width
)
WORD = 32  # characters of a word by which the begin of a message is known
KNOWN = 5  # of so many lines that go on, one may begin with a word that messages begin with
MOST = 64  # that are joined to one

_ENDS = re.compile(rb"[^\s|+] ?\Z")
_BEGINS = re.compile(
    rb"[\s|+*=#<>]|-(?![A-Za-z])|\Z|\[ *\d|\[?\d{4}[-/]\d\d|\[?\d\d[-/:]\d\d|[IWEF]\d{4} |\((?:\w+ )?pid=|\[rank|"
    rb"Traceback |File \"|(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) |"
    rb"\[?(?:TRACE|DEBUG|INFO|WARN|ERROR|FATAL|CRITICAL)"
)

_SHAPE = 8  # characters by which lines of one format are known
_KINDS = bytes.maketrans(
    b"123456789" + bytes(range(ord("b"), ord("z") + 1)) + bytes(range(ord("B"), ord("Z") + 1)),
    b"0" * 9 + b"a" * 25 + b"A" * 25,
)


def rejoined(block: bytes) -> Optional[Text]:
    """Return a block in which broken lines are whole, followed by as many empty ones; None where none is broken."""
    sample = block[:SAMPLE]
    lines = sample.split(b"\n")
    widths = _widths(sample, lines)
    width = max(widths)
    if not NARROWEST <= width <= WIDEST or widths.count(width) < FEWEST - 1 or b"\r" in block:
        return None
    full = [at for at, own in enumerate(widths[:-1]) if own == width]
    if 2 * sum(_goes_on(lines[at], lines[at + 1]) for at in full) < len(full):
        return None  # of most logs this is the end of it
    lines = block.split(b"\n")
    widths = _widths(block, lines)
    if max(widths) != width:
        return None
    full = [at for at, own in enumerate(widths[:-1]) if own >= width - 1]
    on = [at for at in full if _goes_on(lines[at], lines[at + 1])]
    if len({lines[at][-_SHAPE:].translate(_KINDS) for at in on}) < FEWEST:
        return None  # one message again and again, which happens to be the widest
    begun = {_word(line) for own, line in zip([0, *widths], lines) if own < width - 1}
    if KNOWN * sum(_word(lines[at + 1]) in begun - {b""} for at in on) > len(on):
        return None  # it was cut at its width: what follows begins as lines do that follow a short one
    ends = sum(0 < own < width - 1 for own in widths)
    if len(on) < max(FEWEST, widths.count(width) // 2) or ends * LONGEST < len(on):
        return None
    behind = set(on)
    at = 0
    while at < len(lines):
        end = at
        while end in behind and end - at < MOST:
            end += 1
        if end > at:
            parts = [lines[place] + b" " * (width - widths[place]) for place in range(at, end)]
            lines[at] = b"".join(parts) + lines[end]
            lines[at + 1 : end + 1] = [b""] * (end - at)
        at = end + 1
    return cleaned(b"\n".join(lines), docker=False)


def _word(line: bytes) -> bytes:
    """Return what a line begins with up to the first blank; nothing where that is no word."""
    words = line[: 2 * WORD].split(None, 1)
    return words[0] if words and len(words[0]) <= WORD else b""


def _widths(text: bytes, lines: List[bytes]) -> List[int]:
    if text.isascii():
        return list(map(len, lines))
    return [len(line) if line.isascii() else len(line.decode("utf-8", "replace")) for line in lines]


def _goes_on(line: bytes, following: bytes) -> bool:
    """Tell whether a line that fills the width, but for a blank that was cut off, goes on in the next one."""
    if following.startswith(b" ") and not following.startswith(b"  "):
        following = following[1:]
    if _ENDS.search(line) is None or _BEGINS.match(following) is not None:
        return False
    return line[:_SHAPE].translate(_KINDS) != following[:_SHAPE].translate(_KINDS)
