"""Candidates by hyperscan, from either of its packages: all patterns in one pass, some 1 GB/s.

`hyperscan` is a little faster and can keep what it compiled; one file of `pyperscan` fits any Python from 3.8 on.
"""

import importlib
import json
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from runbook.modules.logs.engines import store
from runbook.modules.logs.engines.compiling import apart, compiled
from runbook.modules.logs.engines.engine import DOCKER_LINE, Mark
from runbook.modules.logs.engines.literals import LiteralEngine
from runbook.modules.logs.engines.plan import Expression, of, read
from runbook.modules.logs.engines.syntax import perl
from runbook.modules.logs.patterns import Pattern

_DOCKER = rb"^\{\x22log\x22:\x22"

MANY = 24  # patterns: compiling fewer takes little time and memory
WORTH = 32 * 1024 * 1024  # bytes of backlog that are worth compiling many


def worth(patterns: Sequence[Pattern], backlog: int) -> bool:
    """Tell whether so large a backlog is worth the making of the engine, or whether it was made before."""
    if backlog >= WORTH or len(patterns) < MANY:
        return True
    try:
        hyperscan: Any = importlib.import_module("hyperscan")
    except ImportError:
        return False
    return store.holds(_key(hyperscan, patterns))


class HyperscanEngine:
    """Scans for the patterns' supersets; those that it can't compile are looked for by their literals.

    Raises:
        ImportError: there is neither package.
    """

    name = "hyperscan"
    sees_docker = True
    sure = True

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        try:
            hyperscan: Any = importlib.import_module("hyperscan")
        except ImportError:
            plan, self._scan = _pyperscan(patterns)
        else:
            plan, self._scan = _kept(hyperscan, patterns)
        self.expressions = plan.expressions
        self._others = plan.others
        self._rest = LiteralEngine([plan.expressions[number] for number in plan.others]) if plan.others else None

    def candidates(self, text: bytes) -> List[Mark]:
        """Return the ends of what matches, and the begins of lines that docker wrote."""
        found = self._scan(text)
        if self._rest is not None:
            found += [(at, self._others[number]) for at, number in self._rest.candidates(text)]
        return found


class _Plan(NamedTuple):
    expressions: List[Expression]
    others: List[int]  # expressions that are not in the database


Scan = Callable[[bytes], List[Mark]]


def _asked(patterns: Sequence[Pattern]) -> Tuple[List[Expression], Dict[int, bytes]]:
    """Return what is looked for, and how it is written; what is not written is left to literals."""
    expressions: List[Expression] = []
    written: Dict[int, bytes] = {DOCKER_LINE: _DOCKER}
    for number, (expression, node) in enumerate(read(patterns, texts=False)):
        expressions.append(expression)
        if node is not None:
            written[number] = perl(node)
    return expressions, written


def _plan(
    patterns: Sequence[Pattern], expressions: List[Expression], written: Dict[int, bytes], refused: Sequence[int]
) -> _Plan:
    others = [number for number in range(len(expressions)) if number not in written or number in refused]
    if refused:
        whole = [expression for expression, _ in read(patterns)]
        expressions = [whole[number] if number in others else each for number, each in enumerate(expressions)]
    return _Plan(expressions, others)


def _pyperscan(patterns: Sequence[Pattern]) -> Tuple[_Plan, Scan]:
    pyperscan: Any = importlib.import_module("pyperscan")
    multiline, go_on = pyperscan.Flag.MULTILINE, pyperscan.Scan.Continue
    expressions, written = _asked(patterns)
    refused: List[int] = []
    database = None
    while database is None:
        numbers = [number for number in written if number not in refused]
        try:
            database = pyperscan.BlockDatabase(
                *(pyperscan.Pattern(written[number], multiline, tag=number) for number in numbers)
            )
        except Exception as error:
            if type(error).__name__ != "HyperscanCompileError":
                raise
            refused.append(numbers[error.args[1]])
    plan = _plan(patterns, expressions, written, refused)

    def on_match(add: Callable[[Mark], None], number: int, _start: int, end: int) -> Any:
        add((end, number))
        return go_on

    found: List[Mark] = []
    scanner = database.build(found.append, on_match)

    def scan(text: bytes) -> List[Mark]:
        scanner.scan(text)
        made = found[:]
        found.clear()
        return made

    return plan, scan


def _kept(hyperscan: Any, patterns: Sequence[Pattern]) -> Tuple[_Plan, Scan]:
    """Return what scans, from the cache if it is there."""
    key = _key(hyperscan, patterns)
    loaded = _loaded(hyperscan, store.read(key)) or _made(hyperscan, patterns, key)
    plan, database = loaded

    def on_match(number: int, _start: int, end: int, _flags: int, add: Callable[[Mark], None]) -> None:
        add((end, number))

    def scan(text: bytes) -> List[Mark]:
        found: List[Mark] = []
        database.scan(text, match_event_handler=on_match, context=found.append)
        return found

    return plan, scan


def _key(hyperscan: Any, patterns: Sequence[Pattern]) -> str:
    return f"hyperscan {hyperscan.__version__} {of(patterns)}"


def _made(hyperscan: Any, patterns: Sequence[Pattern], key: str) -> Tuple[_Plan, Any]:
    """Compile, and keep it."""
    expressions, written = _asked(patterns)
    many = len(patterns) >= MANY
    dumped, refused = (apart(written) if many else None) or compiled(hyperscan, written)
    plan = _plan(patterns, expressions, written, refused)
    if many:
        store.write(key, json.dumps(plan).encode() + b"\n" + dumped)
    return plan, _database(hyperscan, dumped)


def _loaded(hyperscan: Any, kept: Optional[bytes]) -> Optional[Tuple[_Plan, Any]]:
    if kept is None:
        return None
    head, _, dumped = kept.partition(b"\n")
    try:
        expressions, others = json.loads(head)
        database = _database(hyperscan, dumped)
    except (ValueError, TypeError, hyperscan.error):
        return None  # of another version, or of another processor
    return _Plan([Expression(*each) for each in expressions], others), database


def _database(hyperscan: Any, dumped: bytes) -> Any:
    database = hyperscan.loadb(dumped, hyperscan.HS_MODE_BLOCK)
    database.scratch = hyperscan.Scratch(database)
    return database


def made(patterns: Sequence[Pattern]) -> HyperscanEngine:
    """Return the engine for these patterns."""
    return HyperscanEngine(patterns)
