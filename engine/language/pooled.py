"""Pools and components of a document → the frozen types, and whether what names them is right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runbook.engine.language import steps
from runbook.engine.model import Path, Pool

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runbook.engine.language.values import Reader
    from runbook.engine.model import Runbook, StepCall

HEALTH: Final = {  # what templates and `prefer` read of a member, beside its own keys
    "error_rate": "the share of its last attempts that failed, 0 to 100",
    "latency_mean": "how long those took that succeeded, in seconds",
    "attempts": "how many attempts that is of",
    "level": "healthy, degraded, unhealthy or critical; unknown below five attempts",
    "failures": "how many attempts have failed in a row by now",
    "breaker": "closed, open or half-open",
    "active": "failover has switched to it; before any, that is the first member",
}


def pool(reader: Reader, name: str, data: Any, path: Path) -> Pool:
    """Return a pool; the names of its members are known now, all else is filled in when it is used."""
    found: list[Mapping[str, Any]] = []
    lines: dict[str, int] = {}
    for item, at in reader.items(reader.get(data, "members", path), (*path, "members")):
        if reader.dead(at):
            continue
        called = reader.static(item["name"], (*at, "name"))
        if called is None:
            continue
        if called in lines:
            message = f"a second member is called `{called}`, the first stands in line {lines[called]}"
            reader.add("RB015", message, (*at, "name"), "give each a name of its own")
            continue
        lines[called] = reader.source.span((*at, "name")).line
        for key in sorted(HEALTH.keys() & item.keys()):
            message = f"`{key}` is what the engine knows of a member: {HEALTH[key]}"
            reader.add("RB006", message, (*at, key), f"call it my_{key}", key=True)
        found.append({**reader.template(item, at), "name": called})
    return Pool(name, tuple(found), steps.calls(reader, reader.get(data, "switch", path), (*path, "switch")), path)


def component(reader: Reader, data: Any, path: Path) -> Mapping[str, Any]:
    """Return what a component's entry says: `window`, and the numbers of its `breaker`."""
    made: dict[str, Any] = {}
    at = (*path, "breaker")
    given = reader.get(data, "breaker", path)
    if isinstance(given, dict):
        made["breaker"] = {
            key: (reader.seconds if key == "timeout" else reader.whole)(item, where, default=None)
            for key, item, where in reader.entries(given, at)
        }
    if "window" in data:
        made["window"] = reader.whole(reader.get(data, "window", path), (*path, "window"), default=20)
    return made


def members(pools: Mapping[str, Pool]) -> set[str]:
    """Return what the members of pools are called as components: POOL.MEMBER."""
    return {f"{each.name}.{member['name']}" for each in pools.values() for member in each.members}


def failovers(reader: Reader, runbook: Runbook) -> None:
    """Report each `failover` of this file whose pool or member is not there, and those that would go round for ever."""
    for call in _calls(reader, runbook):
        wanted, path = call.params.get("pool"), (*call.path, call.module)
        if call.path[:1] == ("pools",):
            reader.add("RB011", "a pool's `switch` can't hold a `failover`", path, "switch to one member at a time")
        given = isinstance(reader.source.data, dict) and _within(reader.source.data, path)
        at = (*path, "pool") if isinstance(given, dict) else path
        if not isinstance(wanted, str) or not steps.name_of(reader, wanted, runbook.pools, "pool", at):
            continue
        names = [str(member["name"]) for member in runbook.pools[wanted].members]
        to = call.params.get("to")
        if isinstance(to, str):
            steps.name_of(reader, to, names, f"member of `{wanted}`", (*path, "to"))
        elif to is None and len(names) == 1:
            reader.add("RB011", f"`{wanted}` has one member: there is nothing to switch to", at, "add another member")


def _calls(reader: Reader, runbook: Runbook) -> Iterator[StepCall]:
    """Yield the `failover` steps of our own file, each once."""
    own = [detector for detector in runbook.detectors if not detector.origin]
    here = reader.source.data.get("recoveries") if isinstance(reader.source.data, dict) else None
    pools = reader.source.data.get("pools") if isinstance(reader.source.data, dict) else None
    listed = [
        *(rung.steps for detector in own for rung in detector.recover),
        *(rung.steps for name, rungs in runbook.recoveries.items() if name in (here or ()) for rung in rungs),
        *(part for detector in own for part in (detector.cured, detector.unhealed)),
        *((operation.step, *operation.fallback) for operation in runbook.operations),
        *(each.switch for name, each in runbook.pools.items() if name in (pools or ())),
        runbook.finally_,
    ]
    found = {call.path: call for calls in listed for call in calls if call.module == "failover"}
    yield from found.values()


def _within(value: Any, path: Path) -> Any:
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return None
    return value
