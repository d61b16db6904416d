"""The lines of a story: what each kind of fact says of an incident."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runbook.engine.report import evidence, words
from runbook.engine.report.blocks import did
from runbook.engine.report.clock import moment
from runbook.engine.report.reading import step_report
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runbook.engine.journal.facts import Fact
    from runbook.engine.report.paint import Paint

_DIFF: Final = 40  # lines
_OUTPUT: Final = 10


@frozen
class Told:
    """One line of a story, with what stands below it."""

    at: float
    label: str
    text: str
    style: str = ""
    below: tuple[str, ...] = ()


class Narrator:
    """Makes a line of each fact.

    Args:
        paint: how to write.
        when: what the incident's detector asks, where the facts are of one incident; else they say it themselves.
        params: of its steps, by their intents.
        full: each guard's answer, and all output.
    """

    def __init__(
        self, paint: Paint, when: str = "", params: Mapping[str, Mapping[str, Any]] | None = None, *, full: bool = False
    ) -> None:
        self._paint = paint
        self._when = when
        self._params = params or {}
        self._full = full

    def line(self, fact: Fact) -> Told:
        """Return the line of a fact."""
        make = _KINDS.get(fact.kind)
        return make(self, fact) if make else _other(fact)

    def _opened(self, fact: Fact) -> Told:
        if isinstance(first := fact.data.get("first"), int | float):
            before = f" after {fact.data['again']}" if fact.data.get("again") else ""
            return Told(fact.at, "opened", f"again{before}: it was so for {words.duration(fact.at - first)}")
        since = fact.data.get("since", fact.at)
        held = f", held for {words.duration(fact.at - since)}" if fact.at - since >= 1 else ""
        return Told(fact.at, "opened", f"it was seen{held}")

    def _changed(self, fact: Fact) -> Told:
        reason = fact.data.get("reason")
        return Told(fact.at, str(fact.data.get("to")), str(reason or ""))

    def _decided(self, fact: Fact) -> Told:
        answers: Sequence[Mapping[str, Any]] = fact.data.get("guards") or ()
        refused = [answer for answer in answers if not answer.get("ok")]
        below = []
        if self._full:
            wide = max((len(str(answer.get("guard"))) for answer in answers), default=0)
            for answer in answers:
                sign = self._paint("✔", "green") if answer.get("ok") else self._paint("✘", "red")
                said = words.printable(str(answer.get("reason") or ""))
                said = words.cut(said, self._paint.columns - 26 - wide)
                below.append(f"{sign} {answer.get('guard')!s:<{wide}}  {said}".rstrip())
        if not refused:
            named = ", ".join(str(answer.get("guard")) for answer in answers)
            text = "the recovery may begin" if self._full else f"the recovery may begin; asked were {named}"
            return Told(fact.at, "decided", text, "", tuple(below))
        said = "; ".join(str(answer.get("reason") or answer.get("guard")) for answer in refused)
        return Told(fact.at, "refused", said, "yellow", tuple(below))

    def _refused(self, fact: Fact) -> Told:
        return Told(fact.at, "refused", str(fact.data.get("reason") or fact.data.get("guard")), "yellow")

    def _begun(self, fact: Fact) -> Told:
        return Told(fact.at, "recovers", str(fact.data.get("strategy") or ""))

    def _vain(self, fact: Fact) -> Told:
        return Told(fact.at, "in vain", f"rung {int(fact.data.get('rung') or 0) + 1} did not cure it", "yellow")

    def _step(self, fact: Fact) -> Told:
        one = step_report(fact.data)
        label, said = did(one, words.script(one.title or one.module))
        phase = "" if one.phase in ("", "recover") else f"{one.phase}: "
        rung = f"rung {one.rung + 1}: " if one.phase == "recover" else phase
        spent = f" ({words.duration(one.duration)})" if one.duration >= 0.1 else ""
        below = []
        params = self._params.get(fact.step) or {}
        if self._full and params:
            below.append(
                words.cut(", ".join(f"{name} {words.value(name, value)}" for name, value in params.items()), 400)
            )
        if one.diff:
            below += _few(words.printable_lines(one.diff), _DIFF, full=self._full)
        if one.output.strip() and (self._full or one.failed):
            below += [
                self._paint("│ ", "dim") + line
                for line in _few(words.printable_lines(one.output), _OUTPUT, full=self._full)
            ]
        return Told(fact.at, label, f"{rung}{said}{spent}", "red" if one.failed else "", tuple(below))

    def _looked(self, fact: Fact) -> Told:
        clear = fact.data.get("clear")
        said = self._seen(fact)
        verdict = "well" if clear is True else "not well" if clear is False else "could not see it"
        style = "green" if clear is True else "" if clear is False else "yellow"
        return Told(fact.at, "looked", f"{verdict}{': ' + said if said else ''}", style)

    def _ended(self, fact: Fact) -> Told:
        said = self._seen(fact)
        reason = str(fact.data.get("reason") or "")
        text = "; ".join(part for part in (reason, said) if part)
        return Told(fact.at, str(fact.data.get("to")), text, "green" if fact.data.get("to") == "cured" else "red")

    def _seen(self, fact: Fact) -> str:
        """Return what was seen."""
        when = self._when or fact.data.get("when")
        return evidence.sentence({"fields": fact.data.get("fields"), "when": when}, subject=fact.subject)

    def _person(self, fact: Fact) -> Told:
        label = {"approval.given": "approved", "approval.refused": "rejected", "incident.acked": "acked",
                 "incident.unacked": "unacked", "incident.released": "released"}[fact.kind]  # fmt: skip
        data = fact.data
        until = f" until {moment(float(data['until']), fact.at)}" if isinstance(data.get("until"), int | float) else ""
        reason = f": {data['reason']}" if data.get("reason") else ""
        by = f"by {data['by']}" if data.get("by") else ""
        return Told(fact.at, label, f"{by}{until}{reason}", "cyan")

    def _notified(self, fact: Fact) -> Told:
        nobody = "nobody (there is no channel): " if fact.data.get("unsent") else ""
        return Told(fact.at, "told", f"{nobody}{fact.data.get('message') or ''}")

    def _channel(self, fact: Fact) -> Told:
        status, channel = fact.data.get("status"), fact.data.get("channel")
        verb = {"sent": "was told", "held": "is not told again"}.get(str(status), "was not told")
        over = " that it is over" if fact.data.get("cured") is True and status == "sent" else ""
        reason = f": {fact.data['reason']}" if fact.data.get("reason") else ""
        return Told(fact.at, "channel", f"{channel} {verb}{over}{reason}", "yellow" if status == "failed" else "")

    def _attempt(self, fact: Fact) -> Told:
        data = fact.data
        spent = f" ({words.duration(float(data['duration']))})" if isinstance(data.get("duration"), int | float) else ""
        error = " ".join(str(data.get("error") or "").split())
        said = "worked" if data.get("ok") else f"failed{': ' + error if error else ''}"
        member = f" by {data['member']}" if data.get("member") else ""
        return Told(fact.at, "attempt", f"{data.get('attempt')} of `{fact.operation}`{member} {said}{spent}",
                    "" if data.get("ok") else "red")  # fmt: skip

    def _delayed(self, fact: Fact) -> Told:
        return Told(fact.at, "waits", f"{words.duration(float(fact.data.get('delay') or 0))} before the next attempt")

    def _operated(self, fact: Fact) -> Told:
        return Told(fact.at, "operation", f"`{fact.operation}` {fact.data.get('state')}")

    def _switched(self, fact: Fact) -> Told:
        data = fact.data
        came = f" from {data['from']}" if data.get("from") else ""
        return Told(fact.at, "switched", f"the pool {data.get('pool')}{came} to {data.get('to')}")

    def _resumed(self, fact: Fact) -> Told:
        return Told(fact.at, "resumed", f"by run {fact.run}, as {fact.data.get('state')}")


def _other(fact: Fact) -> Told:
    said = [
        f"{name} {words.value(name, value)}" for name, value in fact.data.items() if value not in (None, "", [], {})
    ]
    return Told(fact.at, fact.kind.partition(".")[0][:8], f"{fact.kind}{': ' + ', '.join(said) if said else ''}")


def _few(text: Sequence[str], most: int, *, full: bool) -> list[str]:
    if full or len(text) <= most:
        return list(text)
    return [*text[:most], f"… {len(text) - most} more lines (-v shows them)"]


_KINDS: Mapping[str, Callable[[Narrator, Fact], Told]] = {
    "incident.opened": Narrator._opened,  # noqa: SLF001 -- the class's own table
    "incident.changed": Narrator._changed,  # noqa: SLF001 -- the class's own table
    "incident.resumed": Narrator._resumed,  # noqa: SLF001 -- the class's own table
    "decided": Narrator._decided,  # noqa: SLF001 -- the class's own table
    "guard.refused": Narrator._refused,  # noqa: SLF001 -- the class's own table
    "recovery.begun": Narrator._begun,  # noqa: SLF001 -- the class's own table
    "rung.vain": Narrator._vain,  # noqa: SLF001 -- the class's own table
    "step.ended": Narrator._step,  # noqa: SLF001 -- the class's own table
    "step.undone": Narrator._step,  # noqa: SLF001 -- the class's own table
    "verified.look": Narrator._looked,  # noqa: SLF001 -- the class's own table
    "incident.ended": Narrator._ended,  # noqa: SLF001 -- the class's own table
    "pool.switched": Narrator._switched,  # noqa: SLF001 -- the class's own table
    "notified": Narrator._notified,  # noqa: SLF001 -- the class's own table
    "channel.told": Narrator._channel,  # noqa: SLF001 -- the class's own table
    "attempt.ended": Narrator._attempt,  # noqa: SLF001 -- the class's own table
    "attempt.refused": Narrator._refused,  # noqa: SLF001 -- the class's own table
    "attempt.delayed": Narrator._delayed,  # noqa: SLF001 -- the class's own table
    "operation.ended": Narrator._operated,  # noqa: SLF001 -- the class's own table
    **dict.fromkeys(
        ("approval.given", "approval.refused", "incident.acked", "incident.unacked", "incident.released"),
        Narrator._person,  # noqa: SLF001
    ),
}
