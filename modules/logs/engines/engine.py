"""What finds the places where a line may match: each engine is one way, and all are checked by `re` afterwards."""

from typing import Iterable, Protocol, Tuple


class Engine(Protocol):
    """Finds candidates in a text of lines."""

    name: str

    def candidates(self, text: bytes) -> Iterable[Tuple[int, int]]:
        """Return (offset, number of the pattern) pairs, in any order, also several times.

        The offset lies in the line that the match ends in (its line feed not counted). No line that matches may be
        missing; lines that do not match may be among them.
        """
