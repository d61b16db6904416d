"""Components: how what operations depend on has answered them lately. Pure.

A member of a pool is a component by itself, called `POOL.MEMBER`.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.detect import breaker as breakers
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runbook.engine.detect.attempts import Attempt
    from runbook.engine.detect.breaker import Breaker
    from runbook.engine.model import Look, Record, Runbook
    from runbook.engine.people import Reset

WINDOW: Final = 20  # attempts, unless the component says otherwise
FEWEST: Final = 5  # attempts below which nothing can be said (DESIGN §3)
KEPT: Final = 100  # attempts at least, that a breaker is told from
LEVELS: Final = ("healthy", "degraded", "unhealthy", "critical")
BY_SEVERITY: Final = {"low": "degraded", "medium": "degraded", "high": "unhealthy", "critical": "critical"}
_LEVELS: Final = ((5.0, "healthy"), (20.0, "degraded"), (50.0, "unhealthy"))  # percent of errors below which it is so


@frozen
class Feed:
    """Whose attempts a component is told from."""

    operations: tuple[str, ...] = ()
    member: str = ""  # of their pool; empty = whichever it was


@frozen
class Health:
    """What the last attempts say of a component; None = there is none to say it."""

    attempts: int = 0
    error_rate: float | None = None  # 0 to 100
    latency_mean: float | None = None  # seconds, of those that succeeded
    level: str | None = None  # from five attempts on
    failures: int = 0  # in a row, at the end


def level(error_rate: float) -> str:
    """Return the health level of an error rate in percent.

    Example:
        >>> level(4.9), level(5.0), level(50.0)
        ('healthy', 'degraded', 'critical')
    """
    return next((name for below, name in _LEVELS if error_rate < below), "critical")


def worse(one: str | None, other: str | None) -> str | None:
    """Return the worse of two levels; None = nothing is known.

    Example:
        >>> worse("degraded", "critical"), worse("degraded", None)
        ('critical', 'degraded')
    """
    known = [each for each in (one, other) if each is not None]
    return max(known, key=LEVELS.index, default=None)


def of_member(pool: str, member: str) -> str:
    """Return what a pool's member is called as a component."""
    return f"{pool}.{member}"


def members(runbook: Runbook) -> dict[str, tuple[str, str]]:
    """Return each member of a pool by its component's name: the pool, the member."""
    return {
        of_member(pool.name, str(member["name"])): (pool.name, str(member["name"]))
        for pool in runbook.pools.values()
        for member in pool.members
    }


def fed(runbook: Runbook) -> dict[str, Feed]:
    """Return by each component's name what it is told from; declared ones that nothing feeds too."""
    found = {name: Feed() for name in runbook.components if name not in runbook.pools}
    for name, (pool, member) in members(runbook).items():
        found[name] = Feed(tuple(each.name for each in runbook.operations if each.pool == pool), member)
    for operation in runbook.operations:
        if operation.component is not None:
            earlier = found.get(operation.component, Feed())
            found[operation.component] = Feed((*earlier.operations, operation.name), earlier.member)
    return found


def settings(runbook: Runbook, name: str) -> Mapping[str, Any]:
    """Return what `components` says of one; a pool's entry holds for each of its members without one."""
    if name in runbook.components:
        return runbook.components[name]
    pool, _ = members(runbook).get(name, ("", ""))
    return runbook.components.get(pool, {})


def window(runbook: Runbook, name: str) -> int:
    """Return how many attempts a component's error rate is made of."""
    return int(settings(runbook, name).get("window") or WINDOW)


def declared(runbook: Runbook) -> dict[str, Any]:
    """Return what `status` and `stats` tell components from, without the runbook: as a run says when it begins."""
    return {
        name: {
            "operations": list(feed.operations),
            "member": feed.member,
            "window": window(runbook, name),
            "breaker": settings(runbook, name).get("breaker"),
        }
        for name, feed in fed(runbook).items()
    }


def kept(runbook: Runbook, name: str) -> int:
    """Return how many attempts are to be remembered of a component."""
    return max(KEPT, window(runbook, name))


def since(attempts: Iterable[Attempt], name: str, host: str, resets: Iterable[Reset]) -> tuple[Attempt, ...]:
    """Leave out the attempts before somebody called the component well again."""
    after = max((each.at for each in resets if each.component == name and each.host in ("", host)), default=-inf)
    return tuple(attempt for attempt in attempts if attempt.at > after)


def breaker(runbook: Runbook, name: str, attempts: Iterable[Attempt], now: float) -> Breaker | None:
    """Return how a component's breaker stands; None where it has none."""
    set_to = breakers.settings(settings(runbook, name).get("breaker"))
    return breakers.fold(attempts, set_to, now) if set_to is not None else None


def health(attempts: Sequence[Attempt]) -> Health:
    """Return what attempts, all that count, say of a component."""
    if not attempts:
        return Health()
    failures = sum(not attempt.ok for attempt in attempts)
    rate = 100.0 * failures / len(attempts)
    took = [attempt.seconds for attempt in attempts if attempt.ok]
    last = next((place for place, attempt in enumerate(reversed(attempts)) if attempt.ok), len(attempts))
    return Health(
        attempts=len(attempts),
        error_rate=rate,
        latency_mean=sum(took) / len(took) if took else None,
        level=level(rate) if len(attempts) >= FEWEST else None,
        failures=last,
    )


def look(
    runbook: Runbook,
    wanted: str | None,
    attempts: Mapping[tuple[str, str], Sequence[Attempt]],
    host: str,
    resets: Iterable[Reset] = (),
    ill: Mapping[str, str] | None = None,
) -> Look:
    """Return what is known of a component, or of all.

    Args:
        runbook: whose components they are.
        wanted: a component's name; none = all.
        attempts: by host and component, in the order in which they ended.
        host: the host whose operations are meant.
        resets: what people have set back.
        ill: the level that detectors' incidents give components.
    """
    from runbook.engine.model import Lacking, Seen  # which `runbook status` has no need of

    names = [wanted] if wanted is not None else list(fed(runbook))
    told = {
        name: health(since(attempts.get((host, name), ()), name, host, resets)[-window(runbook, name) :])
        for name in names
    }
    levels = {name: worse(seen.level, (ill or {}).get(name)) for name, seen in told.items()}
    records = [_record(name, seen, found) for name, seen in told.items() if (found := levels[name]) is not None]
    if records:
        return Seen(tuple(records))
    few = ", ".join(f"`{name}` has {seen.attempts}" for name, seen in told.items()) or "there is no component"
    return Lacking(f"it takes {FEWEST} attempts to say anything: {few}")


def _record(name: str, seen: Health, found: str) -> Record:
    from runbook.engine.model import Record

    fields = {
        "name": name,
        "error_rate": seen.error_rate,
        "attempts": seen.attempts,
        "latency_mean": seen.latency_mean,
        "level": found,
    }
    return Record(name, fields)
