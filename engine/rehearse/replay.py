"""A runbook over the past: old logs, and what the journal says held when. Nothing is looked at or done anew.

What a step would have changed can't be known: steps are taken to end well, what held goes on to hold as it did, and a
cure that the past can't tell of ends `unverified`.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook.engine.errors import RenderError
from runbook.engine.fleet import messages
from runbook.engine.language import render
from runbook.engine.language.case_model import Case, Happening, Sight
from runbook.engine.model import Seen
from runbook.engine.rehearse.play import LONGEST, Play, Played
from runbook.modules import catalogue, look

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runbook.engine.journal.ask.periods import Period
    from runbook.engine.model import Detector, Runbook
    from runbook.engine.recover.state import Incident

_SOURCES = ("paths", "journal", "kernel", "docker", "from")
_LOOKS = 10_000  # reads of one log that are made at most
HOST = "localhost"


@dataclass
class Fired:
    """What a detector would have done."""

    detector: str
    incidents: int = 0
    first: float | None = None
    last: float | None = None
    recoveries: int = 0
    steps: Counter[str] = field(default_factory=Counter)
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)  # by guard and reason
    states: Counter[str] = field(default_factory=Counter)


@dataclass
class Replayed:
    """What a runbook would have done in the past."""

    played: Played | None
    begin: float
    end: float
    fired: list[Fired]
    notified: int
    events: int  # lines that matched
    periods: int  # stretches of time that the journal told of
    blind: list[tuple[str, str]]  # detectors of which the past says nothing, and why


class Past:
    """What happened, gathered from logs and from the journal. Times in seconds since the epoch."""

    def __init__(self, runbook: Runbook, secrets: Mapping[str, str], since: float, until: float) -> None:
        self.runbook = runbook
        self.secrets = secrets
        self.since = since
        self.until = until
        self.happenings: list[tuple[float, str, str, Sight]] = []  # when, host, detector, what is seen from then on
        self.told: set[str] = set()  # detectors of which the past tells
        self.blind: dict[str, str] = {}
        self.events = 0
        self.periods = 0

    def read(self, logs: Sequence[str], journalled: Iterable[Period]) -> None:
        """Take in old logs, where some are named, and what the journal has."""
        for detector in self.runbook.detectors:
            if detector.probe == "log" and logs:
                self._read(detector, logs)
        self._journalled(journalled)
        for detector in self.runbook.detectors:
            engine = catalogue.probe(detector.probe).engine
            if not engine and detector.name not in self.told and detector.name not in self.blind:
                self.blind[detector.name] = "the journal never saw it fire"
                if detector.probe == "log" and not logs:
                    self.blind[detector.name] += "; name old logs by --log"

    def _read(self, detector: Detector, logs: Sequence[str]) -> None:
        """Read logs as the detector's own probe would have, from their beginnings."""
        scope = render.Scope(self.runbook, host=HOST, run={"id": "replay", "scratch": "/nowhere"}, secrets=self.secrets)
        try:
            params = render.probe("log", detector.params, scope, path=detector.path)
        except RenderError as error:
            self.blind[detector.name] = error.what
            return
        kept = {name: value for name, value in params.items() if name not in _SOURCES}
        kept |= {"paths": [str(Path(log).resolve()) for log in logs], "from": "start"}
        state: Mapping[str, Any] = {}
        for _ in range(_LOOKS):
            answer = look.look({"id": detector.name, "probe": "log", "params": kept, "state": state})
            found = messages.looks({"looks": [answer]})[detector.name]
            if not isinstance(found, Seen):
                self.blind[detector.name] = found.reason
                return
            state = found.state or state
            self._take(detector, found)
            if found.state.get("trouble"):
                self.blind[detector.name] = str(found.state["trouble"])
            if not found.state.get("behind"):
                break
        self.told.add(detector.name)

    def _take(self, detector: Detector, seen: Seen) -> None:
        """Take in lines; one without a time was written when the line before it was, or when its file was."""
        last: float | None = None
        for record in seen.records:
            moment = record.fields.get("time")
            if not isinstance(moment, (int, float)):
                moment = last if last is not None else _written(str(record.fields.get("path")), self.until)
            last = float(moment)
            if self.since <= last <= self.until:
                fields = {**record.fields, "time": last}
                self.happenings.append((last, HOST, detector.name, Sight("records", (fields,))))
                self.events += 1

    def _journalled(self, journalled: Iterable[Period]) -> None:
        standing: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = defaultdict(dict)
        changes: list[tuple[float, int, Period]] = []
        for period in journalled:
            detector = self.runbook.detector(period.detector)
            if (
                detector is None
                or period.detector in self.told
                or detector.probe in {"all", "any", "sequence", "error"}
            ):
                continue
            self.periods += 1
            changes.append((max(period.since, self.since), 1, period))
            if period.until is not None and not catalogue.probe(detector.probe).events:
                changes.append((period.until, 0, period))
        for at, begins, period in sorted(changes, key=lambda change: (change[0], change[1])):
            self.told.add(period.detector)
            key = (period.host, period.detector)
            detector = self.runbook.detector(period.detector)
            assert detector is not None
            if catalogue.probe(detector.probe).events:
                fields = {**period.fields, "time": at}
                self.happenings.append((at, period.host, period.detector, Sight("records", (fields,))))
                continue
            if begins:
                standing[key][period.subject] = {**period.fields, "subject": period.subject}
            elif period.after:
                standing[key][period.subject] = {**period.after, "subject": period.subject}
            else:
                standing[key].pop(period.subject, None)
            self.happenings.append((at, *key, Sight("records", tuple(standing[key].values()))))


