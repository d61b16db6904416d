"""Whether a daemon that runs also answers: a probe of the runbook's is asked until it finds nothing wrong."""

from typing import Any, Callable, Mapping, Tuple

from runbook.modules import catalogue, values
from runbook.modules.actions import Until
from runbook.modules.declare import Absent, Invalid, Probe, Unclear
from runbook.modules.host import Host

_WELL: Mapping[str, Tuple[Callable[[Any], bool], Callable[[Any], str]]] = {  # when it is, and why it is not
    "http": (lambda seen: seen.ok, lambda seen: seen.error or f"status {seen.status}"),
    "port": (lambda seen: seen.open, lambda seen: seen.error),
    "command": (
        lambda seen: seen.exit_code == 0,
        lambda seen: f"exit code {seen.exit_code}, {seen.stderr.strip()[:200]}",
    ),
    "process": (lambda seen: seen.count > 0, lambda _: "there is none"),
    "file": (lambda seen: seen.exists and seen.valid is not False, lambda seen: seen.reason or "it is not there"),
    "daemon": (lambda seen: seen.alive, lambda seen: seen.state),
}


def check(call: Mapping[str, Any]) -> None:
    """Refuse a probe of which nobody says when it is well."""
    name = next(iter(call), "")
    if len(call) != 1 or name not in _WELL:
        raise Invalid(
            f"`until` takes one of {', '.join(_WELL)}; for another probe, or a `when`, add the step `wait_for`"
        )


def ready(host: Host, call: Mapping[str, Any], within: float) -> Until:
    """Wait until a probe finds it well: http ok, port open, command ending with 0, and so on."""
    ((name, params),) = call.items()
    well, why = _WELL[name]
    probe: Probe = values.build(catalogue.probe(name), params)

    def holds() -> bool:
        try:
            seen = list(probe.look(host))
        except Absent as error:  # what it asks may not be there yet
            raise Unclear(str(error)) from error
        ill = next((one for one in seen if not well(one)), None)
        if ill is not None:
            raise Unclear(why(ill))
        return bool(seen)

    given = next(iter(params.values()), "")
    about = " ".join(map(str, given)) if isinstance(given, (list, tuple)) else str(given)
    return Until(f"{name}{' ' + about if about else ''} is well", holds, within=within)
