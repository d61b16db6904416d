"""Why a detector does not fire on a host, as `explain DETECTOR HOST` tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runbook.engine.model import Unknown
from runbook.engine.report import words
from runbook.engine.report.clock import moment
from runbook.engine.report.lines import head, row
from runbook.engine.report.passes import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runbook.engine.inquire import Inquiry, Part, Sight
    from runbook.engine.journal.ask.detector import Known
    from runbook.engine.model import Truth
    from runbook.engine.report.paint import Paint

_MOST: Final = 8  # subjects, files
_LATE: Final = 3600.0  # seconds


def lines(paint: Paint, known: Known, found: Inquiry | None, why_not: str, now: float, *, full: bool) -> Iterator[str]:
    """Yield the text.

    Args:
        paint: how to write.
        known: what the journal has.
        found: what was found out now; None where the runbook could not be read.
        why_not: why that was so.
        now: seconds since the epoch.
        full: all subjects, each guard's answer.
    """
    if found is None:
        yield from row(paint, "look", words.printable(words.one_line(f"not now: {why_not}")))
        yield from _before(paint, known, now)
        return
    state, verdict = _verdict(found, now)
    title = words.printable(f"{found.detector.name} on {found.host}")
    yield head(paint, state, title, {"done": "fires", "absent": "absent"}.get(state, "does not fire"))
    yield from row(paint, "why", words.printable(verdict))
    if found.condition:
        yield from row(paint, "when", words.printable(found.condition))
    yield from _seen(paint, found, now, full=full)
    yield from _time(paint, found, now)
    yield from _cursor(paint, found, now)
    for name, holds, at in found.members:
        last = f", held last {moment(at, now)}" if at is not None and holds is not True else ""
        yield from row(paint, "asks", words.printable(f"{name}: {_said(holds)}{last}"))
    for failure in found.failures:
        message = words.cut(words.printable(" ".join(failure.message.split())), 100)
        matches = {True: "matches", False: "does not match"}.get(failure.matches is True, "")
        matches = "can't be told in time" if isinstance(failure.matches, Unknown) else matches
        yield from row(paint, "error", f"{matches}: `{failure.operation}` {moment(failure.at, now)}: {message}")
    yield from _guards(paint, found, full=full)
    yield from _before(paint, known, now)


def document(known: Known, found: Inquiry | None, why_not: str, now: float) -> dict[str, Any]:
    """Return the document of `explain DETECTOR HOST --format json`."""
    told: dict[str, Any] = {"schema": SCHEMA, "runbook": known.run.runbook, "file": known.run.file or None}
    if found is None:
        told |= {"looked": None, "reason": why_not}
    else:
        detector = found.detector
        state, verdict = _verdict(found, now)
        told |= {
            "detector": detector.name,
            "host": found.host,
            "probe": detector.probe,
            "fires": state == "done",
            "reason": verdict,
            "looked": found.looked,
            "unknown": found.unseen or None,
            "absent": found.absent or None,
            "when": found.condition or None,
            "for_s": detector.hold,
            "count": None if detector.count is None else {"count": detector.count.count, "per_s": detector.count.per},
            "subjects": [_sight(one, found, now) for one in found.sights],
            "holds": [
                {"subject": subject, "since": hold.since, "seen": hold.seen, "times": list(hold.times)}
                for subject, hold in found.holds.items()
            ],
            "members": [
                {"detector": name, "holds": _plain(holds), "held_last": at} for name, holds, at in found.members
            ],
            "failures": [
                {"operation": one.operation, "at": one.at, "error": one.message, "matches": _plain(one.matches)}
                for one in found.failures
            ],
            "cursor": dict(found.cursor),
            "files": [{"path": path, **place} for path, place in places(found.cursor)],
            "guards": [dict(answer) for answer in found.guards],
            "open": [one.id for one in found.incidents],
        }
    told["last"] = {
        "pass": {"run_id": known.run.id, "started": known.run.started, "ended": known.run.ended},
        "said": None if known.word is None else
        {"kind": known.word.kind, "at": known.word.at, "data": dict(known.word.data)},
        "fired": known.fired,
        "incidents": [
            {"id": one.id, "subject": one.subject, "state": one.state, "opened": one.opened, "closed": one.closed}
            for one in known.incidents
        ],
    }  # fmt: skip
    return told


def places(cursor: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield how far each file was read, by what a `log` detector's look has left."""
    import json

    for asked, files in (cursor.get("cursors") or {}).items():
        for path, kept in files.items() if isinstance(files, dict) else ():
            stat, _, text = str(kept).partition("{")
            size = stat.split()[2] if len(stat.split()) > 2 else ""
            try:
                place = json.loads("{" + text) if text else {}
            except ValueError:
                place = {}
            told = {"asked": asked, "size": int(size) if size.isdecimal() else None}
            yield path, told | {name: place[name] for name in ("offset", "lines", "seen") if name in place}


