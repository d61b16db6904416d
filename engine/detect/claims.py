"""What can have brought about what, by what the catalogue says of both, and by their roles."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final, NamedTuple

from runbook.engine.model import Severity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runbook.engine.detect.sightings import Sign

ROLES: Final = {"root": 0.0, "confirmation": 1.0, "cascade": 2.0}  # the order in which they are causes
_DEPTHS: Final = {"kernel": 0, "job": 1}  # by scope; all others stand above these
_LIKELY: Final = {("cascade", "root"), ("cascade", "confirmation"), ("confirmation", "root"), ("cascade", "cascade")}
_TIMEOUT: Final = "timeout"


class Claim(NamedTuple):
    """Why one thing may be the cause of another."""

    said: bool  # the catalogue says so; else it is only likely, by their roles
    turns: bool  # it may be seen after what it brought about


class Kind(NamedTuple):
    """What was seen, on whatever device, as far as it tells causes from consequences."""

    id: str
    variant: str
    role: str
    rank: int  # of its severity
    depth: int
    category: str
    causes: tuple[str, ...]

    @classmethod
    def of(cls, sign: Sign, variant: str) -> Kind:
        """Return the kind of a signature."""
        return cls(sign.id, variant, sign.role, sign.severity.rank, depth(sign), sign.category, tuple(sign.causes))

    @property
    def hangs(self) -> bool:
        """It says of a run that it waits: for what fell, as a rule."""
        return self.category == _TIMEOUT and self.rank >= Severity.HIGH.rank

    @property
    def kills(self) -> bool:
        """It ends what runs."""
        return self.role == "root" and self.category != _TIMEOUT and self.rank >= Severity.HIGH.rank

    def says(self, other: Kind) -> bool:
        """Tell whether the catalogue says that it brings about another."""
        names = (other.id, f"{other.id}:{other.variant}") if other.variant else (other.id,)
        return any(fnmatchcase(each, glob) for glob in self.causes for each in names)


def depth(sign: Sign) -> int:
    """Return how deep in the machine a signature is at home; 0 is deepest."""
    return _DEPTHS.get(sign.scope, 2)


def may_follow(sign: Sign, variant: str, others: Iterable[Sign]) -> bool:
    """Tell whether something that is seen may follow from what has yet to be heard of.

    Args:
        sign: what is seen.
        variant: which kind of it.
        others: all that can be heard of.

    Example:
        >>> may_follow(cuda_oom, "", [cuda_oom])     # doctest: +SKIP
        False
    """
    kind = Kind.of(sign, variant)
    return any(claim(Kind.of(other, ""), kind) is not None for other in others if other.id != sign.id)


def claim(cause: Kind, one: Kind) -> Claim | None:
    """Return on what grounds something may be another's cause; None where there are none."""
    if (cause.role, one.role) == ("cascade", "root"):
        return None  # what can begin by itself does not follow from what can't
    if cause.says(one):
        both = one.says(cause)
        if both and _TIMEOUT == cause.category != one.category:
            return None  # it waited for what had gone wrong before
        turns = (
            one.role != "root"
            or cause.depth < one.depth
            or _TIMEOUT == one.category != cause.category
            or (not both and (cause.id == one.id or cause.rank >= one.rank))
        )
        return Claim(said=True, turns=turns)
    if (one.role, cause.role) in _LIKELY and (cause.role == "root" or not one.says(cause)):
        return Claim(said=False, turns=ROLES[cause.role] < ROLES[one.role])
    if one.hangs and cause.kills and cause.depth <= one.depth and not one.says(cause):
        return Claim(said=False, turns=True)
    return None
