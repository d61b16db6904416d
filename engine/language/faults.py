"""Detectors and operations of a document → the frozen types."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

from runbook.engine.language import steps, telling
from runbook.engine.language.structure import GUARD_KEYS
from runbook.engine.model import (
    Backoff,
    Count,
    Detector,
    ErrorMatch,
    Mode,
    Operation,
    Path,
    Retry,
    Rung,
    Severity,
    Strategy,
    Verify,
)
from runbook.modules import catalogue

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from runbook.engine.language.values import Reader
    from runbook.modules.logs.patterns import Pattern

CORRELATIONS = ("all", "any", "sequence")


@dataclasses.dataclass(frozen=True)
class Names:
    """What a document may refer to by name."""

    detectors: Collection[str]
    operations: Collection[str]
    recoveries: Mapping[str, tuple[Rung, ...]]
    pools: Collection[str]


def detector(reader: Reader, data: Any, path: Path, top: Mapping[str, Any], names: Names) -> Detector | None:
    """Return a detector with the runbook's defaults, or None where its structure was found wrong."""
    if not isinstance(data, dict) or not isinstance(data.get("name"), str):
        return None
    probe = _probe(data)
    if probe is None or reader.dead((*path, probe)):
        return None

    def at(key: str) -> tuple[Any, Path]:
        if key not in data and key in GUARD_KEYS:
            return reader.get(top, key, ()), (key,)
        return reader.get(data, key, path), (*path, key)

    def static(key: str) -> Any:
        return reader.static(*at(key))

    given = steps.parameters(reader, catalogue.probe(probe), data[probe], (*path, probe))
    subject = at("subject")
    hosts = reader.words(*at("hosts"))
    for wrong in (term[1:] for pattern in hosts for term in pattern.split(",") if term.startswith("~")):
        try:
            re.compile(wrong)
        except re.error as error:
            reader.add("RB011", f"`~{wrong}` is no regular expression: {error}", (*path, "hosts"))
    return Detector(
        name=data["name"],
        probe=probe,
        params=given,
        path=path,
        when=reader.condition(*at("when")),
        match=at("match")[0] or "any",
        subject=None if subject[0] is None else reader.subject(*subject),
        hold=reader.seconds(*at("for"), default=0.0),
        clear=reader.condition(*at("clear")),
        count=_count(reader, *at("count")),
        within=reader.seconds(*at("within")),
        severity=Severity(at("severity")[0] or "medium"),
        category=str(static("category") or "unknown"),
        component=static("component") if probe != "component" else None,
        mode=Mode(at("mode")[0]) if at("mode")[0] else None,
        max_age=reader.seconds(*at("max_age"), default=600.0),
        limit=reader.limit(*at("limit")),
        cooldown=reader.seconds(*at("cooldown"), default=0.0),
        strategy=Strategy(at("strategy")[0] or "sequence"),
        recover=_recover(reader, *at("recover"), names),
        verify=_verify(reader, *at("verify"), names, catalogue.probe(probe).settles),
        cured=steps.calls(reader, *at("cured")),
        unhealed=steps.calls(reader, *at("unhealed")),
        rollback=bool(at("rollback")[0]),
        retry=_retry_of(reader, probe, data, *at("retry")),
        error=_error(reader, given, path, names) if probe == "error" else None,
        members=_members(reader, data, path, probe, names) if probe in CORRELATIONS else (),
        hosts=",".join(hosts) or None,
        every=reader.schedule(*at("every"), default=None),
        tags=reader.words(*at("tags")),
        become=at("become")[0],
        become_user=static("become_user"),
        python=static("python"),
        tell=telling.tell(reader, *at("tell")),
    )


def _probe(data: Mapping[str, Any]) -> str | None:
    """Return a detector's probe. `component` is one where no other is; else it says whom the detector is about."""
    found = [key for key in data if key in catalogue.probe_names()]
    return next((key for key in found if key != "component"), found[0] if found else None)


def operation(reader: Reader, data: Any, path: Path, names: Names) -> Operation | None:
    """Return an operation, or None where its structure was found wrong."""
    step = steps.call(reader, data, path)
    if step is None:
        return None

    def at(key: str) -> tuple[Any, Path]:
        return reader.get(data, key, path), (*path, key)

    pool = reader.static(*at("pool"))
    if pool is not None:
        steps.name_of(reader, pool, names.pools, "pool", (*path, "pool"))
    return Operation(
        name=step.title,
        step=step,
        path=path,
        retry=retry(reader, *at("retry")) or Retry(attempts=1),
        component=reader.static(*at("component")),
        timeout=step.timeout,
        fallback=steps.calls(reader, *at("fallback")),
        rollback=bool(at("rollback")[0]),
        redundancy=reader.whole(*at("redundancy"), default=1),
        run_once=bool(at("run_once")[0]),
        pool=pool,
        prefer=reader.condition(*at("prefer")),
    )


