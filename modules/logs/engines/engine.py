"""What finds the places where a line may match: each engine is one way, and all are checked by `re` afterwards."""

from typing import List, Protocol, Sequence, Tuple

from runbook.modules.logs.engines.plan import Expression

DOCKER_LINE = 1 << 30  # in the place of an expression's number: here begins a line that docker wrote

Mark = Tuple[int, int]  # an offset, and the number of the expression that may match there


class Engine(Protocol):
    """Finds candidates in a text of lines."""

    name: str
    sees_docker: bool  # it tells of docker's lines itself
    sure: bool  # nearly all of its candidates match
    expressions: Sequence[Expression]  # in the order of the patterns

    def candidates(self, text: bytes) -> List[Mark]:
        """Return candidates in any order, also several times.

        The offset lies in the line that the match ends in (its line feed not counted). No line that matches may be
        missing; lines that do not match may be among them.
        """