def replay(past: Past, settings: Mapping[str, Any]) -> Replayed:
    """Let a runbook live through the past."""
    happenings = sorted(past.happenings, key=lambda each: each[0])
    blind = sorted(past.blind.items())
    if not happenings:
        return Replayed(None, past.since, past.until, [], 0, past.events, past.periods, blind)
    every = past.runbook.every if isinstance(past.runbook.every, float) else 60.0
    begin = happenings[0][0] - every
    known = max(
        happenings[-1][0] + every, min(past.until, happenings[-1][0] + LONGEST)
    )  # of what is to come, nothing is
    case = Case(
        "replay",
        1,
        tuple(sorted({host for _, host, _, _ in happenings})),
        every,
        known - begin,
        {},
        {**settings, "operations": False},
        tuple(
            Happening(at - begin, None, (host,), {name: sight}, {}, {}, None) for at, host, name, sight in happenings
        ),
        {},
    )
    with tempfile.TemporaryDirectory(prefix="runbook-replay-") as folder:
        played = Play(past.runbook, case, past.secrets, Path(folder), begin, prompt=True).go()
    fired = [_fired(detector.name, played, begin) for detector in past.runbook.detectors]
    notified = len(played.of("notified"))
    return Replayed(
        played,
        begin,
        begin + played.lasted,
        [each for each in fired if each.incidents],
        notified,
        past.events,
        past.periods,
        blind,
    )


def _fired(name: str, played: Played, begin: float) -> Fired:
    found = Fired(name)
    mine: list[Incident] = [each for each in played.incidents if each.detector == name]
    found.incidents = len(mine)
    if mine:
        found.first, found.last = min(each.opened for each in mine), max(each.opened for each in mine)
    for each in mine:
        found.states[each.state.value] += 1
    for told in played.told:
        if told.detector != name:
            continue
        if told.kind == "recovery.begun":
            found.recoveries += 1
        elif told.kind == "step.begun":
            found.steps[str(told.data.get("title") or told.data.get("module"))] += 1
        elif told.kind == "guard.refused":
            found.refused[(str(told.data.get("guard")), _without_figures(str(told.data.get("reason"))))] += 1
    del begin
    return found


def _without_figures(reason: str) -> str:
    """Return what reasons of one kind have in common: without the time that is left."""
    return reason.partition("; the next may")[0].partition(" for another")[0]


def _written(path: str, otherwise: float) -> float:
    try:
        return min(Path(path).stat().st_mtime, otherwise)
    except OSError:
        return min(time.time(), otherwise)
