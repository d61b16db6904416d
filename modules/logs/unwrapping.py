"""What programs said, block by block: without what docker, Kubernetes or the journal wrote around it, or broke."""

from typing import Iterator, Optional, Tuple

from runbook.modules.logs.bulk import said_in_bulk
from runbook.modules.logs.cleaning import Text, said
from runbook.modules.logs.pieces import together
from runbook.modules.logs.rejoining import rejoined
from runbook.modules.logs.wrapping import wraps

HELD = 1024 * 1024  # bytes that are held back while a line in pieces has no end
SEGMENT = 16 * 1024  # bytes of whole lines that are taken one by one, where something in a block is not the usual

Unwrapped = Tuple[bytes, Optional[Text]]
"""Whole lines, and what was said in them; None where they are just that."""


def unwrapped(blocks: Iterator[bytes]) -> Iterator[Unwrapped]:
    """Yield blocks of whole lines, those that go on in the next one together with it."""
    held = b""
    for block in blocks:
        if not (held or wraps(block)):
            yield block, rejoined(block)
            continue
        text = None if held else said_in_bulk(block)
        if text is not None:
            yield block, text
            continue
        begin = 0
        while begin < len(block):
            end = block.find(b"\n", begin + max(SEGMENT, len(held))) + 1 or len(block)  # not all is joined ever again
            segment, begin = block[begin:end], end
            if not (held or wraps(segment)):
                yield segment, None
                continue
            part, held = held + segment, b""
            text = said_in_bulk(part)
            if text is None:
                whole, done = together(part)
                if done < len(part) <= done + HELD:
                    part, held = part[:done], part[done:]
                    whole, _ = together(part)
                text = said(whole)
            if part:
                yield part, text
    if held:
        yield held, said(together(held)[0])
