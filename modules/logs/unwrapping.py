"""What programs said, block by block, where docker, Kubernetes or `journalctl -o json` wrote around it."""

from typing import Iterator, Optional, Tuple

from runbook.modules.logs.cleaning import Text, said
from runbook.modules.logs.pieces import together
from runbook.modules.logs.wrapping import wraps

HELD = 1024 * 1024  # bytes that are held back while a line in pieces has no end

Unwrapped = Tuple[bytes, Optional[Text]]
"""Whole lines, and what was said in them; None where nothing is written around the lines."""


def unwrapped(blocks: Iterator[bytes]) -> Iterator[Unwrapped]:
    """Yield blocks of whole lines, those that go on in the next one together with it."""
    held, wrapped = b"", False
    for block in blocks:
        wrapped = wrapped or wraps(block)
        if not wrapped:
            yield block, None
            continue
        part, held = held + block, b""
        whole, end = together(part)
        if end < len(part) <= end + HELD:
            part, held = part[:end], part[end:]
            whole, _ = together(part)
        if part:
            yield part, said(whole)
    if held:
        yield held, said(together(held)[0])