def inputs(detectors: tuple[Detector, ...]) -> tuple[Detector, ...]:
    """Mark the detectors that are inputs: without `recover`, and named by a correlation or by a `verify`."""
    named = {name for found in detectors for name in (*found.members, found.verify.detector) if name != found.name}
    return tuple(dataclasses.replace(found, is_input=not found.recover and found.name in named) for found in detectors)


def retry(reader: Reader, data: Any, path: Path) -> Retry | None:
    """Return how an operation is tried again."""
    if not isinstance(data, dict):
        return None
    usual = Retry()

    def at(key: str) -> tuple[Any, Path]:
        return reader.get(data, key, path), (*path, key)

    within = reader.seconds(*at("within"))
    return Retry(
        strategy=Backoff(at("strategy")[0] or usual.strategy.value),
        attempts=reader.whole(*at("attempts"), default=usual.attempts if within is None else None),
        base=reader.seconds(*at("base"), default=usual.base),
        max=reader.seconds(*at("max"), default=usual.max),
        jitter=reader.share(*at("jitter")),
        within=within,
    )


def _retry_of(reader: Reader, probe: str, data: Mapping[str, Any], value: Any, path: Path) -> Any:
    if probe == "error":
        return False if value is False else retry(reader, value, path)
    if "retry" in data:
        hint = "write it at the operation, or at a detector with `error:`"
        reader.add("RB006", "`retry` is about the attempts of operations", path, hint, key=True)
    return None


def _count(reader: Reader, value: Any, path: Path) -> Count | None:
    limit = reader.limit(value, path)
    if limit is None:
        return None
    if limit.per is None:
        reader.add("RB011", f"'{value}' is not a count: it names no time", path, "write it as 2 per 24h")
        return None
    return Count(limit.count, limit.per)


def _recover(reader: Reader, value: Any, path: Path, names: Names) -> tuple[Rung, ...]:
    if isinstance(value, str):
        wanted = reader.static(value, path)
        if wanted is not None and steps.name_of(reader, wanted, names.recoveries, "recovery", path):
            return names.recoveries[wanted]
        return ()
    return steps.rungs(reader, value, path)


def _verify(reader: Reader, value: Any, path: Path, names: Names, settles: float) -> Verify:
    if not isinstance(value, dict):
        return Verify(within=settles)

    def at(key: str) -> tuple[Any, Path]:
        return reader.get(value, key, path), (*path, key)

    hold = reader.seconds(*at("for"), default=0.0)
    within = reader.seconds(*at("within"), default=max(settles, 2 * hold))
    if within < 2 * hold:
        reader.add("RB011", "`within` must be at least twice `for`", (*path, "within"), f"write {2 * hold:g}s or more")
    wanted = reader.static(*at("detector"))
    if wanted is not None:
        steps.name_of(reader, wanted, names.detectors, "detector", (*path, "detector"))
    return Verify(
        after=reader.seconds(*at("after"), default=0.0),
        every=reader.seconds(*at("every"), default=2.0),
        hold=hold,
        within=within,
        detector=wanted,
        given=True,
    )


def _members(reader: Reader, data: Mapping[str, Any], path: Path, probe: str, names: Names) -> tuple[str, ...]:
    value, at = data[probe], (*path, probe)
    if isinstance(value, dict):
        value, at = value.get("members"), (*at, "members")
    found = []
    for number, item in enumerate(value if isinstance(value, list) else [value]):
        where = (*at, number) if isinstance(value, list) else at
        name = reader.static(item, where)
        if name is not None and steps.name_of(reader, name, names.detectors, "detector", where):
            if name == data["name"]:
                reader.add("RB012", f"`{name}` can't be a member of itself", where, "name other detectors")
            found.append(str(name))
    return tuple(found)


def _error(reader: Reader, given: Mapping[str, Any], path: Path, names: Names) -> ErrorMatch:
    at = (*path, "error")

    def listed(key: str) -> list[Any]:
        value = given.get(key, ())
        return list(value) if isinstance(value, list | tuple) else [value]

    during = []
    for item in listed("during"):
        name = item
        if hasattr(item, "evaluate"):
            name = reader.static(item.text, (*at, "during"))
        if name is not None and steps.name_of(reader, name, names.operations, "operation", (*at, "during")):
            during.append(str(name))
    patterns = [reader.static(item.text, at) if hasattr(item, "evaluate") else item for item in listed("patterns")]
    codes = [reader.static(item.text, at) if hasattr(item, "evaluate") else item for item in listed("exit_codes")]
    return ErrorMatch(
        patterns=tuple(str(pattern) for pattern in patterns if pattern is not None),
        signatures=_signatures(given),
        exit_codes=tuple(int(code) for code in codes if isinstance(code, int | float)),
        during=tuple(during),
    )


def _signatures(given: Mapping[str, Any]) -> tuple[Pattern, ...] | None:
    if "signatures" not in given:
        return None
    from runbook.engine.language import chosen

    return chosen.patterns(given["signatures"])
