"""What finds the places where a line may match: each engine is one way, and all are checked by `re` afterwards."""

from typing import FrozenSet, Iterable, Protocol, Tuple

DOCKER_LINE = -1  # in the place of a pattern's number: here begins a line that docker wrote

Mark = Tuple[int, int]  # an offset, and the number of the pattern that may match there


class Engine(Protocol):
    """Finds candidates in a text of lines."""

    name: str
    sees_docker: bool  # it tells of docker's lines itself
    exact: FrozenSet[int]  # the patterns of which it names no line of ASCII that does not match

    def candidates(self, text: bytes) -> Iterable[Mark]:
        """Return candidates in any order, also several times.

        The offset lies in the line that the match ends in (its line feed not counted). No line that matches may be
        missing; lines that do not match may be among them.
        """
