"""Regular expressions for bytes as small trees: what they are made of, and how they are widened and trimmed."""

from dataclasses import dataclass
from typing import Dict, FrozenSet, Iterable, List, Optional, Tuple, Union

HIGH = frozenset(range(0x80, 0x100))  # as members of a set: any character above ASCII
ASCII = frozenset(range(0x80))
FOLDING = frozenset(b"kKsSiI")  # letters that characters above ASCII fold to
_LONGEST = 64  # bytes: a longer bounded stretch of anything is as good as an unbounded one


@dataclass(frozen=True)
class Bytes:
    """One character of a set; with some of the high bytes only it is one byte."""

    members: FrozenSet[int]


@dataclass(frozen=True)
class Text:
    """Characters of ASCII one behind the other; most of a pattern is such."""

    letters: bytes  # in lower case where case is ignored
    folds: bool = False


@dataclass(frozen=True)
class Many:
    """One behind the other; none is the empty text."""

    parts: "Tuple[Node, ...]"


@dataclass(frozen=True)
class OneOf:
    """One of several; of none nothing matches."""

    branches: "Tuple[Node, ...]"


@dataclass(frozen=True)
class Times:
    """The same several times."""

    part: "Node"
    least: int
    most: Optional[int]


@dataclass(frozen=True)
class At:
    """A place between bytes: `^`, `$` or `b`, a word's border."""

    place: str


Node = Union[Bytes, Text, Many, OneOf, Times, At]
EMPTY = Many(())
NEVER = OneOf(())


def nullable(node: Node) -> bool:
    """Tell whether the empty text matches."""
    if isinstance(node, (Bytes, Text)):
        return False
    if isinstance(node, Many):
        return all(map(nullable, node.parts))
    if isinstance(node, OneOf):
        return any(map(nullable, node.branches))
    if isinstance(node, Times):
        return not node.least or nullable(node.part)
    return True


def ending(node: Node) -> Node:
    """Return what a match over several lines ends with in its last line."""
    if not _breaks(node):
        return node
    if isinstance(node, Many):
        last = max(index for index, part in enumerate(node.parts) if _breaks(part))
        return many(node.parts[last + 1 :])
    return one_of(map(ending, node.branches)) if isinstance(node, OneOf) else EMPTY


def _breaks(node: Node) -> bool:
    """Tell whether it may match a line feed."""
    if isinstance(node, Bytes):
        return 0x0A in node.members
    if isinstance(node, Text):
        return b"\n" in node.letters
    if isinstance(node, Many):
        return any(map(_breaks, node.parts))
    if isinstance(node, OneOf):
        return any(map(_breaks, node.branches))
    return _breaks(node.part) if isinstance(node, Times) else False


def longest(node: Node) -> Optional[int]:
    """Return the most bytes that it matches in text of ASCII; None where there is no bound."""
    if isinstance(node, Bytes):
        return 1
    if isinstance(node, Text):
        return len(node.letters)
    if isinstance(node, (Many, OneOf)):
        parts = [longest(part) for part in (node.parts if isinstance(node, Many) else node.branches)]
        known = [length for length in parts if length is not None]
        if len(known) < len(parts):
            return None
        return sum(known) if isinstance(node, Many) else max(known, default=0)
    if isinstance(node, Times):
        one = longest(node.part)
        return None if one is None or node.most is None else one * node.most
    return 0


def wide(node: Node, *, folds: bool) -> Node:
    """Return what `widened` does, with what a match can do without at its ends."""
    return _wide(node, FOLDING if folds else frozenset())


def widened(node: Node, *, folds: bool, several: bool = False) -> Node:
    """Return what can be asked of bytes: borders of words are left out, characters above ASCII are 1 to 4 bytes."""
    made = wide(node, folds=folds)
    return trimmed(made, 0) if several else trimmed(trimmed(made, 0), -1)


def narrowed(node: Node) -> Node:
    """Return what it is in text of ASCII."""
    if isinstance(node, Bytes):
        return Bytes(node.members & ASCII)
    if isinstance(node, Many):
        return many(map(narrowed, node.parts))
    if isinstance(node, OneOf):
        return one_of(map(narrowed, node.branches))
    if isinstance(node, Times):
        return Times(narrowed(node.part), node.least, node.most)
    return node


def many(parts: Iterable[Node]) -> Node:
    """Return some one behind the other."""
    flat: List[Node] = []
    for part in parts:
        if isinstance(part, OneOf) and not part.branches:
            return NEVER
        flat += part.parts if isinstance(part, Many) else [part]
    return flat[0] if len(flat) == 1 else Many(tuple(flat))


def one_of(branches: Iterable[Node]) -> Node:
    """Return some as alternatives, each once."""
    kept: Dict[Node, None] = {}
    for branch in branches:
        kept.update(dict.fromkeys(branch.branches if isinstance(branch, OneOf) else [branch]))
    return next(iter(kept)) if len(kept) == 1 else OneOf(tuple(kept))


def trimmed(node: Node, end: int) -> Node:
    """Leave out what a match can do without at one of its ends."""
    if isinstance(node, Many):
        parts = list(node.parts)
        while parts:
            kept = trimmed(parts[end], end)
            if kept == EMPTY:
                del parts[end]
                continue
            parts[end] = kept
            break
        return many(parts)
    if isinstance(node, OneOf):
        branches = [trimmed(branch, end) for branch in node.branches]
        return EMPTY if EMPTY in branches else one_of(branches)
    if isinstance(node, Times):
        if not node.least:
            return EMPTY
        return trimmed(node.part, end) if node.least == 1 else Times(node.part, node.least, node.least)
    return node


def _wide(node: Node, folding: FrozenSet[int]) -> Node:
    if isinstance(node, Bytes):
        if not node.members >= HIGH:
            return node
        foreign = Times(Bytes(HIGH), 1, 4)
        return one_of([Bytes((node.members - HIGH) | folding), foreign]) if node.members - HIGH or folding else foreign
    if isinstance(node, Many):
        return many(_wide(part, folding) for part in node.parts)
    if isinstance(node, OneOf):
        return one_of(_wide(branch, folding) for branch in node.branches)
    if isinstance(node, Times):
        if isinstance(node.part, Bytes) and node.part.members >= HIGH:
            most = None if node.most is None or node.most * 4 > _LONGEST else node.most * 4
            return Times(Bytes(node.part.members | folding), node.least, most)
        return Times(_wide(node.part, folding), node.least, node.most)
    return EMPTY if node == At("b") else node
