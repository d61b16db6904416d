"""Blocks of a log in which nothing can match, told by a few searches for texts: most of a backlog is such.

What takes longer to be ready (an engine, the judge, what puts tracebacks together) is needed for the others alone.
"""

from typing import Iterator, List, Optional, Sequence, Tuple

from runbook.modules.logs import pieces
from runbook.modules.logs.patterns import Pattern

FEW = 8  # texts that are looked for one by one faster than an engine is asked
SHORTEST = 4  # letters of a text that is rare enough
_OTHERWISE = (b"\r", b"\0", b"\x1b", b"Traceback (most recent call last)")  # what makes a line another than it seems
_USUAL = b" 0eaiotnsrl1-:.dcu2mpgh345f/_6789=,bywkv[]TIEAZ"  # in logs, the most frequent first: others are rare


class Quiet:
    """Tells of blocks that are plain lines without any of some texts.

    Args:
        cased: the texts, of which each pattern needs one.
        folded: those that may stand in either case, in lower case.
    """

    def __init__(self, cased: Sequence[bytes], folded: Sequence[bytes]) -> None:
        self._cased = tuple(map(_rare, (*_OTHERWISE, *cased)))
        self._folded = tuple(map(_rare, folded))

    def __call__(self, part: bytes) -> bool:
        """Tell whether nothing in some whole lines can match, nor be a part of what does."""
        if _holds(part, self._cased) or pieces.held(part):
            return False
        if not self._folded:
            return True
        return part.isascii() and not _holds(part.lower(), self._folded)  # other letters may be taken for some of ASCII


def _holds(part: bytes, texts: Sequence[Tuple[bytes, bytes, bytes]]) -> bool:
    """Tell whether one of some texts stands in a block; a single byte that it needs is missed ten times as fast."""
    return any(one in part and other in part and text in part for one, other, text in texts)


def _rare(text: bytes) -> Tuple[bytes, bytes, bytes]:
    """Return the two bytes of a text that logs hold least of, and the text."""
    often = sorted(set(text), key=lambda byte: _USUAL.find(bytes([byte])) % (len(_USUAL) + 1))
    return bytes(often[-1:]), bytes(often[-2:-1] or often[-1:]), text


def quiet(patterns: Sequence[Pattern]) -> Optional[Quiet]:
    """Return what tells of blocks without a match; None where these patterns are too many, or need no text."""
    cased: List[bytes] = []
    folded: List[bytes] = []
    if len(patterns) > FEW:
        return None
    for pattern in patterns:
        folds, text = needed(pattern.regex) if pattern.lines == 1 else (False, "")
        if len(text) < SHORTEST:
            return None
        (folded if folds else cased).append((text.lower() if folds else text).encode("ascii"))
    return Quiet(cased, folded)


def needed(regex: str) -> Tuple[bool, str]:
    """Return the longest text of ASCII that a match can't do without, and whether it may stand in either case.

    Example:
        >>> needed(r"CUDA out of memory.*GPU (?P<gpu>[0-9]+)")
        (False, 'CUDA out of memory')
    """
    import re

    try:
        from re import _parser as parser  # type: ignore[attr-defined]
    except ImportError:  # before Python 3.11
        import sre_parse as parser
    tree = parser.parse(regex)
    return bool(tree.state.flags & re.IGNORECASE), max(_texts(tree), key=len, default="")


def _texts(tree: object) -> Iterator[str]:
    text = ""
    for kind, value in tree:  # type: ignore[attr-defined]
        name = str(kind)
        if name == "LITERAL" and value < 0x80 and value not in b"\r\n":
            text += chr(value)
            continue
        yield text
        text = ""
        if name == "SUBPATTERN" and not value[1] and not value[2]:  # no flags of its own
            yield from _texts(value[3])
    yield text
