"""The texts that stand in every line that an expression matches, of each set one: what quick searches look for."""

from typing import FrozenSet, Iterable, List, Optional, Tuple

from runbook.modules.logs.nodes import Bytes, Many, Node, OneOf, Times

SHORTEST = 3  # bytes; shorter ones stand in too many lines
SHORTEST_ALSO = 2
MOST = 200  # texts of one set; more are no quicker than the expression itself
SETS = 5
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789 _:,-/'\"=<>%&#@!;~`\t")
TELLING = 6.0  # bytes of a text by which lines are told apart
_PRODUCT = 16  # texts that a stretch of alternatives is written out into
_COMMON = frozenset(
    b"error errors failed failure fail memory warning connection connect timeout timed out checkpoint nvrm nccl cuda "
    b"code exit read write node task process server file device kernel no in of for the with not line grad norm loss "
    b"step rank gpu info".split()
)

Texts = FrozenSet[bytes]


def needed(node: Node) -> Tuple[Texts, ...]:
    """Return sets of texts in lower case, to be looked for in lower case, the most telling first; none where none is.

    Of the first a line is known, the others are to be asked for in it.
    """
    sets = sorted(dict.fromkeys(_sets(node)), key=_telling, reverse=True)
    useful = [texts for texts in sets if len(texts) <= MOST and min(map(len, texts)) >= SHORTEST_ALSO]
    if not useful or min(map(len, useful[0])) < SHORTEST:
        return ()
    return tuple(useful[:SETS])


def telling(texts: Texts) -> bool:
    """Tell whether few lines hold one of these that do not match."""
    return _telling(texts)[0] >= TELLING


def outline(node: Node) -> bytes:
    """Return the sets in their order as an expression, which RE2 and `grep -E` understand alike."""
    sets = [texts for texts in _sets(node) if len(texts) <= MOST and min(map(len, texts)) >= SHORTEST_ALSO]
    return b".*".join(b"(%s)" % b"|".join(map(escaped, sorted(texts))) for texts in sets[:SETS])


def escaped(text: bytes) -> bytes:
    """Return a text as an expression."""
    return b"".join(
        bytes([code]) if code in _PLAIN or code >= 0x80 else b"[%c]" % code if code != 0x5E else rb"\^" for code in text
    )


def _sets(node: Node) -> List[Texts]:
    """Return all such sets."""
    exact = _exact(node)
    if exact is not None:
        return [exact] if all(exact) and exact else []
    found: List[Texts] = []
    if isinstance(node, Many):
        run: Texts = frozenset([b""])
        for part in node.parts:
            texts = _exact(part)
            longer = _joined(run, texts) if texts is not None else None
            if longer is not None:
                run = longer
                continue
            found.append(run)
            run = texts if texts is not None else frozenset([b""])
            if texts is None:
                found += _sets(part)
        found.append(run)
    elif isinstance(node, OneOf):
        branches = [_best(branch) for branch in node.branches]
        if branches and all(branch is not None for branch in branches):
            found.append(frozenset().union(*(branch for branch in branches if branch is not None)))
    elif isinstance(node, Times) and node.least:
        found += _sets(node.part)
    return [texts for texts in found if texts and all(texts)]


def _best(node: Node) -> Optional[Texts]:
    return max(_sets(node), key=_telling, default=None)


def _exact(node: Node) -> Optional[Texts]:
    """Return all that a node may match, where that is little and written out."""
    if isinstance(node, Bytes):
        letters = frozenset(bytes([byte]).lower() for byte in node.members)
        return letters if 0 < len(letters) <= 4 else None
    if isinstance(node, Many):
        texts: Optional[Texts] = frozenset([b""])
        for part in node.parts:
            more = _exact(part)
            texts = None if texts is None or more is None else _joined(texts, more)
        return texts
    if isinstance(node, OneOf):
        branches = [_exact(branch) for branch in node.branches]
        if not branches or any(branch is None for branch in branches):
            return None
        found: Texts = frozenset().union(*(branch for branch in branches if branch is not None))
        return found if len(found) <= _PRODUCT else None
    if isinstance(node, Times):
        texts = _exact(node.part) if node.most is not None and node.most <= 2 else None
        if texts is None:
            return None
        counts = range(node.least, (node.most or 0) + 1)
        return _union(_repeated(texts, count) for count in counts)
    return frozenset([b""])


def _repeated(texts: Texts, count: int) -> Optional[Texts]:
    made: Optional[Texts] = frozenset([b""])
    for _ in range(count):
        made = None if made is None else _joined(made, texts)
    return made


def _union(several: Iterable[Optional[Texts]]) -> Optional[Texts]:
    found: Texts = frozenset()
    for texts in several:
        if texts is None:
            return None
        found |= texts
    return found if len(found) <= _PRODUCT else None


def _joined(first: Texts, second: Texts) -> Optional[Texts]:
    if len(first) * len(second) > _PRODUCT:
        return None
    return frozenset(a + b for a in first for b in second)


def _telling(texts: Texts) -> Tuple[float, int]:
    """Return how well texts tell lines apart: by the one that tells least."""
    return min(_weight(text) for text in texts), -len(texts)


def _weight(text: bytes) -> float:
    if len(text) <= SHORTEST:
        return len(text) / 2
    return 2.5 if _common(text) else len(text)


def _common(text: bytes) -> bool:
    words = bytes(byte if 0x61 <= byte <= 0x7A else 0x20 for byte in text).split()
    return all(word in _COMMON for word in words)
