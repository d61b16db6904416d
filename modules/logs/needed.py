"""The texts that stand in every line that an expression matches, of each set one: what quick searches look for."""

import re
from functools import lru_cache
from typing import FrozenSet, Iterable, List, NamedTuple, Optional, Tuple

from runbook.modules.logs.nodes import ASCII, Bytes, Many, Node, OneOf, Text, Times, longest, many, trimmed, wide

SHORTEST = 3  # bytes; shorter ones stand in too many lines
SHORTEST_ALSO = 2
MOST = 200  # texts of one set; more are no quicker than the expression itself
SETS = 5
TELLING = 4.5  # weight of a text by which lines are told apart
_WORD = 2.0  # that of one common word
SURE = 5.0  # and of one that seldom stands in a line that does not match
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _:,-/'\"=<>%&#@!;~`\t")
_FEW = 4  # characters in whose place each is written out
_PRODUCT = 16  # texts that a stretch of alternatives is written out into
_BLANKS = 16  # kinds of them and the like, at the most
_PART = re.compile(rb"[A-Za-z]+|[^A-Za-z ]")
_COMMON = frozenset(
    b"error errors err failed failure fail failing memory warning warn connection connect connected refused reset "
    b"closed timeout timed time checkpoint nvrm nccl cuda code exit read write node nodes task tasks process server "
    b"client file files device kernel line grad norm loss step rank gpu info killed kill started starting stopped "
    b"worker workers retry retrying request model loading load get post http https host port key "
    b"message reason detail stderr stdout cause exception unknown status output".split()
)
_SMALL = frozenset(b"no in of for the with not out is was on at to and or by from a an".split())


class Texts(NamedTuple):
    """Texts one of which stands in every line that matches."""

    words: FrozenSet[bytes]
    folds: bool = False  # they are in lower case, to be looked for in lower case


_NOTHING = Texts(frozenset([b""]))


def needed(node: Node) -> Tuple[Texts, ...]:
    """Return sets of texts, the most telling first; none where none is.

    Of the first a line is known, the others are to be asked for in it.
    """
    sets = sorted(dict.fromkeys(_sets(node)), key=_telling, reverse=True)
    useful = [texts for texts in sets if _useful(texts)]
    first = next((texts for texts in useful if min(map(len, texts.words)) >= SHORTEST), None)
    if first is None:
        return ()
    return (first, *(texts for texts in useful if texts is not first))[:SETS]


def reach(node: Node, texts: Texts, *, folds: bool) -> Optional[int]:
    """Return within how many bytes of a match's begin one of some texts ends; None where there is no bound."""
    parts = node.parts if isinstance(node, Many) else (node,)
    lower = [word.lower() if texts.folds else word for word in texts.words]
    for end in range(1, len(parts) + 1):
        head = many(parts[:end])
        for found in _sets(wide(head, folds=folds)):
            if found.folds <= texts.folds and all(
                any(word in each for word in lower) for each in _lowered(found, texts)
            ):
                return longest(head)
    return None


def _lowered(found: Texts, like: Texts) -> Iterable[bytes]:
    return map(bytes.lower, found.words) if like.folds else found.words


def rarest(node: Node) -> Node:
    """Leave out what an expression begins with, up to common words, where rare ones stand behind them.

    So an engine begins at `nan`, and not at each `loss` that is none, and has no states to carry on from there.
    """
    node = _from_telling(node)
    found = _rare_set(node)
    if not isinstance(node, Many) or found is None:
        return node
    begin = 0
    for place, part in enumerate(node.parts[:-1]):
        left = _rare_set(many(node.parts[place + 1 :]))
        if left is None or weight(left) < weight(found):
            break
        if _endless(part) or any(map(_says_little, _sets(part))):
            begin = place + 1
    return trimmed(many(node.parts[begin:]), 0) if begin else node


def _endless(node: Node) -> bool:
    """Tell whether it may go on through much of a line; blanks do not."""
    if isinstance(node, Times) and isinstance(node.part, Bytes) and len(node.part.members & ASCII) <= _BLANKS:
        return False
    return longest(node) is None


def _says_little(texts: Texts) -> bool:
    return 1.0 <= weight(texts) <= _WORD and any(map(bytes.isalpha, texts.words))


def _from_telling(node: Node) -> Node:
    """Leave out what stands before the stretch that tells most, where that tells enough, up to what has no end."""
    if not isinstance(node, Many):
        return node
    ends = [place for place, part in enumerate(node.parts) if _endless(part)]
    best: Tuple[float, Node] = (0.0, node)
    for begin, end in zip([0, *(place + 1 for place in ends)], [*ends, len(node.parts)]):
        for texts in needed(many(node.parts[begin:end])) if ends else ():
            if weight(texts) > best[0] and (weight(texts) >= TELLING or all(map(_says_much, texts.words))):
                best = weight(texts), trimmed(many(node.parts[begin:]), 0)
    return best[1]


def _says_much(text: bytes) -> bool:
    """Tell whether it is more than one word."""
    parts = list(filter(bytes.isalpha, _PART.findall(text)))
    return _weight(text) >= SHORTEST and sum(part.lower() not in _SMALL for part in parts) > 1


def _rare_set(node: Node) -> Optional[Texts]:
    """Return the most telling texts each of which holds a rare word."""
    return next((texts for texts in needed(node) if all(map(_rare, texts.words))), None)


