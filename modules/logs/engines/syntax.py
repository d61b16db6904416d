"""Supersets written as regular expressions for bytes."""

from typing import FrozenSet

from runbook.modules.logs.nodes import ASCII, HIGH, Bytes, Many, Node, OneOf, Text, Times

_ALL = ASCII | HIGH
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _-:;,/=<>@%&#!'\"~`")


def perl(node: Node) -> bytes:
    r"""Write it for hyperscan, and for `re` and bytes, with `(?m)` meant."""
    if isinstance(node, Bytes):
        return _perl_set(node.members)
    if isinstance(node, Text):
        return b"".join(map(_perl_folded, node.letters)) if node.folds else literal(node.letters)
    if isinstance(node, Many):
        return b"".join(map(perl, node.parts))
    if isinstance(node, OneOf):
        return b"(?:%s)" % b"|".join(map(perl, node.branches)) if node.branches else rb"[^\x00-\xff]"
    if isinstance(node, Times):
        inner = perl(node.part)
        return (inner if isinstance(node.part, Bytes) else b"(?:%s)" % inner) + _times(node)
    return rb"\b" if node.place == "b" else node.place.encode()


def literal(text: bytes) -> bytes:
    """Write a text as it is."""
    return b"".join(map(_perl_byte, text))


def _times(node: Times) -> bytes:
    if (node.least, node.most) in _SHORT:
        return _SHORT[node.least, node.most]
    if node.least == node.most:
        return b"{%d}" % node.least
    return b"{%d,%s}" % (node.least, b"" if node.most is None else b"%d" % node.most)


_SHORT = {(0, None): b"*", (1, None): b"+", (0, 1): b"?"}


def _perl_set(members: FrozenSet[int]) -> bytes:
    if not members:
        return rb"[^\x00-\xff]"
    if len(members) == 1:
        return _perl_byte(min(members))
    if len(members) > 128 and members != _ALL:
        return b"[^%s]" % _ranges(_ALL - members)
    return b"[%s]" % _ranges(members)


def _perl_byte(code: int) -> bytes:
    return bytes([code]) if code in _PLAIN else rb"\x%02x" % code


def _perl_folded(code: int) -> bytes:
    return b"[%c%c]" % (code, code - 0x20) if 0x61 <= code <= 0x7A else _perl_byte(code)


def _ranges(members: FrozenSet[int]) -> bytes:
    written = b""
    codes = sorted(members)
    at = 0
    while at < len(codes):
        end = at
        while end + 1 < len(codes) and codes[end + 1] == codes[end] + 1:
            end += 1
        written += rb"\x%02x" % codes[at]
        if end > at:
            written += rb"-\x%02x" % codes[end]
        at = end + 1
    return written
