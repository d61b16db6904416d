"""What is told of the lines that match in one file: how many, the first and the last of them, what stands around."""

from typing import Any, FrozenSet, Mapping, Optional, Tuple

from runbook.modules.frozen import frozen

OTHERS = "*"  # stands for the GPUs that are too many to be told apart


@frozen
class Spot:
    """One line that matches, and what stands around it."""

    line_no: Optional[int]  # from 1; None where the begin of a very long file was not read
    line: str
    time: Optional[float]  # when it was written, or the latest before it that says so
    groups: Mapping[str, Any]
    before: Tuple[str, ...] = ()
    after: Tuple[str, ...] = ()
    lines: int = 1  # over how many lines the match reaches; line_no is the last of them
    rank: Optional[int] = None  # that says so of itself
    at: int = 0  # where in `line` the match begins
    host: str = ""  # whose kernel wrote it, where that stands there


@frozen
class Part:
    """What was seen of one signature about one GPU, or about none, in one file."""

    device: str  # as its lines name it; empty where they do not, `OTHERS` for what is about too many
    count: int
    spots: Tuple[Spot, ...]  # the first ones, and the last 3
    early: int  # so many of them are the first ones; what was only counted lies behind those
    ranks: FrozenSet[int] = frozenset()  # that say so of themselves, in the lines behind the first ones
    hosts: FrozenSet[str] = frozenset()  # whose kernels wrote these


@frozen
class Sighting:
    """One signature in one file."""

    name: str
    count: int
    parts: Tuple[Part, ...]  # the first seen first

    @property
    def spots(self) -> Tuple[Spot, ...]:
        """The spots that are kept, in order."""
        if len(self.parts) == 1:
            return self.parts[0].spots
        return tuple(sorted((spot for part in self.parts for spot in part.spots), key=_place))

    @property
    def first(self) -> Spot:
        """The first of all."""
        return self.parts[0].spots[0]

    @property
    def last(self) -> Spot:
        """The last of all."""
        return self.spots[-1]


def _place(spot: Spot) -> Tuple[float, float]:
    return spot.line_no or 0, spot.time or 0.0
