"""What engines are asked to find: the alternatives of the patterns, with the texts that none of them can do without.

Reading a catalogue of some hundred patterns so closely takes the better part of a second, so it is kept. Of the bundled
catalogue it comes with the package.
"""

import json
import zlib
from contextlib import suppress
from typing import Iterator, List, NamedTuple, Optional, Sequence, Tuple

from runbook.modules.logs.engines import store
from runbook.modules.logs.engines.syntax import perl
from runbook.modules.logs.needed import SURE, TELLING, Texts, needed, outline, reach, weight
from runbook.modules.logs.nodes import Node, ending, longest, narrowed, nullable, widened
from runbook.modules.logs.patterns import Pattern
from runbook.modules.logs.superset import superset

KEPT_FROM = 24  # patterns: fewer are read as fast as they are fetched
shipped: List[str] = []  # files of the package, and so trusted as its code is; only the controller has them

Set = Tuple[bool, Sequence[str]]
"""Texts of which one must be there, as Latin-1; and whether they are in lower case, to be looked for in lower case."""


class Expression(NamedTuple):
    """One alternative of a pattern."""

    pattern: int  # its number
    lines: int  # over how many what is looked for may reach
    exact: Optional[str]  # what is held against a line of ASCII in its place, where that is possible; bytes as Latin-1
    texts: Sequence[Set]  # of each a line of a match holds one, the most telling first
    outline: str  # these in their order, as an expression; empty where the first set tells enough
    around: Sequence[Set] = ()  # of each, one stands in the lines that a match may reach over
    sure: bool = False  # few lines hold one of the first set, and no match
    reach: Optional[int] = None  # bytes from a match's begin to the end of what is looked for, in a line of ASCII

    alike: bool = False  # it looks at one line only, and takes all digits alike


def expressions(patterns: Sequence[Pattern]) -> List[Expression]:
    """Return the alternatives, in the order of the patterns."""
    if len(patterns) < KEPT_FROM:
        return [expression for expression, _ in read(patterns)]
    key = f"expressions {of(patterns)}"
    kept = _brought(key) or store.read(key)
    if kept is None:
        made = [expression for expression, _ in read(patterns)]
        store.write(key, json.dumps(made).encode())
        return made
    return [Expression(*each) for each in json.loads(kept)]


def packed(patterns: Sequence[Pattern]) -> bytes:
    """Return what the package brings along of some patterns: what it is known by, and the rest deflated."""
    made = json.dumps([expression for expression, _ in read(patterns)], separators=(",", ":"))
    return store.called(f"expressions {of(patterns)}").encode() + zlib.compress(made.encode(), 9)


def _brought(key: str) -> Optional[bytes]:
    """Return what the package brings along under a key; None for other patterns, or another translation."""
    name = store.called(key).encode()
    for path in shipped:
        with suppress(OSError), open(path, "rb") as file:
            if file.read(len(name)) == name:
                return zlib.decompress(file.read())
    return None


def read(patterns: Sequence[Pattern]) -> Iterator[Tuple[Expression, Optional[Node]]]:
    """Yield the alternatives, and what an engine for bytes looks for; None where anything may match."""
    for number, pattern in enumerate(patterns):
        found = superset(pattern.regex, pattern.lines)
        for parted, whole, alike in zip(found.alternatives, found.whole, found.alike):
            lines, alternative = pattern.lines, parted
            around: Sequence[Set] = ()
            if lines > 1 and needed(widened(ending(parted), folds=found.folds)):
                lines, alternative = 1, ending(parted)  # it can be looked for by what it ends with
                around = _sets(needed(widened(parted, folds=found.folds, several=True)))
            wide = widened(alternative, folds=found.folds, several=lines > 1)
            exact = perl(narrowed(alternative)).decode("latin-1") if found.exact else None
            sets = needed(wide)
            told = _sets(sets)
            said = outline(wide).decode("latin-1") if sets and weight(sets[0]) < TELLING else ""
            sure = bool(sets) and weight(sets[0]) >= SURE
            if lines == 1:
                around = around or told[1:]
            bound = None if pattern.lines > 1 else longest(whole)
            if sure and bound is None and pattern.lines == 1:
                bound = reach(whole, sets[0], folds=found.folds)
            yield (
                Expression(number, lines, exact, told, said, around, sure, bound, alike),
                None if nullable(wide) else wide,
            )


def _sets(sets: Sequence[Texts]) -> Sequence[Set]:
    return [(texts.folds, sorted(word.decode("latin-1") for word in texts.words)) for texts in sets]


def of(patterns: Sequence[Pattern]) -> str:
    """Return what the kept is known by."""
    return json.dumps([(pattern.regex, pattern.lines) for pattern in patterns])
