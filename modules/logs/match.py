"""Finding the lines that match one of many patterns.

An engine names the lines that may match, by whatever is fastest; each is then given to Python's own expressions, in
order. So the engines differ in speed and in nothing else.
"""

from typing import Iterator, List, Mapping, Protocol, Sequence, Union

from runbook.modules.logs.engines.literals import LiteralEngine
from runbook.modules.logs.judging import KEPT, Hit, Judge, TooSlow
from runbook.modules.logs.patterns import Pattern

__all__ = ["KEPT", "Hit", "LiteralMatcher", "Matcher", "TooSlow", "matcher", "prepare"]


class Matcher(Protocol):
    """Finds matching lines in blocks of whole lines."""

    def hits(
        self, block: bytes, limit: float = ..., *, goes_on: bool = False, before: bytes = b"", every: bool = False
    ) -> Iterator[Hit]:
        """Return the lines that match, in order, each with the first pattern in order that does.

        Args:
            block: whole lines.
            limit: seconds of processor time that it may take.
            goes_on: before the block stands a lone carriage return, so that its first line is no line's beginning.
            before: the last lines before the block, for patterns that reach over several.
            every: return each pattern of a line and not only the first.

        Raises:
            TooSlow: it took longer.
        """


def matcher(patterns: Sequence[Pattern], backlog: int) -> Matcher:
    """Return what finds these patterns' lines in so many bytes; `prepare` makes it cheap."""
    del backlog
    return Judge(patterns, LiteralEngine(patterns))


def prepare(patterns: Sequence[Pattern]) -> None:
    """Do what can be done before the first line is there."""
    matcher(patterns, 0)


def LiteralMatcher(patterns: Union[Sequence[str], Mapping[str, str]]) -> Matcher:  # noqa: N802 -- for its callers of now
    """Return a matcher of expressions, named or not, that needs nothing but Python."""
    named: List[Pattern] = (
        [Pattern(name, regex) for name, regex in patterns.items()]
        if isinstance(patterns, Mapping)
        else [Pattern(regex, regex) for regex in patterns]
    )
    return matcher(named, 0)
