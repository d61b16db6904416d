"""What finds the places where a line may match: each engine is one way, and all are checked by `re` afterwards."""

from typing import List, NamedTuple, Optional, Protocol, Sequence, Tuple

from runbook.modules.logs.engines.syntax import perl
from runbook.modules.logs.patterns import Pattern
from runbook.modules.logs.superset import Node, narrowed, nullable, superset, widened

DOCKER_LINE = 1 << 30  # in the place of an expression's number: here begins a line that docker wrote

Mark = Tuple[int, int]  # an offset, and the number of the expression that may match there


class Expression(NamedTuple):
    """One alternative of a pattern."""

    pattern: int  # its number
    exact: Optional[str]  # what is held against a line of ASCII in its place, where that is possible; bytes as Latin-1


class Engine(Protocol):
    """Finds candidates in a text of lines."""

    name: str
    sees_docker: bool  # it tells of docker's lines itself
    expressions: Sequence[Expression]  # in the order of the patterns

    def candidates(self, text: bytes) -> List[Mark]:
        """Return candidates in any order, also several times.

        The offset lies in the line that the match ends in (its line feed not counted). No line that matches may be
        missing; lines that do not match may be among them.
        """


class Asked(NamedTuple):
    """What an engine is asked to find."""

    expression: Expression
    node: Optional[Node]  # None where anything may match
    lines: int


def asked(patterns: Sequence[Pattern]) -> List[Asked]:
    """Return the alternatives of the patterns, widened for engines that know bytes only."""
    made: List[Asked] = []
    for number, pattern in enumerate(patterns):
        found = superset(pattern.regex, pattern.lines)
        for alternative in found.alternatives:
            wide = widened(alternative, folds=found.folds, several=pattern.lines > 1)
            exact = perl(narrowed(alternative)).decode("latin-1") if found.exact else None
            made.append(Asked(Expression(number, exact), None if nullable(wide) else wide, pattern.lines))
    return made
