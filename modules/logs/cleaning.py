"""What stands in a log, as lines of text: without colours, NUL bytes, carriage returns and docker's wrapping."""

import re
from typing import List, NamedTuple, Optional, Sequence

from runbook.modules.logs.wrapping import inner

WIDEST = 64 * 1024  # bytes of a line that are given to the patterns

_HOLE = re.compile(rb"^\0+", re.MULTILINE)
_ANSI = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\r\n]{0,2048}(?:\x07|\x1b\\)|[@-Z\\-_]|[ -/][0-~])")
_DOCKER = b'{"log":"'
_FOLDING = [  # by single bytes first, which are found ten times as fast
    ([bytes([byte]) for byte in character.encode()], character.encode(), letter)
    for character, letter in (("\u017f", b"s"), ("\u0130", b"i"), ("\u0131", b"i"), ("\u212a", b"k"))
]


class Text(NamedTuple):
    """A block of lines as the patterns see it."""

    data: bytes  # lines parted by line feeds; one that a lone carriage return ends has it still, before the line feed
    stamps: Optional[Sequence[str]] = None  # the times that were written beside the lines; None where there are none
    cut: int = 0  # lines that were longer than patterns are given


def cleaned(block: bytes, *, docker: bool = True) -> Text:
    """Return a block's lines: one for each separator (line feed, carriage return, or both), cut to 64 KiB each.

    NUL bytes that a line begins with are left out: the hole that truncation leaves under a program that goes on
    writing. Without `docker`, its lines are left as they are: `unwrapped` can follow.
    """
    cut = 0
    if b"\r" in block:
        block = block.replace(b"\r\n", b"\n").replace(b"\r", b"\r\n")
    if b"\0" in block and (block.startswith(b"\0") or b"\n\0" in block):
        block = _HOLE.sub(b"", block)
    if len(block) > WIDEST and _holds_long(block):
        lines = block.split(b"\n")
        cut = sum(len(line) - line.endswith(b"\r") > WIDEST for line in lines)
        block = b"\n".join(map(_cut, lines))
    block = _legible(block)
    return unwrapped(block) if docker and _DOCKER in block else Text(block, cut=cut)


def unwrapped(block: bytes) -> Text:
    """Return the lines with those that docker wrote as JSON unwrapped."""
    lines = block.split(b"\n")
    stamps = [""] * len(lines)
    for index, line in enumerate(lines):
        if line.startswith(_DOCKER):
            found = inner(line)
            if found is not None:
                end = b"\r" if line.endswith(b"\r") else b""
                lines[index], stamps[index] = _legible(found.text.replace(b"\r", b" ")) + end, found.stamp
    return Text(b"\n".join(lines), stamps if any(stamps) else None)


def said(part: bytes) -> Text:
    """Return what programs said in whole lines of docker's, Kubernetes' or journalctl's, and when; others as they are.

    A message of several lines becomes as many, parted by carriage returns, so that it is one line of the file still.
    """
    texts: List[bytes] = []
    stamps: List[str] = []
    for line in part.split(b"\n"):
        found = inner(line)
        text, stamp = (line, "") if found is None else found
        texts.append(text)
        stamps.append(stamp)
        if b"\r" in text:
            stamps += [stamp] * text.count(b"\r", 0, len(text) - 1)
    return cleaned(b"\n".join(texts), docker=False)._replace(stamps=stamps)


def unfolded(text: bytes) -> Optional[bytes]:
    """Return a text with ASCII letters for the characters that `(?i)` takes for them; None where there are none."""
    if text.isascii() or not any(all(byte in text for byte in single) for single, _, _ in _FOLDING):
        return None
    made = text
    for _, character, letter in _FOLDING:
        made = made.replace(character, letter)
    return made if len(made) != len(text) else None


def _legible(block: bytes) -> bytes:
    if b"\0" in block:
        block = block.replace(b"\0", b" ")
    if b"\x1b" in block:
        block = _ANSI.sub(b"", block)
    return block


def _holds_long(block: bytes) -> bool:
    """Tell whether a line may be too long, by looking for an end in each stretch of the longest length."""
    at = 0
    while at + WIDEST < len(block):
        end = block.rfind(b"\n", at, at + WIDEST + 1)
        if end < 0:
            return True
        at = end + 1
    return False


def _cut(line: bytes) -> bytes:
    if len(line) <= WIDEST:
        return line
    return line[:WIDEST] + (b"\r" if line.endswith(b"\r") else b"")
