"""What hosts wrote, and secrets, followed by name: statically, so that no filter and no var can launder them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from runbook.engine.errors import RenderError
from runbook.engine.language.kinds import is_template
from runbook.engine.model import Runbook

if TYPE_CHECKING:
    from runbook.engine.model import Detector, StepCall

HOST_TEXT: Final = frozenset({"incident", "error"})  # beside the registered names and the fields of records
_REGISTERED: Final = "_registered"
SECRETS: Final = frozenset({"secrets"})
ABOUT_HOST: Final = frozenset(
    {"inventory_hostname", "inventory_hostname_short", "group_names", "groups", "inventory_dir", "inventory_file"}
)  # vars that every host has, as in Ansible
MEMBERS: Final = frozenset({"member", "from", "to"})  # of a pool: what their values are made of, they are


class Refused(RenderError):
    """Host text or a secret would stand where it could do harm; nothing was done."""


class Knowing(Protocol):
    """A scope: a runbook, and the names that are host text at the moment."""

    @property
    def runbook(self) -> Runbook:
        """Whose vars are followed."""

    @property
    def host_names(self) -> frozenset[str]:
        """What stands for host text."""


def mentioned(given: Any) -> frozenset[str]:
    """Return the variables that the templates of a value mention, however deep in lists and mappings they stand."""
    if is_template(given):
        names: frozenset[str] = given.names
        return names
    if isinstance(given, Mapping):
        return frozenset().union(*map(mentioned, given.values()))
    if isinstance(given, (list, tuple)):
        return frozenset().union(*map(mentioned, given))
    return frozenset()


def reached(names: Iterable[str], runbook: Runbook) -> frozenset[str]:
    """Return names with all that they lead to through the templates of vars and of pools' members."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(mentioned(runbook.vars.get(name)))
            if name in MEMBERS and name not in runbook.vars:
                waiting.extend(frozenset().union(*(mentioned(pool.members) for pool in runbook.pools.values())))
    return frozenset(found)


def registered(runbook: Runbook) -> frozenset[str]:
    """Return the names under which a runbook's steps register their results."""
    kept = vars(runbook)  # asked at every look, and never another answer
    if _REGISTERED not in kept:
        kept[_REGISTERED] = frozenset(call.register for call in calls(runbook) if call.register)
    found: frozenset[str] = kept[_REGISTERED]
    return found


def host_text(names: Iterable[str], known: Knowing | Runbook, fields: Iterable[str] = ()) -> bool:
    """Tell, by name, whether an expression touches what a host wrote: an incident, a record, a result, an error.

    Args:
        names: the expression's names.
        known: the scope, or the runbook where nothing is known yet (lint).
        fields: the names of record fields that the expression sees beside it.
    """
    hosts = HOST_TEXT | registered(known) if isinstance(known, Runbook) else known.host_names
    return not (hosts | frozenset(fields)).isdisjoint(reached(names, _runbook(known)))


def secret(names: Iterable[str], known: Knowing | Runbook) -> bool:
    """Tell, by name, whether an expression touches a secret."""
    return not SECRETS.isdisjoint(reached(names, _runbook(known)))


def _runbook(known: Knowing | Runbook) -> Runbook:
    return known if isinstance(known, Runbook) else known.runbook


def calls(runbook: Runbook) -> Iterable[StepCall]:
    """Yield every call of a step in a runbook, wherever it stands."""
    for operation in runbook.operations:
        yield operation.step
        yield from operation.fallback
    for detector in runbook.detectors:
        yield from _detector_calls(detector)
    for rungs in runbook.recoveries.values():
        for rung in rungs:
            yield from rung.steps
    for pool in runbook.pools.values():
        yield from pool.switch
    yield from runbook.finally_


def _detector_calls(detector: Detector) -> Iterable[StepCall]:
    for rung in detector.recover:
        yield from rung.steps
    yield from detector.cured
    yield from detector.unhealed
