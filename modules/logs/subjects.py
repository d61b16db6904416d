"""Whom a line that matches is about, beside its signature: a GPU by its address, a rank of a run, a host of many."""

import re
from functools import lru_cache
from typing import Match, Optional

_ADDRESS = "pci"  # the group of a pattern that holds a GPU's address
_NAMED = re.compile(rf"\(\?P<{_ADDRESS}>")
_REACH = 160  # bytes of a line in which a rank and a host stand
RANK, KERNEL = b"ank", b" kernel: "  # stand in every line that says of which rank, or which host's kernel, it is
_RANK = re.compile(rb"(?:\[[rR]ank[ _]?(?=\d{1,6}\])|\brank=|\b[rR]ank (?=\d{1,6}:))(\d{1,6})\b")
_HOST = re.compile(rb"[\dZ] ([A-Za-z0-9][\w.-]{0,80}) kernel: ")  # behind a time


@lru_cache(maxsize=4096)
def names_device(regex: str) -> bool:
    """Tell whether the lines that an expression matches name the GPU that they are about."""
    return _NAMED.search(regex) is not None


def device(match: "Match[str]", data: bytes, start: int) -> str:
    """Return whom a match is about: the address in it, with the host of its line; nothing where it has none."""
    address = match.groupdict().get(_ADDRESS) or ""
    return f"{host(data, start)} {address}" if address else ""


def rank(data: bytes, start: int) -> Optional[int]:
    """Return the rank that the line which begins there says it is of; None where it does not say.

    Example:
        >>> rank(b"[rank3]:[E1122 01:12:02] [Rank 3] Watchdog caught", 0)
        3
    """
    found = _RANK.search(data, start, _end(data, start, RANK))
    return int(found[1]) if found is not None else None


def host(data: bytes, start: int) -> str:
    """Return the host whose kernel wrote the line that begins there, as syslog and the journal put it before it.

    Example:
        >>> host(b"Nov 22 01:02:03 gpu-07 kernel: NVRM: Xid", 0)
        'gpu-07'
    """
    found = _HOST.search(data, start, _end(data, start, KERNEL))
    return found[1].decode() if found is not None else ""


def _end(data: bytes, start: int, word: bytes) -> int:
    """Return how far a line is worth to be searched: not at all, where a word is not in it, which is cheap to see."""
    end = data.find(b"\n", start, start + _REACH)
    end = min(start + _REACH, len(data)) if end < 0 else end
    return end if data.find(word, start, end) >= 0 else start
