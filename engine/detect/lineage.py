"""Which sighting led to which: for each the nearest that can have caused it.

A cause can lie before its consequence in the same source, or within two minutes before it in another one; or shortly
after it, as the first rank to fall is not always the first to be heard, and a kernel's lines are written elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runbook.engine.detect.claims import ROLES, Kind, claim, depth
from runbook.engine.detect.vicinity import Vicinity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runbook.engine.detect.claims import Claim
    from runbook.engine.detect.sightings import Seen

    Bond = tuple[float, ...]  # how well a cause fits a consequence: the smallest fits best

SETTLE: Final = 10.0  # seconds in which what belongs together comes in, in whatever order
LATE: Final = 60.0  # the same for a cause that the catalogue knows: it may be told of once a minute
REACH: Final = 120.0  # seconds from a cause to its consequences
_LONG: Final = 3600.0  # seconds, in the same source, to what the catalogue says it brings about: timeouts take long
_LINES: Final = 1000  # the same without times, to what it is only likely to bring about
_LINES_AFTER: Final = 500  # lines of other ranks that may come between a consequence and its cause below it
_PER_LINE: Final = 0.01  # seconds: how lines compare with times


def parents(seen: Sequence[Seen]) -> list[int | None]:
    """Return for each sighting the place of what it follows from, at once or at length; None for a root."""
    signs = {one.key: one.sign for one in seen}
    numbers: dict[Kind, int] = {}
    known = {key: numbers.setdefault(Kind.of(sign, key[1]), len(numbers)) for key, sign in signs.items()}
    kinds = [known[one.key] for one in seen]
    claims = [
        {number: found for other, number in numbers.items() if (found := claim(other, kind)) is not None}
        for kind in numbers
    ]
    near = Vicinity(seen, kinds, REACH)
    above: list[int | None] = [None] * len(seen)
    last: dict[tuple[tuple[str, str, str], str], int] = {}
    for place, one in enumerate(seen):
        grounds = claims[kinds[place]]
        bonds = [
            (bond, candidate)
            for candidate in set(near.around(place, grounds))
            if (bond := _bond(seen[candidate], one, grounds[kinds[candidate]])) is not None
        ]
        before = last.get((one.key, one.source))
        candidates = [candidate for _, candidate in sorted(bonds)]
        if before is not None and above[before] is not None and _goes_on(seen[before], one):
            candidates.append(before)
        above[place] = next((top for each in candidates if (top := root(above, each)) != place), None)
        last[one.key, one.source] = place
    return above


def _bond(cause: Seen, one: Seen, claim: Claim) -> Bond | None:
    """Return how well a cause fits, None where it can't be."""
    if cause.job and one.job and cause.job != one.job:
        return None
    same = cause.source == one.source
    ours = claim.said and bool(one.job) and cause.job == one.job  # one job's: how long it takes does not matter
    lines = abs(cause.line - one.line) if same else 0
    seconds = None if cause.time is None or one.time is None else cause.time - one.time
    after = cause.line > one.line if same else seconds is not None and seconds > 0
    if after and not (claim.turns and _is_soon(cause, one, claim, seconds, lines)):
        return None
    if not (after or ours or _reaches(one, claim, seconds, lines, same=same)):
        return None
    away = lines * _PER_LINE if seconds is None else abs(seconds)
    far = not ours and (lines > _LINES if seconds is None else away > max(REACH, one.reach))
    stranger = 0.0 if same else 1.0 if seconds is not None or ours else 2.0
    fits = 2.0 if far else 0.0 if claim.said else 1.0
    return (fits, ROLES[cause.sign.role], float(after), float(stranger > 1), away, stranger, lines)


def _reaches(one: Seen, claim: Claim, seconds: float | None, lines: int, *, same: bool) -> bool:
    """Tell whether a cause that comes before what it brought about is near enough."""
    if seconds is not None:
        return -seconds <= max(_LONG if same and claim.said else REACH, one.reach)
    if not same and one.near and one.sign.role == "root":
        return False  # one directory is not enough to say that what can begin by itself did not
    return claim.said or (same and lines <= _LINES)


def _is_soon(cause: Seen, one: Seen, claim: Claim, seconds: float | None, lines: int) -> bool:
    """Tell whether a cause that comes after what it brought about does so soon enough."""
    if seconds is None:
        return lines <= _LINES_AFTER
    elsewhere = depth(cause.sign) < depth(one.sign) or one.sign.role == "confirmation"
    return seconds <= (REACH if elsewhere else LATE if claim.said else SETTLE)


def _goes_on(before: Seen, one: Seen) -> bool:
    """Tell whether it is the same trouble still: it came again and again since."""
    if before.time is None or one.time is None:
        return one.line - before.line <= _LINES * before.count
    return one.time - before.time <= REACH * before.count


def root(above: list[int | None], place: int) -> int:
    """Return the root that a sighting belongs to, as far as is known, and keep it where that was long to find."""
    passed: list[int] = []
    while (parent := above[place]) is not None:
        passed.append(place)
        place = parent
    for each in passed:
        above[each] = place
    return place
