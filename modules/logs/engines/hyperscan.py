"""Candidates by hyperscan, from either of its packages: all patterns in one pass, some 1 GB/s.

`hyperscan` is a little faster and can keep what it compiled; one file of `pyperscan` fits any Python from 3.8 on.
"""

import importlib
import json
from typing import Any, Callable, Dict, FrozenSet, List, NamedTuple, Optional, Sequence, Tuple

from runbook.modules.logs.engines import store
from runbook.modules.logs.engines.engine import DOCKER_LINE, Mark
from runbook.modules.logs.engines.literals import LiteralEngine
from runbook.modules.logs.engines.syntax import perl
from runbook.modules.logs.patterns import Pattern
from runbook.modules.logs.superset import nullable, superset

_DOCKER = rb"^\{\x22log\x22:\x22"


class _Compiled(NamedTuple):
    """What is kept of a set of patterns."""

    numbers: List[int]  # of those that are in the database, in its order
    exact: List[int]
    others: List[int]  # that are looked for by their literals
    database: bytes


class HyperscanEngine:
    """Scans for the patterns' supersets.

    Raises:
        ImportError: there is neither package.
    """

    name = "hyperscan"
    sees_docker = True

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._found: List[Mark] = []
        try:
            hyperscan: Any = importlib.import_module("hyperscan")
        except ImportError:
            exact, others, self._scan = _pyperscan(patterns, self._found)
        else:
            exact, others, self._scan = _kept(hyperscan, patterns, self._found)
        self.exact: FrozenSet[int] = frozenset(exact)
        self._others = others
        self._rest = LiteralEngine([patterns[number] for number in others]) if others else None

    def candidates(self, text: bytes) -> List[Mark]:
        """Return the ends of what matches, and the begins of lines that docker wrote."""
        self._scan(text)
        found = self._found[:]
        self._found.clear()
        if self._rest is not None:
            found += [(at, self._others[number]) for at, number in self._rest.candidates(text)]
        return found


class _Translated(NamedTuple):
    written: Dict[int, bytes]
    exact: List[int]
    others: List[int]


def _translated(patterns: Sequence[Pattern]) -> _Translated:
    written: Dict[int, bytes] = {DOCKER_LINE: _DOCKER}
    exact: List[int] = []
    others: List[int] = []
    for number, pattern in enumerate(patterns):
        made = superset(pattern.regex, pattern.lines)
        if nullable(made.node):
            others.append(number)
            continue
        written[number] = perl(made.node)
        if made.exact:
            exact.append(number)
    return _Translated(written, exact, others)


def _without_refused(made: _Translated, compiled: Callable[[Dict[int, bytes]], Any]) -> Any:
    """Compile; what can't be is moved to the others."""
    while True:
        database, refused = compiled(made.written)
        if refused is None:
            return database
        del made.written[refused]
        made.others.append(refused)
        if refused in made.exact:
            made.exact.remove(refused)


def _pyperscan(
    patterns: Sequence[Pattern], found: List[Mark]
) -> Tuple[List[int], List[int], Callable[[bytes], object]]:
    pyperscan: Any = importlib.import_module("pyperscan")
    multiline, go_on = pyperscan.Flag.MULTILINE, pyperscan.Scan.Continue

    def compiled(written: Dict[int, bytes]) -> Tuple[Any, Optional[int]]:
        try:
            return pyperscan.BlockDatabase(
                *(pyperscan.Pattern(text, multiline, tag=number) for number, text in written.items())
            ), None
        except Exception as error:
            if type(error).__name__ != "HyperscanCompileError":
                raise
            return None, list(written)[error.args[1]]

    made = _translated(patterns)
    database = _without_refused(made, compiled)

    def on_match(add: Callable[[Mark], None], number: int, _start: int, end: int) -> Any:
        add((end, number))
        return go_on

    return made.exact, made.others, database.build(found.append, on_match).scan


def _kept(
    hyperscan: Any, patterns: Sequence[Pattern], found: List[Mark]
) -> Tuple[List[int], List[int], Callable[[bytes], object]]:
    key = json.dumps([hyperscan.__version__, [(pattern.regex, pattern.lines) for pattern in patterns]])
    database = _loaded(hyperscan, store.read(key))
    if database is None:
        made = _compiled(hyperscan, patterns)
        head = json.dumps([made.numbers, made.exact, made.others]).encode()
        store.write(key, head + b"\n" + made.database)
        database = _loaded(hyperscan, head + b"\n" + made.database)
        assert database is not None
    (numbers, exact, others), scanner = database

    def on_match(number: int, _start: int, end: int, _flags: int, add: Callable[[Mark], None]) -> None:
        add((end, numbers[number]))

    def scan(text: bytes) -> None:
        scanner.scan(text, match_event_handler=on_match, context=found.append)

    return exact, others, scan


def _compiled(hyperscan: Any, patterns: Sequence[Pattern]) -> _Compiled:
    def compiled(written: Dict[int, bytes]) -> Tuple[Any, Optional[int]]:
        database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        try:
            database.compile(
                expressions=list(written.values()),
                ids=list(range(len(written))),
                elements=len(written),
                flags=[hyperscan.HS_FLAG_MULTILINE] * len(written),
            )
        except hyperscan.error as error:
            return None, _refused(hyperscan, written, error)
        return database, None

    made = _translated(patterns)
    database = _without_refused(made, compiled)
    return _Compiled(list(made.written), made.exact, made.others, hyperscan.dumpb(database))


def _refused(hyperscan: Any, written: Dict[int, bytes], error: Exception) -> int:
    """Return the pattern that can't be compiled, of which the package does not tell: each is tried."""
    for number, text in written.items():
        try:
            hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK).compile(
                expressions=[text], flags=[hyperscan.HS_FLAG_MULTILINE]
            )
        except hyperscan.error:
            return number
    raise error


def _loaded(hyperscan: Any, kept: Optional[bytes]) -> Optional[Tuple[Tuple[List[int], List[int], List[int]], Any]]:
    if kept is None:
        return None
    head, _, dumped = kept.partition(b"\n")
    try:
        numbers, exact, others = json.loads(head)
        database = hyperscan.loadb(dumped, hyperscan.HS_MODE_BLOCK)
        database.scratch = hyperscan.Scratch(database)
    except (ValueError, TypeError, hyperscan.error):
        return None  # of another version, or of another processor
    return (numbers, exact, others), database


def made(patterns: Sequence[Pattern]) -> HyperscanEngine:
    """Return the engine for these patterns."""
    return HyperscanEngine(patterns)
