"""A block of text for each thing that happened: a headline, then what was seen, done, and seen afterwards."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.report import words
from runbook.engine.report.lines import INDENT, head, row

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runbook.engine.report.paint import Paint
    from runbook.engine.report.passes import AttemptReport, IncidentReport, OperationReport, StepReport

_PAST: Final = {  # what the engine itself did
    "wait": "waited",
    "wait until": "waited until",
    "switch": "switched",
}
_BARE: Final = {"do": "", "note": "", "nothing": "nothing:"}  # what a step says in its own words
_UNDONE: Final = {f"undo {word}": word for word in ("write", "move", "own", "restore")} | {"undo keep": "put back"}
_DIFF_LINES: Final = 40
_OUTPUT_LINES: Final = 10
_WAITED: Final = 5.0  # seconds before a recovery that are worth a word
_ORDINALS: Final = ("", "1st", "2nd", "3rd")


class Blocks:
    """Writes blocks for one reader: this wide, in colours or not, with more or less in them."""

    def __init__(self, paint: Paint, *, verbosity: int = 0) -> None:
        self.paint = paint
        self._more = verbosity > 0
        self._less = verbosity < 0

    def incident(self, one: IncidentReport, host: str = "", spent: str = "") -> list[str]:
        """Return the block of an incident; `host` is named where there are several, with the time `spent` there."""
        lines = [self._head(one.state, _title(one, host), _right(one, spent))]
        if self._less and one.state == "cured":
            return lines
        if one.evidence:
            times = f" ({one.count} times)" if one.count > 1 and one.state != "pending" else ""
            lines += self._row("saw", one.evidence + times)
        if place := _place(one):
            lines += self._row("at", place)
        for step in one.steps:
            lines += self.step(step)
        if one.root:
            lines += self._row("from", words.printable(one.root))
        elif not one.steps and (advice := _advice(one)):
            lines += self._row("do", advice)
        if now := _now(one):
            lines += self._row("now", now)
        if why := _why(one):
            lines += self._row("why", why)
        if self._more:
            if one.when:
                lines += self._row("when", words.printable(one.when))
            about = (one.id, f"severity {one.severity}", "" if one.category == "unknown" else one.category)
            lines += self._row("id", ", ".join(part for part in about if part))
        return lines

    def operation(self, one: OperationReport, host: str = "", spent: str = "") -> list[str]:
        """Return the block of an operation."""
        title = words.printable(one.name) + (f" on {words.printable(host)}" if host else "")
        lines = [self._head(one.state, title, _operated(one, spent))]
        failures = [attempt for attempt in one.tries if not attempt.ok]
        errors = [_tried(attempt) for attempt in failures]
        error = words.printable(words.one_line(one.error))
        if len(failures) > 1 and len(set(errors)) == 1:
            each = words.duration(sum(attempt.duration for attempt in failures) / len(failures))
            lines += self._row("tried", f"{len(failures)} times, each time: {errors[0]} (after {each})")
        elif len(one.tries) > 1:
            for number, (attempt, said) in enumerate(zip(failures, errors, strict=True), 1):
                pause = f", then {words.duration(attempt.delay)} of waiting" if attempt.delay else ""
                lines += self._row(f"try {number}", f"{said} (after {words.duration(attempt.duration)}{pause})")
        last = words.printable(words.one_line(failures[-1].error)) if failures else ""
        if error and (len(one.tries) <= 1 or error != last):
            lines += self._row("why", error)
        if one.after and len(failures) <= 1:
            lines += self._row("tried", words.printable(words.one_line(one.after)))
        for held in one.refused if self._more or one.state == "failed" else ():
            if held.reason not in one.error:
                lines += self._row("held", words.printable(held.reason))
        for step in one.steps:
            if step.phase == "fallback":
                lines += self.step(step)
                continue
            if step.state == "planned":
                lines += self._row("would", _what(step)) if _what(step) else []
            elif step.state == "done" and ((self._more and (_what(step) or not step.changed)) or _says_why(step)):
                lines += self._row("did", _what(step) or "nothing: all is as it should be")
            lines += self._diff(step) + self._output(step)
        for undone in one.undone:
            said = _actions(undone.actions, _UNDONE) or "nothing"
            lines += self._row(
                "undid", words.printable(words.one_line(undone.error)) or said, "red" if undone.error else ""
            )
        return lines

    def step(self, one: StepReport) -> list[str]:
        """Return the lines of a step."""
        name = words.printable(one.title or one.module)
        if one.state == "skipped" and not self._more:
            return []
        label, said = did(one, name)
        timed = one.duration >= 0.1 and one.state != "planned" and one.module != "wait"
        spent = f" ({words.duration(one.duration)})" if timed else ""
        lines = self._row(label, said + spent, "red" if one.failed else "")
        if one.error and one.state in ("done", "planned"):
            lines += self._row("", words.printable(words.one_line(one.error)))
        return lines + self._diff(one) + self._output(one)

    def brief(self, one: StepReport) -> list[str]:
        """Return one line of a step."""
        if one.state == "skipped":
            return []
        label, said = did(one, words.printable(one.title or one.module))
        room = self.paint.columns - len(INDENT)
        return self._row(label, words.cut(said, room), "red" if one.failed else "")

    def closing(self, one: StepReport, host: str = "") -> list[str]:
        """Return the block of a `finally` step."""
        where = f" on {words.printable(host)}" if host else ""
        title = f"finally · {words.printable(one.title or one.module)}{where}"
        verdict = {"done": "done", "planned": "would run", "timeout": "timed out"}.get(one.state, one.state)
        spent = f" in {words.duration(one.duration)}" if one.state == "done" and one.duration >= 0.1 else ""
        error = words.printable(words.one_line(one.error))
        why = self._row("why", error) if error else []
        return [self._head(one.state, title, verdict + spent), *why, *self._diff(one), *self._output(one)]

    def skipped(self, names: Sequence[str], reason: str, host: str = "") -> list[str]:
        """Return the one line of the operations that were not reached, for one reason."""
        right = f"skipped: {words.printable(words.one_line(reason))}"
        listed = ", ".join(words.printable(name) for name in names)
        more = words.amount(len(names), "operation")
        room = self.paint.columns - 4 - words.width(right)
        where = f" on {words.printable(host)}" if host else ""
        return [self._head("skipped", (listed if words.width(listed + where) <= room else more) + where, right)]

    def unseen(self, state: str, title: str, host: str, reason: str) -> list[str]:
        """Return the block of a detector that could not look, or of a host that did not answer."""
        name = words.printable(title) + (f" on {words.printable(host)}" if host else "")
        why = words.printable(words.one_line(reason))
        return [self._head(state, name, state), *row(self.paint, "why", why, ours=state == "unreachable")]

    def untold(self, channel: str, reason: str) -> list[str]:
        """Return the sentence of a channel that did not take a message."""
        said = f"! {words.printable(channel)} was not told: {words.printable(words.one_line(reason))}"
        return [self.paint(line, "yellow") for line in words.wrapped(said, self.paint.columns)]

    def absent(self, names: Sequence[str], reason: str, host: str = "") -> list[str]:
        """Return one sentence of the detectors whose target a host lacks, for one reason."""
        where = f" on {words.printable(host)}" if host else ""
        said = f"absent{where}: {', '.join(map(words.printable, names))} ({words.printable(words.one_line(reason))})"
        first, *rest = words.wrapped(said, self.paint.columns - 2)
        return [self.paint("-", "dim") + " " + first, *("  " + line for line in rest)]

    def _head(self, state: str, title: str, right: str) -> str:
        return head(self.paint, state, title, right)

    def _row(self, label: str, text: str, style: str = "") -> list[str]:
        return row(self.paint, label, text, style)

    def _diff(self, one: StepReport) -> list[str]:
        if not one.diff or self._less:
            return []
        lines = words.printable_lines(one.diff)
        shown = lines if self._more else lines[:_DIFF_LINES]
        painted = [INDENT + self.paint(line, *_diff_style(line)) for line in shown]
        if len(shown) < len(lines):
            painted.append(INDENT + self.paint(f"… {len(lines) - len(shown)} more lines (-v shows them)", "dim"))
        return painted

    def _output(self, one: StepReport) -> list[str]:
        said = one.output.strip()
        if not said or not (self._more or one.failed) or ("\n" not in said and said in one.error):
            return []
        lines = words.printable_lines(one.output.strip("\n"))
        shown = lines if self._more else lines[-_OUTPUT_LINES:]
        hidden = len(lines) - len(shown)
        above = [INDENT + self.paint(f"… {hidden} lines above (-v shows them)", "dim")] if hidden else []
        bar = self.paint("│ ", "dim")
        return [*above, *(INDENT + bar + line for line in shown)]


def _title(one: IncidentReport, host: str) -> str:
    parts = [words.printable(one.detector)]
    if one.subject and one.subject != host:
        parts.append(words.cut(words.printable(one.subject), 60))
    return " · ".join(parts) + (f" on {words.printable(host)}" if host else "")


def _place(one: IncidentReport) -> str:
    """Return where a line of a log stands, and when it was written."""
    path, number, at = (one.fields.get(name) for name in ("path", "line_no", "time"))
    if "line" not in one.fields or not isinstance(path, str) or not path:
        return ""
    place = words.printable(path) + (f":{number}" if isinstance(number, int) else "")
    if not isinstance(at, int | float):
        return place
    return f"{place} at {datetime.fromtimestamp(at).astimezone():%Y-%m-%d %H:%M:%S}"


def _advice(one: IncidentReport) -> str:
    """Return what the catalogue advises about a line that one of its signatures has found."""
    signature = one.fields.get("signature")
    if not one.fields.get("role") or not isinstance(signature, str):
        return ""
    from runbook.engine.errors import UserError
    from runbook.engine.language.signatures import catalogue

    try:
        known = catalogue().signatures.get(signature)
    except UserError:
        return ""  # a user's own file is wrong, which the pass has told
    return f"{known.advice} (`runbook doc {signature}`)" if known is not None else ""


def _right(one: IncidentReport, spent: str = "") -> str:
    spent = spent or (words.duration(one.spent) if one.spent is not None else "")
    if one.state == "cured":
        if one.by_itself:
            return "over by itself"
        return f"cured in {spent}" if spent else "cured"
    if one.state == "unhealed":
        return f"unhealed after {spent}" if spent else "unhealed"
    if one.state == "pending" and pending(one):
        return f"pending, {pending(one)}"
    if one.state == "verifying":
        return "cure not seen yet"
    return {"waiting": "waiting for approval", "observed": "observed only"}.get(one.state, one.state)


def pending(one: IncidentReport) -> str:
    """Return how far a pending incident is."""
    if one.wanted > 1:
        return f"{one.count} of {one.wanted} times"
    return f"{words.duration(one.held or 0)} of {words.duration(one.hold)}" if one.hold else ""


def _operated(one: OperationReport, spent: str = "") -> str:
    spent = spent or (words.duration(one.duration) if one.duration else "")
    if one.state == "planned":
        return "would run" if one.would else "nothing to do"
    if one.state == "succeeded":
        done = f"done in {spent}" if spent else "done"
        if one.fallback:
            return f"{done}, by its fallback {words.printable(one.fallback)}"
        done += f" by {words.printable(one.member)}" if one.member else ""
        return f"{done}, at the {_ordinal(one.attempts)} attempt" if one.attempts > 1 else done
    if one.state == "failed":
        times = f" {one.attempts} times" if one.attempts > 1 else ""
        return f"failed{times}" + (f", {spent}" if spent else "")
    return "waiting for approval" if one.state == "waiting" else one.state


def _now(one: IncidentReport) -> str:
    if one.state not in ("cured", "unhealed", "unverified") or not one.steps:
        return ""
    after = words.printable(one.after)
    if one.state == "cured":
        watched = f", watched for {words.duration(one.verified)}" if one.verified and one.verified >= 0.1 else ""
        return f"well again{': ' + after if after else ''}{watched}{_in_all(one)}"
    if one.state == "unhealed":
        return f"still {after}{_in_all(one)}" if after else ""
    return "unknown whether it helped"


def _in_all(one: IncidentReport) -> str:
    """Return how long a fault lasted that waited for its recovery: for a person, for other hosts, for their looks."""
    waited = (one.duration or 0.0) - (one.spent or 0.0)
    return f" (it lasted {words.duration(one.duration or 0.0)} in all)" if waited >= _WAITED else ""


def _why(one: IncidentReport) -> str:
    reason = words.printable(words.one_line(one.reason))
    if one.state in ("cured", "pending") or reason == "check" or (one.root and one.state == "suppressed"):
        return ""
    if any(reason == words.printable(words.one_line(f"{step.title}: {step.error}")) for step in one.steps):
        return ""  # the step's own line has said it
    if one.state == "observed" and not reason:
        return "its mode is observe: nothing is done about it"
    return reason


def did(one: StepReport, name: str) -> tuple[str, str]:
    """Return a step's label, and what it did, would do, or why it did not."""
    what = _what(one)
    error = words.printable(words.one_line(one.error))
    if one.state == "planned":
        if what.startswith(f"{name} "):  # a word of the engine: `wait 1s` says it all
            return "would", what
        return "would", f"{name}: {what}" if what else f"{name}: change nothing"
    if one.state == "done":
        if not one.changed and not what:
            return "did", f"{name}: nothing to do"
        return "did", f"{name}: {what}" if what else name
    if one.state == "skipped":
        return "skip", name
    verdict = {"timeout": "timed out", "lost": "lost: nobody knows how it ended"}.get(one.state, one.state)
    return "tried", f"{name}: {verdict}{': ' + error if error else ''}"