def _verdict(found: Inquiry, now: float) -> tuple[str, str]:
    """Return a state, and why it fires or does not, in one sentence."""
    detector = found.detector
    if not found.concerns:
        return "skipped", f"its `hosts: {detector.hosts}` leave {found.host} out"
    if found.incidents:
        one = found.incidents[0]
        reason = f": {one.reason}" if one.reason else ""
        return "done", f"it has: incident {one.id} is {one.state.value}{reason}; `runbook explain {one.id}` tells all"
    if found.unseen:
        return "unknown", f"it can't see: {found.unseen}"
    if found.absent:
        return "absent", f"there is nothing to look at: {found.absent}"
    if detector.error is not None:
        return "skipped", _of_errors(found)
    if found.looked is None:
        return "skipped", "nobody looked now (--no-look); below is what the last passes left"
    if any(one.opens for one in found.sights):
        return "done", f"the next pass opens an incident{_then(found)}"
    if detector.is_input:
        asked = ", ".join(f"`{name}`" for name in found.input_of)
        holds = (
            "its condition holds" if any(one.holds is True for one in found.sights) else "its condition does not hold"
        )
        return "skipped", f"it is asked by {asked or 'others'} and opens nothing by itself; {holds}"
    return _of_sights(found, now)


def _of_errors(found: Inquiry) -> str:
    if not found.failures:
        return "it judges failed attempts of operations, and the journal has none of those it is about"
    if any(one.matches is True for one in found.failures):
        return "it judges failed attempts of operations; those that it matched are below"
    return "it judges failed attempts of operations; none of the last ones matches"


def _of_sights(found: Inquiry, now: float) -> tuple[str, str]:
    detector = found.detector
    held = next((one for one in found.sights if one.holds is True), None)
    if held is not None or (found.holds and not found.sights):
        hold = held.hold if held is not None else next(iter(found.holds.values()))
        if detector.count is not None:
            known = (held.after or held.hold) if held is not None else hold
            counted = [at for at in known.times if at >= now - detector.count.per] if known is not None else []
            window = words.duration(detector.count.per)
            return "pending", f"it was seen {len(counted)} of {detector.count.count} times within {window}"
        since = hold.since if hold is not None else now
        left = max(0.0, detector.hold - (now - since))
        if hold is None:
            return "pending", f"its condition holds since now, and must for {words.duration(detector.hold)}"
        return "pending", (
            f"its condition has held for {words.duration(now - since)} of {words.duration(detector.hold)};"
            f" {words.duration(left)} are left, and a pass must see it then"
        )
    if any(isinstance(one.holds, Unknown) for one in found.sights):
        subjects = ", ".join(one.subject or found.host for one in found.sights if isinstance(one.holds, Unknown))
        return "unknown", f"its condition can't be told for {subjects}: a value is not known"
    if not found.sights:
        behind = found.after.get("behind")
        if found.after.get("nothing"):
            return "absent", str(found.after["nothing"])
        if behind:
            return "unknown", f"{behind} bytes of its logs are not read yet"
        return "skipped", "nothing new matched since the last look" if found.after else "there is nothing of that kind"
    if len(found.sights) > 1:
        return "skipped", f"its condition holds for none of {len(found.sights)}"
    failing = [part for part in found.sights[0].parts if part.holds is not True]
    return "skipped", f"its condition does not hold{': ' + _part(failing[0]) if failing else ''}"


def _then(found: Inquiry) -> str:
    if not found.detector.recover:
        return "; nothing is done about it, since it has no `recover`"
    refused = next((answer for answer in found.guards if not answer.get("ok")), None)
    if refused is None:
        return ", and its recovery begins"
    return f", and then `{refused.get('guard')}` refuses: {refused.get('reason')}"


def _seen(paint: Paint, found: Inquiry, now: float, *, full: bool) -> Iterator[str]:
    several = len(found.sights) > 1
    order = sorted(found.sights, key=lambda one: (one.holds is False, one.subject))
    for one in order if full else order[:_MOST]:
        name = words.printable(one.subject or found.host)
        if several:
            yield from row(paint, "of", f"{name}: {_said(one.holds)}")
        if one.parts:
            for part in one.parts:
                sign = {True: ("✔", "green"), False: ("✘", "red")}.get(part.holds is True, ("?", "yellow"))
                sign = ("?", "yellow") if isinstance(part.holds, Unknown) else sign
                first, *rest = row(paint, "sees", words.printable(_part(part)))
                yield first.replace("sees ", f"sees {paint(*sign)}", 1) if paint.columns else first
                yield from rest
        elif one.fields and not found.members:
            told = [f"{name} {words.value(name, value)}" for name, value in one.fields.items() if value is not None]
            yield from row(paint, "sees", words.printable(", ".join(told)))
    if not full and len(order) > _MOST:
        yield from row(paint, "", f"… {len(order) - _MOST} more (-v shows them)")
    if found.looked is not None:
        yield from row(paint, "look", f"at {moment(found.looked, now)}; nothing of it is kept")


