"""An incident as the journal keeps it: plain data, and back."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from runbook.engine.model import IncidentState
from runbook.engine.recover.state import Incident, Lane, Phase

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMES = frozenset(item.name for item in dataclasses.fields(Incident))
_SAID = frozenset(  # even where it is false or empty
    item.name for item in dataclasses.fields(Incident) if item.default and item.default_factory is dataclasses.MISSING
)
_LISTS = frozenset({"errors", "answers", "asked", "sights", "folded"})  # JSON gives them back as lists


def plain(incident: Incident) -> dict[str, Any]:
    """Return an incident as what JSON can hold; what is empty, as most of it is, and is so by default, is left out."""
    data = {name: value for name in _NAMES if (value := getattr(incident, name)) or name in _SAID}
    if incident.lanes:
        items = dataclasses.fields(Lane)
        data["lanes"] = [{item.name: getattr(lane, item.name) for item in items} for lane in incident.lanes]
    return {**data, "state": incident.state.value, "phase": incident.phase.value}


def restored(data: Mapping[str, Any]) -> Incident:
    """Return the incident that `plain` made data of; what an older version did not know has its default."""
    values: dict[str, Any] = {name: value for name, value in data.items() if name in _NAMES}
    values |= {name: tuple(values[name]) for name in _LISTS.intersection(values)}
    values |= {"state": IncidentState(data["state"]), "phase": Phase(data["phase"])}
    values["done"] = tuple((intent, module, title) for intent, module, title in data.get("done", ()))
    values["lanes"] = tuple(Lane(**lane) for lane in data.get("lanes", ()))
    return Incident(**values)