def _what(one: StepReport) -> str:
    """Return what a step did, or would do."""
    return _actions(one.actions, {**_PAST, **_BARE} if one.state == "done" else _BARE)


def _says_why(one: StepReport) -> bool:
    """It did nothing, and says why: that is for whoever expected something."""
    return any(action.get("action") == "nothing" for action in one.actions)


def _actions(actions: Sequence[Mapping[str, Any]], verbs: Mapping[str, str]) -> str:
    told = [_said(action) or f"{verbs.get(word := action.get('action', ''), word)} {action.get('what', '')}"
            for action in actions]  # fmt: skip
    return ", ".join(words.script(text.strip()) for text in told)


def _said(action: Mapping[str, Any]) -> str:
    """Return what is told of a message: it stands in the report, and each channel says for itself who got it."""
    done = {"tell": "reported", "notify": "report"}.get(str(action.get("action")))
    return f'{done} "{action.get("what", "")}"' if done else ""


def _tried(one: AttemptReport) -> str:
    """Return how an attempt failed, and whom it asked."""
    said = words.printable(words.one_line(one.error)) or "failed"
    return f"{words.printable(one.member)}: {said}" if one.member else said


def _diff_style(line: str) -> tuple[str, ...]:
    if line.startswith(("---", "+++")):
        return ("bold",)
    return {"+": ("green",), "-": ("red",), "@": ("cyan",)}.get(line[:1], ())


def _ordinal(number: int) -> str:
    return _ORDINALS[number] if 0 < number < len(_ORDINALS) else f"{number}th"