def _rare(text: bytes) -> bool:
    parts = filter(bytes.isalpha, _PART.findall(text))
    return any(len(part) >= SHORTEST and part.lower() not in _COMMON | _SMALL for part in parts)


def weight(texts: Texts) -> float:
    """Return how well texts tell lines apart: as well as the one that tells least."""
    return _telling(texts)[0]


def outline(node: Node) -> bytes:
    """Return the sets in their order as an expression, which RE2 and `grep -E` understand alike."""
    sets = [texts for texts in _sets(node) if _useful(texts)]
    return b".*".join(map(_alternatives, sets[:SETS]))


def escaped(text: bytes, *, folds: bool = False) -> bytes:
    """Return a text as an expression."""
    return b"".join(map(_either if folds else _one, text))


def _either(code: int) -> bytes:
    return b"[%c%c]" % (code - 0x20, code) if 0x61 <= code <= 0x7A else _one(code)


def _one(code: int) -> bytes:
    if code in _PLAIN or code >= 0x80:
        return bytes([code])
    return rb"\^" if code == 0x5E else b"[%c]" % code


def _alternatives(texts: Texts) -> bytes:
    return b"(%s)" % b"|".join(escaped(word, folds=texts.folds) for word in sorted(texts.words))


def _useful(texts: Texts) -> bool:
    return len(texts.words) <= MOST and min(map(len, texts.words)) >= SHORTEST_ALSO


def _sets(node: Node) -> List[Texts]:
    """Return all such sets."""
    exact = _exact(node)
    if exact is not None:
        return [exact] if all(exact.words) and exact.words else []
    found: List[Texts] = []
    if isinstance(node, Many):
        run = _NOTHING
        for part in node.parts:
            texts = _exact(part)
            longer = _joined(run, texts) if texts is not None else None
            if longer is not None:
                run = longer
                continue
            found.append(run)
            run = _NOTHING if texts is None else texts
            if texts is None:
                found += _sets(part)
        found.append(run)
    elif isinstance(node, OneOf):
        branches = _together(_best(branch) for branch in node.branches)
        if branches is not None:
            found.append(branches)
    elif isinstance(node, Times) and node.least:
        found += _sets(node.part)
    return [texts for texts in found if texts.words and all(texts.words)]


def _best(node: Node) -> Optional[Texts]:
    return max(_sets(node), key=_telling, default=None)


def _exact(node: Node) -> Optional[Texts]:
    """Return all that a node may match, where that is little and written out."""
    if isinstance(node, Text):
        return Texts(frozenset([node.letters]), node.folds)
    if isinstance(node, Bytes):
        return _of_bytes(node)
    if isinstance(node, Many):
        texts: Optional[Texts] = _NOTHING
        for part in node.parts:
            more = _exact(part)
            texts = None if texts is None or more is None else _joined(texts, more)
            if texts is None:
                break
        return texts
    if isinstance(node, OneOf):
        return _bounded(_together(map(_exact, node.branches)))
    if isinstance(node, Times):
        texts = _exact(node.part) if node.most is not None and node.most <= 2 else None
        if texts is None:
            return None
        return _bounded(_together(_repeated(texts, count) for count in range(node.least, (node.most or 0) + 1)))
    return _NOTHING


def _of_bytes(node: Bytes) -> Optional[Texts]:
    if not 0 < len(node.members) <= 2 * _FEW:
        return None
    if len(node.members) > 2:
        lower = frozenset(bytes(node.members).lower())
        if len(lower) <= _FEW and len(lower) < len(node.members):
            return Texts(frozenset(bytes([byte]) for byte in lower), folds=True)
    return Texts(frozenset(bytes([byte]) for byte in node.members)) if len(node.members) <= _FEW else None


def _repeated(texts: Texts, count: int) -> Optional[Texts]:
    made: Optional[Texts] = _NOTHING
    for _ in range(count):
        made = None if made is None else _joined(made, texts)
    return made


def _together(several: Iterable[Optional[Texts]]) -> Optional[Texts]:
    """Return the texts of all; None where there is none, or one of them can't be said."""
    made = list(several)
    known = [texts for texts in made if texts is not None]
    if not made or len(known) < len(made):
        return None
    folds = any(texts.folds for texts in known)
    return Texts(frozenset(word.lower() if folds else word for texts in known for word in texts.words), folds)


def _bounded(texts: Optional[Texts]) -> Optional[Texts]:
    return texts if texts is not None and len(texts.words) <= _PRODUCT else None


def _joined(first: Texts, second: Texts) -> Optional[Texts]:
    if len(first.words) * len(second.words) > _PRODUCT:
        return None
    words = frozenset(a + b for a in first.words for b in second.words)
    if not first.folds and not second.folds:
        return Texts(words)
    return Texts(frozenset(word.lower() for word in words), folds=True)


def _telling(texts: Texts) -> Tuple[float, int]:
    """Return how well texts tell lines apart: by the one that tells least."""
    return min(map(_weight, texts.words)), -len(texts.words)


@lru_cache(maxsize=8192)
def _weight(text: bytes) -> float:
    """Rate a text: a word that most logs hold says little, several behind each other say something."""
    found = 0.0
    for part in _PART.findall(text):
        if not part.isalpha():
            found += 1.0
        elif part.lower() in _COMMON:
            found += _WORD if part.islower() else 3.0
        elif part in _SMALL:
            found += 0.5
        else:
            found += len(part) if len(part) > 2 else len(part) / 2
    return found
