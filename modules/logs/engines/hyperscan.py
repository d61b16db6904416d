"""Candidates by hyperscan, from either of its packages: all patterns in one pass, some 1 GB/s.

`hyperscan` is a little faster and can keep what it compiled; one file of `pyperscan` fits any Python from 3.8 on.
"""

import importlib
import json
import subprocess
import sys
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from runbook.modules.logs.engines import store
from runbook.modules.logs.engines.engine import DOCKER_LINE, Mark
from runbook.modules.logs.engines.literals import LiteralEngine
from runbook.modules.logs.engines.plan import Expression, of, read, texts_of
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
Refused = Optional[int]  # the first expression that can't be compiled
Compile = Callable[[Dict[int, bytes]], Tuple[Any, Refused]]


def _compiled(patterns: Sequence[Pattern], compile_all: Compile) -> Tuple[_Plan, Any]:
    """Compile what can be; the rest is left to literals."""
    asked = read(patterns, texts=False)
    written: Dict[int, bytes] = {DOCKER_LINE: _DOCKER}
    for number, (_, node) in enumerate(asked):
        if node is not None:
            written[number] = perl(node)
    database, refused = compile_all(written)
    while refused is not None:
        del written[refused]
        database, refused = compile_all(written)
    others = [number for number in range(len(asked)) if number not in written]
    made = [expression for expression, _ in asked]
    for number in others:
        node = asked[number][1]
        if node is not None:
            texts, outline = texts_of(node)
            made[number] = made[number]._replace(texts=texts, outline=outline)
    return _Plan(made, others), database


def _pyperscan(patterns: Sequence[Pattern]) -> Tuple[_Plan, Scan]:
    pyperscan: Any = importlib.import_module("pyperscan")
    multiline, go_on = pyperscan.Flag.MULTILINE, pyperscan.Scan.Continue

    def compile_all(written: Dict[int, bytes]) -> Tuple[Any, Refused]:
        made = [pyperscan.Pattern(text, multiline, tag=number) for number, text in written.items()]
        try:
            return pyperscan.BlockDatabase(*made), None
        except Exception as error:
            if type(error).__name__ != "HyperscanCompileError":
                raise
            return None, list(written)[error.args[1]]

    def on_match(add: Callable[[Mark], None], number: int, _start: int, end: int) -> Any:
        add((end, number))
        return go_on

    plan, database = _compiled(patterns, compile_all)
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
    loaded = _loaded(hyperscan, store.read(key))
    if loaded is None and len(patterns) >= MANY and _compile_apart(patterns):
        loaded = _loaded(hyperscan, store.read(key))
    if loaded is None:
        loaded = _compile_here(hyperscan, patterns, key)
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


def _compile_here(hyperscan: Any, patterns: Sequence[Pattern], key: str) -> Tuple[_Plan, Any]:
    plan, database = _compiled(patterns, lambda written: _compile(hyperscan, written))
    database.scratch = hyperscan.Scratch(database)
    if len(patterns) >= MANY:
        store.write(key, json.dumps(plan).encode() + b"\n" + hyperscan.dumpb(database))
    return plan, database


def _compile_apart(patterns: Sequence[Pattern]) -> bool:
    """Compile in a process of its own, which takes with it the 60 MB that compiling a catalogue needs."""
    if not store.usable() or not sys.executable:
        return False
    given = json.dumps([sys.path, [(pattern.regex, pattern.lines) for pattern in patterns]])
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", _APART], input=given.encode(), capture_output=True, check=False
        )
    except OSError:
        return False
    return done.returncode == 0


_APART = f"""
import json, sys
sys.path, patterns = json.load(sys.stdin)
from {__name__} import keep
keep(patterns)
"""


def keep(patterns: Sequence[Tuple[str, int]]) -> None:
    """Compile, and put it into the cache."""
    hyperscan: Any = importlib.import_module("hyperscan")
    made = [Pattern(regex, regex, lines=lines) for regex, lines in patterns]
    _compile_here(hyperscan, made, _key(hyperscan, made))


def _compile(hyperscan: Any, written: Dict[int, bytes]) -> Tuple[Any, Refused]:
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    try:
        database.compile(
            expressions=list(written.values()),
            ids=list(written),
            elements=len(written),
            flags=[hyperscan.HS_FLAG_MULTILINE] * len(written),
        )
    except hyperscan.error as error:
        if len(written) == 1:
            return None, next(iter(written))
        for number, text in written.items():  # the package does not tell which
            if _compile(hyperscan, {number: text})[0] is None:
                return None, number
        raise error from None
    return database, None


def _loaded(hyperscan: Any, kept: Optional[bytes]) -> Optional[Tuple[_Plan, Any]]:
    if kept is None:
        return None
    head, _, dumped = kept.partition(b"\n")
    try:
        expressions, others = json.loads(head)
        database = hyperscan.loadb(dumped, hyperscan.HS_MODE_BLOCK)
        database.scratch = hyperscan.Scratch(database)
    except (ValueError, TypeError, hyperscan.error):
        return None  # of another version, or of another processor
    return _Plan([Expression(*each) for each in expressions], others), database


def made(patterns: Sequence[Pattern]) -> HyperscanEngine:
    """Return the engine for these patterns."""
    return HyperscanEngine(patterns)
