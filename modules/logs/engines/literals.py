"""Candidates by the texts that the patterns can't match without; needs nothing but Python."""

from typing import Iterator, List, Optional, Sequence, Tuple

from runbook.modules.logs.engines.engine import Expression, Mark
from runbook.modules.logs.literals import Literals, required
from runbook.modules.logs.patterns import Pattern


class LiteralEngine:
    """Looks for each pattern's literals; lines of a pattern without any are all candidates."""

    name = "literals"
    sees_docker = False

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self.expressions = [Expression(number, None) for number in range(len(patterns))]
        self._lines = [pattern.lines for pattern in patterns]
        self._literals: List[Optional[Tuple[Tuple[bytes, ...], bool]]] = [
            _bytes(required(pattern.regex)) for pattern in patterns
        ]

    def candidates(self, text: bytes) -> List[Mark]:
        """Return the lines that hold one of a pattern's literals."""
        return list(self._candidates(text))

    def _candidates(self, text: bytes) -> Iterator[Mark]:
        lower: Optional[bytes] = None
        for number, literals in enumerate(self._literals):
            if literals is None:
                starts = _all_lines(text)
            elif literals[1]:
                lower = text.lower() if lower is None else lower
                starts = _lines_with(lower, literals[0])
            else:
                starts = _lines_with(text, literals[0])
            for start in starts:
                at = start
                for _ in range(self._lines[number]):  # the match may go on behind the literal
                    yield at, number
                    at = text.find(b"\n", at) + 1
                    if not 0 < at < len(text):
                        break


def _bytes(literals: Optional[Literals]) -> Optional[Tuple[Tuple[bytes, ...], bool]]:
    """Return the literals as UTF-8; those that stand for bytes which are none can't be looked for."""
    if literals is None or any("\ufffd" in text or "\n" in text for text in literals.texts):
        return None
    return tuple(text.encode("utf-8", "surrogatepass") for text in literals.texts), literals.folded


def _all_lines(text: bytes) -> Iterator[int]:
    start = 0
    while start < len(text):
        yield start
        start = text.find(b"\n", start) + 1
        if not start:
            return


def _lines_with(text: bytes, literals: Sequence[bytes]) -> Iterator[int]:
    """Yield where the lines begin that hold one of the literals; a line may come several times."""
    for literal in literals:
        at = text.find(literal)
        while at >= 0:
            yield text.rfind(b"\n", 0, at) + 1
            end = text.find(b"\n", at)
            if end < 0:
                break
            at = text.find(literal, end + 1)


def made(patterns: Sequence[Pattern]) -> LiteralEngine:
    """Return the engine for these patterns."""
    return LiteralEngine(patterns)
