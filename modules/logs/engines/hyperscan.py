"""Candidates by hyperscan, from either of its packages: all patterns in one pass, some 1 GB/s."""

from typing import Any, Dict, List, Sequence, Tuple

from runbook.modules.logs.engines.literals import LiteralEngine
from runbook.modules.logs.engines.syntax import perl
from runbook.modules.logs.patterns import Pattern
from runbook.modules.logs.superset import nullable, superset

DOCKER = rb"^\{\x22log\x22:\x22"


class HyperscanEngine:
    """Scans for the patterns' supersets. Those that it can't compile are looked for by their literals.

    Raises:
        ImportError: there is neither package.
    """

    name = "hyperscan"
    sees_docker = True

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        written: Dict[int, bytes] = {-1: DOCKER}
        others: List[int] = []
        for number, pattern in enumerate(patterns):
            node = superset(pattern.regex, pattern.lines)
            if nullable(node):
                others.append(number)
            else:
                written[number] = perl(node)
        self._scan, refused = _compiled(written)
        self._numbers = sorted([*others, *refused])
        self._rest = LiteralEngine([patterns[number] for number in self._numbers]) if self._numbers else None

    def candidates(self, text: bytes) -> List[Tuple[int, int]]:
        """Return the ends of what matches; -1 is the begin of a line that docker wrote."""
        found = self._scan(text)
        if self._rest is not None:
            found += [(at, self._numbers[number]) for at, number in self._rest.candidates(text)]
        return found


def _compiled(written: Dict[int, bytes]) -> Tuple[Any, List[int]]:
    """Return what scans a text for (end, number) pairs, and the numbers of the patterns that were refused."""
    refused: List[int] = []
    while True:
        try:
            return _database(written), refused
        except _Refused as error:
            refused.append(error.number)
            del written[error.number]


class _Refused(Exception):
    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _database(written: Dict[int, bytes]) -> Any:
    numbers = list(written)
    try:
        import pyperscan
    except ImportError:
        return _hyperscan(written)
    compiled = [pyperscan.Pattern(text, pyperscan.Flag.MULTILINE, tag=number) for number, text in written.items()]
    try:
        database = pyperscan.BlockDatabase(*compiled)
    except Exception as error:
        if type(error).__name__ != "HyperscanCompileError":
            raise
        raise _Refused(numbers[error.args[1]]) from None
    found: List[Tuple[int, int]] = []
    go_on = pyperscan.Scan.Continue

    def on_match(add: Any, number: int, _start: int, end: int) -> Any:
        add((end, number))
        return go_on

    scanner = database.build(found.append, on_match)

    def scan(text: bytes) -> List[Tuple[int, int]]:
        scanner.scan(text)
        made = found[:]
        found.clear()
        return made

    return scan


def _hyperscan(written: Dict[int, bytes]) -> Any:
    import hyperscan

    numbers = list(written)
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=list(written.values()), ids=list(range(len(numbers))), elements=len(numbers),
        flags=[hyperscan.HS_FLAG_MULTILINE] * len(numbers),
    )  # fmt: skip
    found: List[Tuple[int, int]] = []

    def on_match(number: int, _start: int, end: int, _flags: int, add: Any) -> None:
        add((end, numbers[number]))

    def scan(text: bytes) -> List[Tuple[int, int]]:
        database.scan(text, match_event_handler=on_match, context=found.append)
        made = found[:]
        found.clear()
        return made

    return scan