def _part(part: Part) -> str:
    values = [f"{name} {words.value(name, value)}" for name, value in part.values.items()]
    return f"{part.text}: {_said(part.holds)}{' (' + ', '.join(values) + ')' if values else ''}"


def _time(paint: Paint, found: Inquiry, now: float) -> Iterator[str]:
    detector = found.detector
    if detector.hold or detector.count is not None:
        wanted = f"for {words.duration(detector.hold)}" if detector.hold else ""
        if detector.count is not None:
            wanted += (" and " if wanted else "") + (
                f"{detector.count.count} times within {words.duration(detector.count.per)}"
            )
        yield from row(paint, "wants", wanted)
    for subject, hold in found.holds.items():
        told = (
            f"since {moment(hold.since, now)} ({words.duration(now - hold.since)}), seen last {moment(hold.seen, now)}"
        )
        if hold.times:
            told += f"; counted {', '.join(moment(at, now) for at in hold.times[-5:])}"
        yield from row(paint, "held", words.printable(f"{subject + ': ' if subject else ''}{told}"))


def _cursor(paint: Paint, found: Inquiry, now: float) -> Iterator[str]:
    told = list(places(found.cursor))
    for path, place in told[:_MOST]:
        offset, size = place.get("offset"), place.get("size")
        lag = (
            f", {words.size(size - offset)} behind"
            if isinstance(size, int) and isinstance(offset, int) and size > offset
            else ""
        )
        line = f", line {place['lines']}" if isinstance(place.get("lines"), int) else ""
        seen = place.get("seen")
        when = f", at {moment(float(seen), now)}" if isinstance(seen, int | float) else ""
        yield from row(paint, "read", words.printable(f"{path} to byte {offset}{line}{lag}{when}"))
    if len(told) > _MOST:
        yield from row(paint, "", f"… {len(told) - _MOST} more files")
    for source in ("kernel", "journal", "docker"):
        if isinstance(found.cursor.get(source), dict):
            yield from row(paint, "read", words.printable(f"{source}: {words.as_json(found.cursor[source])}"[:200]))
    behind = found.cursor.get("behind")
    if behind:
        yield from row(paint, "lag", f"the last look left {behind} bytes unread")


def _guards(paint: Paint, found: Inquiry, *, full: bool) -> Iterator[str]:
    if not found.guards:
        return
    refused = [answer for answer in found.guards if not answer.get("ok")]
    if full:
        for answer in found.guards:
            sign = paint("✔", "green") if answer.get("ok") else paint("✘", "red")
            reason = words.printable(str(answer.get("reason") or ""))
            yield f"    {paint('guard', 'dim')} {sign} {answer.get('guard')}  {reason}".rstrip()
    elif refused:
        for answer in refused:
            yield from row(
                paint, "guard", words.printable(f"{answer.get('guard')} would refuse: {answer.get('reason')}")
            )
    else:
        yield from row(paint, "guard", f"none of {len(found.guards)} would refuse a recovery now")


def _before(paint: Paint, known: Known, now: float) -> Iterator[str]:
    run = known.run
    ended = "" if run.ended is not None else ", which did not end"
    yield from row(
        paint, "pass", words.printable(f"the last one of {run.runbook} was {moment(run.started, now)}{ended}")
    )
    if known.word is not None:
        kind = known.word.kind.partition(".")[2]
        reason = known.word.data.get("reason")
        yield from row(paint, "then", words.printable(f"it was {kind}{': ' + str(reason) if reason else ''}"))
    if known.fired:
        last = known.incidents[0]
        late = f", {words.duration(now - last.opened)} ago" if now - last.opened < _LATE else ""
        told = f"{words.amount(known.fired, 'time')}; last {moment(last.opened, now)}{late}: {last.id}, {last.state}"
        yield from row(paint, "fired", told)
    else:
        yield from row(paint, "fired", "never, as far as the journal goes")


def _sight(one: Sight, found: Inquiry, now: float) -> dict[str, Any]:
    hold = one.hold
    held = now - hold.since if hold is not None else 0.0
    return {
        "subject": one.subject,
        "holds": _plain(one.holds),
        "fields": dict(one.fields),
        "condition": [
            {"text": part.text, "holds": _plain(part.holds), "values": dict(part.values)} for part in one.parts
        ],
        "since": hold.since if hold is not None else None,
        "held_s": held,
        "left_s": max(0.0, found.detector.hold - held) if one.holds is True else None,
        "counted": len(hold.times) if hold is not None else 0,
        "opens": one.opens,
    }


def _said(holds: Truth) -> str:
    return "unknown" if isinstance(holds, Unknown) else "yes" if holds else "no"


def _plain(holds: Truth) -> bool | None:
    return None if isinstance(holds, Unknown) else bool(holds)
