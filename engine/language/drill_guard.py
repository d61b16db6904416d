"""What of a runbook would reach out of a drill's place: trees that it may write, services that it names."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from runbook.engine.errors import RenderError
from runbook.engine.language import cases, render
from runbook.engine.language.drill_words import OWN, SCRATCH

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runbook.engine.model import Runbook

_TEMPORARY: Final = f"{OWN}/tmp"  # noqa: S108 -- where `run.scratch` is made, in the place
_PIDFILE: Final = "a pidfile, such as `{{ daemons.NAME.pidfile }}`"
_MENDS: Final = {
    "supervisor": "its `config`, of a supervisord that the drill starts",
    "runit": "the service's directory, of a runsvdir that the drill starts",
}


class Reach(NamedTuple):
    """Something that lies outside."""

    what: str
    mend: str


def reaches_out(runbook: Runbook, secrets: Mapping[str, str]) -> Iterator[Reach]:
    """Yield what of a runbook, with a drill's variables, lies outside of the place."""
    scope = render.Scope(runbook, run={"id": "drill", "scratch": f"{_TEMPORARY}/runbook-drill"}, secrets=secrets)
    mend = f"set the variable that it is made of to something in {{{{ scratch }}}} ({SCRATCH})"
    try:
        for tree in render.writable(scope):
            if not _inside(tree):
                yield Reach(f"the runbook may write in {tree}, which lies outside the scratch place", mend)
    except RenderError as error:
        yield Reach(f"{error.where}: {error.what}" if error.where else error.what, error.mend)
    for where, params in _parameters(runbook):
        unit = _known(params.get("unit"), scope)
        manager = _known(params.get("manager"), scope)
        if not isinstance(unit, str) or not unit or _inside(unit) or _brought(manager, params, scope):
            continue
        what = "lies outside the scratch place" if unit.startswith("/") else "would be one of this machine's services"
        yield Reach(f"the unit `{unit}` of `{where}` {what}", f"{mend}: {_MENDS.get(manager, _PIDFILE)}")


def _brought(manager: Any, params: Mapping[str, Any], scope: render.Scope) -> bool:
    """Tell whether a unit is one of a supervisor that the drill starts: its configuration lies in the place."""
    config = _known(params.get("config"), scope)
    return manager == "supervisor" and isinstance(config, str) and _inside(config)


def _inside(path: str) -> bool:
    path = posixpath.normpath(path)
    return any(path == root or path.startswith(f"{root}/") for root in (SCRATCH, _TEMPORARY))


def _parameters(runbook: Runbook) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for detector in runbook.detectors:
        yield detector.name, detector.params
    for call in cases.calls(runbook):
        yield call.title, call.params


def _known(value: Any, scope: render.Scope) -> Any:
    """Return a value as far as it is known before anything was seen."""
    try:
        return render.value(value, scope)
    except (RenderError, KeyError):
        return None
