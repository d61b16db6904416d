"""The made-up world of a case: what looks see and how steps end, as it changes with time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runbook.engine.language.case_model import Ending, Sight
from runbook.engine.model import Lacking, NotSeen, Outcome, Record, Seen, StepStatus
from runbook.modules import catalogue

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runbook.engine.language.case_model import Happening
    from runbook.engine.model import Detector, Look, Order
    from runbook.engine.rehearse.logs import Logs

WELL = Ending()


class World:
    """What is so now, on each host."""

    def __init__(self, logs: Logs, well: Ending = WELL) -> None:
        self._logs = logs
        self._well = well  # how a step ends of which nothing is said
        self._sights: dict[tuple[str, str], Sight] = {}
        self._events: dict[tuple[str, str], list[Mapping[str, Any]]] = {}  # that no look has seen yet
        self._steps: dict[tuple[str, str], Ending] = {}
        self._operations: dict[tuple[str, str], Ending] = {}

    def happen(self, happening: Happening, hosts: Iterable[str], detectors: Mapping[str, Detector]) -> None:
        """Let something happen."""
        for host in happening.hosts or hosts:
            for name, sight in happening.sees.items():
                self._see(host, name, sight, detectors.get(name))
            for name, ending in happening.steps.items():
                self._steps[(host, name)] = ending
            for name, ending in happening.operations.items():
                self._operations[(host, name)] = ending

    def _see(self, host: str, name: str, sight: Sight, detector: Detector | None) -> None:
        key = (host, name)
        if detector is None or not catalogue.probe(detector.probe).events or sight.kind in {"unknown", "absent"}:
            self._sights[key] = sight
            return
        self._sights.pop(key, None)
        if sight.kind == "lines":
            self._logs.write(host, name, sight.path or _first_path(detector), sight.lines)
        self._events.setdefault(key, []).extend(sight.records)

    def look(self, host: str, detector: Detector, params: Mapping[str, Any], now: float) -> Look:
        """Answer a look."""
        key = (host, detector.name)
        sight = self._sights.get(key)
        if sight is not None:
            return answer(sight, detector.probe)
        if not catalogue.probe(detector.probe).events:
            return Seen()
        told = tuple(record(fields, detector.probe, now) for fields in self._events.pop(key, ()))
        seen = self._logs.look(host, detector.name, params, now)
        return replace(seen, records=(*told, *seen.records)) if isinstance(seen, Seen) else seen

    def waited(self, host: str, title: str, probe: str) -> Look | None:
        """Answer a step that waits for a probe; None where the case says nothing about it."""
        sight = self._sights.get((host, title))
        return None if sight is None else answer(sight, probe)

    def end(self, host: str, order: Order, operation: str) -> tuple[Outcome, float]:
        """Return how a step ends, and after how many seconds."""
        place = (host, operation) if operation and (host, operation) in self._operations else None
        endings = self._operations if place else self._steps
        key = place or next((each for each in ((host, order.name), (host, order.module)) if each in endings), None)
        ending = endings[key] if key is not None else self._well
        if key is not None and ending.times is not None:
            endings[key] = replace(ending, times=ending.times - 1) if ending.times > 1 else self._well
        ok = ending.fails is None
        outcome = Outcome(
            StepStatus.DONE if ok else StepStatus.FAILED,
            changed=ok and ending.changed,
            error=ending.fails or "",
            output=ending.output,
            exit_code=0 if ok and ending.exit_code is None else ending.exit_code,
            data=ending.data,
            duration=ending.takes,
        )
        return outcome, ending.takes


def answer(sight: Sight, probe: str, now: float = 0.0) -> Look:
    """Return a sight as a look."""
    if sight.kind == "unknown":
        return NotSeen(sight.reason)
    if sight.kind == "absent":
        return Lacking(sight.reason)
    return Seen(tuple(record(fields, probe, now) for fields in sight.records))


def record(given: Mapping[str, Any], probe: str, now: float) -> Record:
    """Return a record with the fields that the case gives; of the others nothing is known."""
    from runbook.engine.language import params
    from runbook.engine.model import UNKNOWN

    cls = catalogue.probe(probe)
    fields: dict[str, Any] = dict.fromkeys(params.record_fields(cls), None if cls.events else UNKNOWN)
    if cls.heard:
        fields["status"] = "firing"  # it is heard of because it is so
    fields |= {name: value for name, value in given.items() if name != "subject"}
    if cls.events and "time" in fields and fields["time"] is None:
        fields["time"] = now
    named = given.get("subject", given.get(cls.subject) if cls.subject else None)
    return Record("" if named is None else str(named), fields)


def _first_path(detector: Detector) -> str:
    paths = detector.params.get("paths") or ()
    first = paths if isinstance(paths, str) else next(iter(paths), None) if isinstance(paths, (list, tuple)) else None
    if first is None:
        return "kernel" if detector.params.get("kernel") else "journal"
    return getattr(first, "text", None) or str(first)
