"""The members of a pool, and which of them comes first: the healthiest, or what `prefer` says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runbook.engine.detect import components
from runbook.engine.detect.breaker import Position
from runbook.engine.errors import RenderError
from runbook.engine.language import scope as scopes
from runbook.engine.language.names import members as typed
from runbook.engine.model import UNKNOWN
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runbook.engine.detect.attempts import Attempt
    from runbook.engine.detect.breaker import Breaker
    from runbook.engine.detect.components import Health
    from runbook.engine.language.render import Scope
    from runbook.engine.model import Expression, Pool
    from runbook.engine.recover.state import Turn


@frozen
class Member:
    """A member as templates read it, with its health."""

    name: str
    component: str
    values: Mapping[str, Any]  # its own keys, filled in
    health: Health
    breaker: Breaker | None
    level: str | None  # by its attempts, or by what detectors see of it
    active: bool  # what `failover` has switched to; before any, the first

    @property
    def open(self) -> bool:
        """Its breaker lets nothing through."""
        return self.breaker is not None and self.breaker.position is Position.OPEN

    @property
    def seen(self) -> dict[str, Any]:
        """What `{{ member.… }}` and `prefer` read."""
        health = {
            "error_rate": _known(self.health.error_rate),
            "latency_mean": _known(self.health.latency_mean),
            "attempts": self.health.attempts,
            "level": _known(self.level),
            "failures": self.health.failures,
            "breaker": self.breaker.position.value if self.breaker is not None else Position.CLOSED.value,
            "active": self.active,
        }
        return {**typed("component", health), **self.values}


def attempts(turn: Turn, host: str, component: str) -> tuple[Attempt, ...]:
    """Return the attempts that a component is told from, since a person set it back."""
    known = turn.read("attempts").get((host, component), ())
    return components.since(known, component, host, turn.people.resets)


def worst(turn: Turn, host: str) -> dict[str, str]:
    """Return the level that the incidents of detectors with `component:` give components, by their severity."""
    found: dict[str, str] = {}
    for incident in turn.read("incidents").values():
        name = turn.plan.detector(incident.detector).component if incident.host == host else None
        if name is not None:
            told = components.worse(found.get(name), components.BY_SEVERITY[incident.severity])
            found[name] = told or found[name]
    return found


def members(turn: Turn, host: str, pool: Pool) -> list[Member]:
    """Return a pool's members in the order of the file.

    Raises:
        RenderError: a value of one can't be filled in.
    """
    scope = turn.plan.scopes[host]
    ill = worst(turn, host)
    names = [str(given["name"]) for given in pool.members]
    active = turn.read("active").get((host, pool.name))
    active = active if active in names else names[0]  # the runbook may have lost it since
    found = []
    for given in pool.members:
        name = str(given["name"])
        component = components.of_member(pool.name, name)
        tried = attempts(turn, host, component)
        health = components.health(tried[-components.window(turn.plan.runbook, component) :])
        found.append(
            Member(
                name,
                component,
                {key: scopes.value(value, scope) for key, value in given.items()},
                health,
                components.breaker(turn.plan.runbook, component, tried, turn.now),
                components.worse(health.level, ill.get(component)),
                name == active,
            )
        )
    return found


def ordered(found: list[Member], scope: Scope, prefer: Expression | None = None) -> list[Member]:
    """Return members in the order in which they are tried.

    Those whose breaker is open come last, then `prefer` counts, then the level of their health; of equals, those whose
    last attempt did not fail, what `failover` has switched to, and at last the order of the file.

    Raises:
        RenderError: `prefer` gives neither true or false, nor a number.
    """

    def key(member: Member) -> tuple[Any, ...]:
        level = components.LEVELS.index(member.level) if member.level is not None else 0
        liked = _liking(prefer, scope, member) if prefer is not None else (0, 0.0)
        return (member.open, liked, level, member.health.failures > 0, not member.active)

    return sorted(found, key=key)


def _liking(prefer: Expression, scope: Scope, member: Member) -> tuple[int, float]:
    """Return a place by `prefer`: true before unknown before false, or the greatest number first."""
    value = prefer.evaluate(scope.bind(member=member.seen))
    if value is UNKNOWN or value is None:
        return (1, 0.0)
    if isinstance(value, bool):
        return (0 if value else 2, 0.0)
    if isinstance(value, int | float):
        return (0, -float(value))
    mend = "write a condition, such as member.level == 'healthy', or a number, such as member.weight"
    raise RenderError(f"`prefer: {prefer.text}` gives {value!r}", mend=mend)


def _known(value: Any) -> Any:
    return UNKNOWN if value is None else value
