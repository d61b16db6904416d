"""What a watch's log says of a fact: how bad it is, what it is about, and one line of words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runbook.engine.report import evidence, reading, words
from runbook.engine.report.clock import moment
from runbook.engine.report.narrator import Narrator
from runbook.engine.report.paint import Paint
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runbook.engine.journal.facts import Fact

ERROR, WARNING, INFO, DEBUG = 3, 4, 6, 7  # as syslog counts them
LEVELS: Final = {ERROR: "error", WARNING: "warning", INFO: "info", DEBUG: "debug"}
_NAMED: Final = {name: level for level, name in LEVELS.items()}
_OUTPUT: Final = 3  # last lines of what a failed step printed
_NARRATOR: Final = Narrator(Paint())
_SILENT: Final = frozenset({
    *("look.well", "host.looked", "recovery.ended", "step.begun"),  # other lines say it, or nobody asks
})  # fmt: skip
_QUIET: Final = {  # what the narrator says of a fact, and how bad that is
    **dict.fromkeys(("decided", "verified.look", "attempt.begun", "attempt.delayed", "rung.won"), DEBUG),
    **dict.fromkeys(("approval.given", "approval.refused", "incident.acked", "incident.unacked"), INFO),
    **dict.fromkeys(("incident.released", "notified", "operation.undone"), INFO),
    **dict.fromkeys(("rung.vain", "pool.switched", "attempt.refused"), WARNING),
}


@frozen
class Line:
    """One line of the log, with what stands below it."""

    level: int
    text: str
    below: tuple[str, ...] = ()


def line(fact: Fact) -> Line | None:
    """Return what is said of a fact; None: nothing."""
    if fact.kind in _SILENT:
        return None
    if fact.kind.startswith("watch."):
        level = _NAMED.get(str(fact.data.get("level")), INFO)
        return Line(level, str(fact.data.get("message") or fact.kind))
    make = _KINDS.get(fact.kind)
    return make(fact) if make is not None else _narrated(fact, _QUIET.get(fact.kind, DEBUG))


def about(fact: Fact, runbook: str) -> str:
    """Return where something happened: `gpu01 llm-deploy · server down · vllm`."""
    name, subject = reading.detector(fact), reading.subject(fact)
    operation = f"`{fact.operation}`" if fact.operation else ""
    parts = [runbook, operation, name, subject if subject != fact.host else ""]
    what = " · ".join(words.cut(words.printable(part), 80) for part in parts if part)
    return f"{words.printable(fact.host)} {what}".strip()


def _narrated(fact: Fact, level: int) -> Line:
    told = _NARRATOR.line(fact)
    return Line(level, f"{told.label} {told.text}".rstrip(), told.below)


def _run_begun(fact: Fact) -> Line:
    data = fact.data
    hosts = data.get("hosts")
    number = data.get("detectors")
    said = words.amount(number, "detector") if isinstance(number, int) else "its detectors"
    where = words.amount(len(hosts), "host") if isinstance(hosts, list) else "its hosts"
    every = data.get("every")
    often = f", every {words.duration(every)}" if isinstance(every, int | float) else f", at {every}" if every else ""
    begun = "read anew" if data.get("again") else "watched from now on"
    return Line(INFO, f"{begun}: {said} on {where}{often}")


def _opened(fact: Fact) -> Line:
    again = "first" in fact.data
    since = reading.number(fact.data.get("first" if again else "since")) or fact.at
    how = "so" if again else "held"
    held = f" ({how} for {words.duration(fact.at - since)})" if fact.at - since >= 1 else ""
    seen = evidence.sentence(fact.data, subject=fact.subject)
    state = fact.data.get("state")
    word = "opened again" if again else "opened"
    word += f", {state}" if state and state != "open" else ""
    return Line(WARNING, f"{word}{': ' + seen if seen else ''}{held}")


def _pending(fact: Fact) -> Line:
    data, seen = fact.data, evidence.sentence(fact.data, subject=reading.subject(fact))
    hold, most = reading.number(data.get("hold")), reading.number(data.get("count"))
    far = f"opens after {words.duration(hold)}" if hold else f"{data.get('counted')} of {most:.0f} times"
    return Line(DEBUG, f"pending, {far}{': ' + seen if seen else ''}")


def _resumed(fact: Fact) -> Line:
    reason = fact.data.get("reason")
    lasts = words.duration(fact.at - (reading.number(fact.data.get("opened")) or fact.at))
    return Line(INFO, f"goes on with it: {fact.data.get('state')} for {lasts}{f', {reason}' if reason else ''}")


def _changed(fact: Fact) -> Line | None:
    to, reason = str(fact.data.get("to")), str(fact.data.get("reason") or "")
    if to == "waiting":
        return Line(WARNING, f"{reason or 'waits for approval'} (runbook approve {fact.incident})")
    if to in ("suppressed", "observed"):
        return None  # its refusal says why
    return Line(DEBUG, f"{to}{': ' + reason if reason else ''}")


def _refused(fact: Fact) -> Line | None:
    data = fact.data
    if data.get("guard") == "approval":
        return None  # `waits for approval` says it
    if data.get("guard") in ("mode", "check"):
        return Line(INFO, f"only observed: {data.get('reason') or 'its mode is observe'}")
    return Line(WARNING, f"not recovered now: {data.get('reason') or data.get('guard')}")


def _step(fact: Fact) -> Line:
    one = reading.step_report(fact.data)
    told = _NARRATOR.line(fact)
    level = ERROR if one.failed else DEBUG if one.state == "skipped" else INFO
    undone = "undid, " if fact.kind == "step.undone" else ""
    output = words.printable_lines(one.output)[-_OUTPUT:] if one.failed and one.output.strip() else []
    return Line(level, f"{undone}{told.label} {told.text}", tuple(output))


def _ended(fact: Fact) -> Line:
    to, reason = str(fact.data.get("to")), str(fact.data.get("reason") or "")
    lasted = words.duration(max(0.0, fact.at - (reading.number(fact.data.get("opened")) or fact.at)))
    if to == "cured":
        return Line(INFO, f"cured after {lasted}{': ' + reason if reason else ''}")
    why = "; ".join(part for part in (reason, evidence.sentence(fact.data, subject=fact.subject)) if part)
    return Line(ERROR, f"{to} after {lasted}{': ' + why if why else ''} (runbook explain {fact.incident})")


def _folded(fact: Fact) -> Line:
    root, where = fact.data.get("root_detector"), fact.data.get("root_host")
    return Line(INFO, f"follows from `{root}`{f' on {where}' if where else ''} ({fact.data.get('root')})")


def _reason(level: int, said: str) -> Callable[[Fact], Line]:
    def make(fact: Fact) -> Line:
        reason = words.one_line(str(fact.data.get("reason") or ""))
        return Line(level, f"{said}{': ' + reason if reason else ''}")

    return make


def _unknown(fact: Fact) -> Line:
    reason, subjects = words.one_line(str(fact.data.get("reason") or "")), reading.names(fact.data.get("subjects"))
    of = f" of {', '.join(subjects[:3])}{' …' if len(subjects) > 3 else ''}" if subjects else ""
    return Line(WARNING, f"can't be asked{of}: {reason}")


def _attempt(fact: Fact) -> Line:
    return _narrated(fact, DEBUG if fact.data.get("ok") else WARNING)


def _operated(fact: Fact) -> Line:
    state = str(fact.data.get("state"))
    error = words.one_line(str(fact.data.get("error") or ""))
    level = {"succeeded": INFO, "planned": DEBUG, "skipped": DEBUG, "waiting": WARNING}.get(state, ERROR)
    return Line(level, f"{state}{': ' + error if error else ''}")


def _channel(fact: Fact) -> Line:
    return _narrated(fact, WARNING if fact.data.get("status") == "failed" else DEBUG)


def _breaker(fact: Fact) -> Line:
    data: Mapping[str, Any] = fact.data
    to = str(data.get("to"))
    return Line(WARNING if to == "open" else INFO, f"the breaker of {data.get('component')} is {to}")


def _maintained(fact: Fact) -> Line:
    data, until = fact.data, reading.number(fact.data.get("until"))
    lasts = f" until {moment(until, fact.at)}" if until else ""
    reason = f": {data['reason']}" if data.get("reason") else ""
    return Line(INFO, f"maintenance of {data.get('hosts')} by {data.get('by')}{lasts}{reason}")


_KINDS: Mapping[str, Callable[[Fact], Line | None]] = {
    "maintenance.begun": _maintained,
    "maintenance.ended": lambda fact: Line(INFO, f"the maintenance of {fact.data.get('hosts')} is over"),
    "run.begun": _run_begun,
    "run.ended": lambda _: Line(INFO, "watched no more"),
    "recovery.begun": lambda _: Line(INFO, "its recovery begins"),
    "run.halted": _reason(ERROR, "nothing new is begun"),
    "incident.pending": _pending,
    "incident.opened": _opened,
    "incident.resumed": _resumed,
    "incident.changed": _changed,
    "incident.ended": _ended,
    "incident.folded": _folded,
    "guard.refused": _refused,
    "step.ended": _step,
    "step.undone": _step,
    "host.unreachable": _reason(WARNING, "does not answer"),
    "host.reached": _reason(INFO, "answers again"),
    "look.unknown": _unknown,
    "look.seen": _reason(INFO, "can be asked again"),
    "look.absent": _reason(DEBUG, "absent"),
    "operation.ended": _operated,
    "attempt.ended": _attempt,
    "channel.told": _channel,
    "breaker.moved": _breaker,
}
