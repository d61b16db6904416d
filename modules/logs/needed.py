"""The texts of which one stands in every line that an expression matches: what quick searches look for first."""

from typing import FrozenSet, Iterable, List, Optional, Tuple

from runbook.modules.logs.superset import Bytes, Many, Node, OneOf, Times

SHORTEST = 3  # bytes; shorter ones stand in too many lines
MOST = 64  # texts for one expression; more are no quicker than the expression itself
_PRODUCT = 16  # texts that a stretch of alternatives is written out into
_COMMON = frozenset(
    b"error errors failed failure fail memory warning connection connect timeout timed out checkpoint nvrm nccl cuda "
    b"code exit read write node task process server file device kernel no in of for the with not".split()
)

Texts = FrozenSet[bytes]


def needed(node: Node) -> Optional[Texts]:
    """Return such texts in lower case, to be looked for in lower case; None where there are none to speak of."""
    best = _best(node)
    if best is None or len(best) > MOST or min(map(len, best)) < SHORTEST:
        return None
    return best


def _best(node: Node) -> Optional[Texts]:
    exact = _exact(node)
    found: List[Texts] = [exact] if exact else []
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
            inner = None if texts is not None else _best(part)
            if inner is not None:
                found.append(inner)
        found.append(run)
    elif isinstance(node, OneOf):
        branches = [_best(branch) for branch in node.branches]
        if branches and all(branch is not None for branch in branches):
            found.append(frozenset().union(*(branch for branch in branches if branch is not None)))
    elif isinstance(node, Times) and node.least:
        inner = _best(node.part)
        if inner is not None:
            found.append(inner)
    found = [texts for texts in found if texts and all(texts)]
    return max(found, key=_telling, default=None)


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
    return min(min(2.5 if _common(text) else 99, len(text)) for text in texts), -len(texts)


def _common(text: bytes) -> bool:
    words = bytes(byte if 0x61 <= byte <= 0x7A else 0x20 for byte in text).split()
    return all(word in _COMMON for word in words)
