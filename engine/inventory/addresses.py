"""Names of hosts as inventories write them: with a port behind, with ranges in them, IPv6 in brackets."""

from __future__ import annotations

import ipaddress
import itertools
import re
import string
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_HOSTS: Final = 1_000_000  # of one pattern
_RANGE: Final = r"\[(?:[a-z]:[a-z]|[0-9]+:[0-9]+)(?::[0-9]+)?\]"
_LABEL: Final = rf"(?:\w|{_RANGE})(?:[\w-]|{_RANGE})*(?<![_-])"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\Z", re.IGNORECASE)
_HEX_RANGE = re.compile(r"(?<![^:])\[[0-9a-f]+:[0-9a-f]+(?::[0-9]+)?\](?![^:])", re.IGNORECASE)  # a whole group
_IN_BRACKETS = re.compile(r"\[(.+)\]:([0-9]+)\Z")
_WITH_PORT = re.compile(r"((?:[^:\[\]]|\[[^\]]*\])*):([0-9]+)\Z")
_ADDRESS = re.compile(r"(?:[01]?[0-9]{1,2}|2[0-4][0-9]|25[0-5])(?:\.(?:[01]?[0-9]{1,2}|2[0-4][0-9]|25[0-5])){3}\Z")


class Unfit(ValueError):
    """A pattern of hosts that can't be read or expanded; the message says why."""


def parse(text: str) -> tuple[str, int | None]:
    """Return the host, which may hold ranges, and the port behind it.

    Raises:
        Unfit: this is neither a name nor an address.

    Example:
        >>> parse("web[1:3]:2222"), parse("[::1]:22"), parse("fe80::1")
        (('web[1:3]', 2222), ('::1', 22), ('fe80::1', None))
    """
    port = None
    for form in (_IN_BRACKETS, _WITH_PORT):
        if found := form.match(text):
            text, port = found[1], int(found[2])
    if not _NAME.match(text) and not _is_ipv6(text):
        raise Unfit(f"`{text[:80]}` is neither a host's name nor an address")
    return text, port


def expand(text: str) -> tuple[list[str], int | None]:
    """Return the hosts that a pattern stands for, and their port.

    Raises:
        Unfit: a range in it can't be expanded.

    Example:
        >>> expand("gpu[08:10].lan:2222")
        (['gpu08.lan', 'gpu09.lan', 'gpu10.lan'], 2222)
    """
    try:
        host, port = parse(text)
    except Unfit:
        host, port = text, None
    return (_expanded(host) if "[" in host else [host]), port


def is_address(name: str) -> bool:
    """Tell whether a name is an IPv4 or IPv6 address, which has no short form."""
    return _ADDRESS.match(name) is not None or _is_ipv6(name)


def _is_ipv6(text: str) -> bool:
    if text.count(":") < 2 or "%" in text:
        return False
    try:
        ipaddress.IPv6Address(_HEX_RANGE.sub("0", text))
    except ValueError:
        return False
    return True


def _expanded(text: str) -> list[str]:
    """Return all that a text with ranges stands for; the first range turns slowest."""
    parts: list[Sequence[str]] = []
    count, rest = 1, text
    while "[" in rest:
        head, _, rest = rest.partition("[")
        inside, closed, rest = rest.partition("]")
        if not closed:
            raise Unfit(f"the range in `{text[:80]}` is not closed")
        steps = _range(inside)
        count *= len(steps)
        if count > MAX_HOSTS:
            raise Unfit(f"`{text[:80]}` stands for more than {MAX_HOSTS} hosts")
        parts += [(head,), steps]
    parts.append((rest,))
    return ["".join(each) for each in itertools.product(*parts)]


def _range(inside: str) -> Sequence[str]:
    bounds = inside.split(":")
    if len(bounds) not in {2, 3}:
        raise Unfit(f"the range [{inside[:40]}] is neither [begin:end] nor [begin:end:step]")
    begin, end, step = bounds[0] or "0", bounds[1], (bounds[2] if len(bounds) == 3 else "1")
    if not end:
        raise Unfit(f"the range [{inside[:40]}] has no end")
    width = len(begin) if len(begin) > 1 and begin[0] == "0" else 0
    if width and width != len(end):
        raise Unfit(f"begin and end of the range [{inside[:40]}] have not the same length")
    letters = string.ascii_letters
    if begin in letters and end in letters and letters.index(begin) > letters.index(end):
        raise Unfit(f"the range [{inside[:40]}] ends before it begins")
    try:
        if begin in letters and end in letters:
            return letters[letters.index(begin) : letters.index(end) + 1 : int(step)]
        numbers = range(int(begin), int(end) + 1, int(step))
    except ValueError:
        raise Unfit(f"the range [{inside[:40]}] has other than numbers or single letters in it") from None
    if len(numbers) > MAX_HOSTS:
        raise Unfit(f"the range [{inside[:40]}] stands for more than {MAX_HOSTS} hosts")
    return [str(number).zfill(width) for number in numbers]
