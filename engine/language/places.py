"""What parsing leaves behind besides the data: where each value stands, and notes on what is wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from runbook.engine.model import Edit


@frozen
class Note:
    """A finding before its place is told in lines and columns."""

    code: str
    message: str
    start: int
    end: int
    hint: str = ""
    fixes: tuple[Edit, ...] = ()


class Place:
    """Where a value and what is in it stand, as character offsets."""

    __slots__ = ("children", "end", "start")

    def __init__(self, start: int, end: int, children: Any = None) -> None:
        self.start = start
        self.end = end
        self.children = children  # {key: ((start, end) of the key, place)}, or a list of places

    def child(self, part: str | int) -> tuple[tuple[int, int], Place] | None:
        """Return the place of a key's value or an item, with the key's stretch."""
        if isinstance(self.children, dict):
            return self.children.get(part)
        if isinstance(self.children, list) and isinstance(part, int) and 0 <= part < len(self.children):
            place = self.children[part]
            return (place.start, place.end), place
        return None


@dataclass(slots=True)
class Composed:
    """What a text holds."""

    data: Any = None
    place: Place | None = None
    notes: list[Note] = field(default_factory=list)
