"""Candidates by hyperscan, from either of its packages: all texts in one pass, some 1 GB/s.

`hyperscan` is a little faster and can keep what it compiled; one file of `pyperscan` fits any Python from 3.8 on. Texts
cost it a fraction of what expressions do, so expressions are written only for what has no text that tells.
"""

import importlib
import json
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from runbook.modules.logs.engines import store
from runbook.modules.logs.engines.compiling import Written, apart, compiled
from runbook.modules.logs.engines.engine import DOCKER_LINE, Mark
from runbook.modules.logs.engines.plan import Expression, of, read
from runbook.modules.logs.engines.syntax import literal, perl
from runbook.modules.logs.engines.texts import Literals, conditions
from runbook.modules.logs.needed import SHORTEST, rarest
from runbook.modules.logs.patterns import Pattern

_DOCKER = rb"^\{\x22log\x22:\x22"

SHARED = 8  # expressions, at the most, that a text is looked for in the place of longer ones
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
    """Scans for texts that tell, and for supersets; what it can't compile is looked for by literals.

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
        self._owners = plan.owners
        self._others = plan.others
        self._rest = Literals([plan.expressions[number] for number in plan.others]) if plan.others else None

    def candidates(self, text: bytes) -> List[Mark]:
        """Return the ends of what is found, and the begins of lines that docker wrote."""
        found: List[Mark] = []
        owners = self._owners
        for mark in self._scan(text):
            several = owners.get(mark[1])
            if several is None:
                found.append(mark)
            else:
                at = mark[0]
                found += [(at, owner) for owner in several]
        if self._rest is not None:
            found += [(at, self._others[number]) for at, number in self._rest.candidates(text)]
        return found


class _Plan(NamedTuple):
    expressions: List[Expression]
    owners: Dict[int, List[int]]  # the expressions of what is looked for once for several, by its number
    others: List[int]  # expressions that are not in the database


Scan = Callable[[bytes], List[Mark]]
_Word = Tuple[bytes, bool]  # a text, and whether it is in lower case, to be found in any


def _asked(patterns: Sequence[Pattern]) -> Tuple[_Plan, List[Written]]:
    """Return what is looked for, and how it is written; what is not written is left to literals."""
    expressions: List[Expression] = []
    texts: Dict[_Word, List[int]] = {}
    rest: Dict[bytes, List[int]] = {}
    others: List[int] = []
    for number, (asked, node) in enumerate(read(patterns)):
        expression = asked
        if expression.lines == 1 and expression.sure:
            [(folds, words)] = conditions(expression.texts[:1])
            for word in words:
                texts.setdefault((word, folds), []).append(number)
        elif node is not None:
            begun = node if expression.lines > 1 else rarest(node)
            rest.setdefault(perl(begun), []).append(number)
            if begun is node and expression.exact is not None:
                expression = asked._replace(around=())  # what is found holds it
        else:
            others.append(number)
        expressions.append(expression)
    asked_for = [(text, False, numbers) for text, numbers in rest.items()]
    asked_for += [(literal(word), folds, numbers) for (word, folds), numbers in _fewest(texts).items()]
    owners: Dict[int, List[int]] = {}
    written = [Written(DOCKER_LINE, _DOCKER)]
    for place, (text, folds, numbers) in enumerate(asked_for, len(expressions)):
        if len(numbers) > 1:
            owners[place] = numbers
        written.append(Written(numbers[0] if len(numbers) == 1 else place, text, folds))
    return _Plan(expressions, owners, others), written


def _fewest(texts: Mapping[_Word, Sequence[int]]) -> Dict[_Word, List[int]]:
    """Return texts and their expressions without most that hold another one, which stands wherever they do."""
    kept: Dict[_Word, List[int]] = {}
    begins: Dict[bytes, List[_Word]] = {}  # by how they begin, in lower case
    for text in sorted(texts, key=lambda each: (len(each[0]), not each[1], each[0])):
        numbers = texts[text]
        held = next((one for one in _within(text, begins) if len(kept[one]) + len(numbers) <= SHARED), None)
        if held is None:
            kept[text] = [*numbers]
            begins.setdefault(text[0][:SHORTEST].lower(), []).append(text)
        else:
            kept[held] = sorted({*kept[held], *numbers})
    return kept


def _within(text: _Word, begins: Mapping[bytes, Sequence[_Word]]) -> Iterator[_Word]:
    """Yield the texts that stand wherever one does."""
    word, folds = text
    lower = word.lower()
    for at in range(len(word) - SHORTEST + 1):
        for other in begins.get(lower[at : at + SHORTEST], ()):
            if (lower if other[1] else word).startswith(other[0], at) and (other[1] or not folds):
                yield other


def _without(plan: _Plan, refused: Sequence[int]) -> _Plan:
    lost = {owner for number in refused for owner in plan.owners.get(number, [number])}
    return plan._replace(others=sorted({*plan.others, *lost}))


def _pyperscan(patterns: Sequence[Pattern]) -> Tuple[_Plan, Scan]:
    pyperscan: Any = importlib.import_module("pyperscan")
    multiline, caseless, go_on = pyperscan.Flag.MULTILINE, pyperscan.Flag.CASELESS, pyperscan.Scan.Continue
    plan, written = _asked(patterns)
    refused: List[int] = []
    database = None
    while database is None:
        made = [
            pyperscan.Pattern(each.text, multiline, *([caseless] if each.folds else []), tag=each.number)
            for each in written
        ]
        try:
            database = pyperscan.BlockDatabase(*made)
        except Exception as error:
            if type(error).__name__ != "HyperscanCompileError":
                raise
            refused.append(written.pop(error.args[1]).number)

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

    return _without(plan, refused), scan


def _kept(hyperscan: Any, patterns: Sequence[Pattern]) -> Tuple[_Plan, Scan]:
    """Return what scans, from the cache if it is there."""
    key = _key(hyperscan, patterns)
    plan, database = _loaded(hyperscan, store.read(key)) or _made(hyperscan, patterns, key)

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
    plan, written = _asked(patterns)
    many = len(patterns) >= MANY
    dumped, refused = (apart(written) if many else None) or compiled(hyperscan, written)
    plan = _without(plan, refused)
    if many:
        store.write(key, json.dumps(plan).encode() + b"\n" + dumped)
    return plan, _database(hyperscan, dumped)


def _loaded(hyperscan: Any, kept: Optional[bytes]) -> Optional[Tuple[_Plan, Any]]:
    if kept is None:
        return None
    head, _, dumped = kept.partition(b"\n")
    try:
        expressions, owners, others = json.loads(head)
        database = _database(hyperscan, dumped)
    except (ValueError, TypeError, hyperscan.error):
        return None  # of another version, or of another processor
    known = {int(number): numbers for number, numbers in owners.items()}
    return _Plan([Expression(*each) for each in expressions], known, others), database


def _database(hyperscan: Any, dumped: bytes) -> Any:
    database = hyperscan.loadb(dumped, hyperscan.HS_MODE_BLOCK)
    database.scratch = hyperscan.Scratch(database)
    return database


def made(patterns: Sequence[Pattern]) -> HyperscanEngine:
    """Return the engine for these patterns."""
    return HyperscanEngine(patterns)
