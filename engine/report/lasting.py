"""How long what facts tell of has lasted: incidents, recoveries, verifications, and what recoveries waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.report import reading

if TYPE_CHECKING:
    from runbook.engine.journal.facts import Fact
    from runbook.engine.report.passes import IncidentReport


class Lasting:
    """Since when, by the ids of incidents and runs."""

    def __init__(self) -> None:
        self._opened: dict[str, float] = {}
        self._recovering: dict[str, float] = {}
        self._verifying: dict[str, float] = {}
        self._held: dict[str, list[tuple[float, tuple[str, ...]]]] = {}  # by run: from when on, for which hosts

    def opened(self, fact: Fact) -> None:
        """Take in that an incident opened, now or in an earlier pass."""
        self._opened[fact.incident] = fact.data.get("opened", fact.at)

    def ended(self, fact: Fact) -> None:
        """Take in that one ended, of whose beginning nothing may have been told."""
        if "opened" in fact.data:
            self._opened.setdefault(fact.incident, fact.data["opened"])

    def verifying(self, fact: Fact) -> None:
        """Take in that its verification begins."""
        self._verifying[fact.incident] = fact.at

    def recovering(self, fact: Fact) -> tuple[float, tuple[str, ...]]:
        """Take in that its recovery begins; return how long recoveries had to wait, and longest for which hosts."""
        self._recovering[fact.incident] = fact.at
        held = self._held.pop(fact.run, [])
        if not held:
            return 0.0, ()
        ends = [*(at for at, _ in held[1:]), fact.at]
        _, hosts = max((end - at, hosts) for (at, hosts), end in zip(held, ends, strict=True))
        return fact.at - held[0][0], hosts

    def held(self, fact: Fact) -> None:
        """Take in that recoveries wait for the looks of some hosts."""
        self._held.setdefault(fact.run, []).append((fact.at, reading.names(fact.data.get("hosts"))))

    def times(self, fact: Fact, known: IncidentReport) -> dict[str, float | None]:
        """Return how long the incident has lasted that a fact is about; `known` is how it stood before."""
        opened, recovering = self._opened.get(fact.incident), self._recovering.get(fact.incident)
        began = self._verifying.get(fact.incident) if known.state == "verifying" else None
        return {
            "duration": None if opened is None else fact.at - opened,
            "recovery": None if recovering is None else fact.at - recovering,
            "verified": known.verified if began is None else fact.at - began,
        }
