"""The story of one incident, as `explain ID` tells it: evidence, decisions, steps, looks, people, and the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runbook.engine.report import evidence, words
from runbook.engine.report.clock import day, moment, second
from runbook.engine.report.following import asked, following
from runbook.engine.report.lines import head, row
from runbook.engine.report.narrator import Narrator, Told
from runbook.engine.report.passes import SCHEMA
from runbook.engine.report.standing_blocks import told as would

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.journal.ask.story import Story
    from runbook.engine.report.paint import Paint

_BY_OTHERS: Final = frozenset({"step.begun", "incident.resumed", "attempt.begun", "recovery.ended"})


def lines(paint: Paint, story: Story, now: float, *, full: bool = False) -> Iterator[str]:
    """Yield the text of a story.

    Args:
        paint: how to write.
        story: what to tell.
        now: seconds since the epoch.
        full: each guard's answer, all output and all that was only noted.
    """
    yield from _headline(paint, story, now)
    last = ""
    for one in entries(paint, story, full=full):
        if day(one.at) != last:
            last = day(one.at)
            yield ""
            yield paint(last, "dim")
        yield from _entry(paint, one)
    yield ""
    yield from _ending(paint, story, now)


def document(story: Story, now: float) -> dict[str, Any]:
    """Return the document of `explain ID --format json`."""
    one, data, opening = story.incident, story.incident.data, story.opening
    approval = story.people.approvals.get(one.id)
    return {
        "schema": SCHEMA,
        "incident": {
            "id": one.id,
            "runbook": one.runbook,
            "file": story.file or None,
            "host": one.host,
            "detector": one.detector,
            "subject": one.subject,
            "state": one.state,
            "severity": one.severity,
            "category": opening.get("category"),
            "when": opening.get("when"),
            "since": data.get("since", one.opened),
            "opened": one.opened,
            "closed": one.closed,
            "count": data.get("count", 1),
            "fields": data.get("fields") or {},
            "after": data.get("after") or {},
            "reason": data.get("reason") or None,
            "until": data.get("until"),
            "next": following(one, story.people, now, free=story.free, watched=story.watched) or None,
            "guards": [dict(answer) for answer in data.get("answers") or ()],
            "digest": data.get("digest") or None,
            "asked": [dict(step) for step in asked(one)],
            "approval": None if approval is None else
            {"granted": approval.granted, "by": approval.by, "at": approval.at, "until": approval.until,
             "digest": approval.digest, "reason": approval.reason or None},
            "root": data.get("root") or None,
            "folded": [dict(each) for each in data.get("folded") or ()],
        },
        "story": [
            {"at": fact.at, "kind": fact.kind, "run": fact.run or None, "operation": fact.operation or None,
             "step": fact.step or None, "params": dict(story.params[fact.step]) if fact.step in story.params else None,
             "data": dict(fact.data)}
            for fact in story.facts
        ],
    }  # fmt: skip


def entries(paint: Paint, story: Story, *, full: bool) -> Iterator[Told]:
    """Yield what happened, line by line; what another line says already is left out."""
    decided = {fact.at for fact in story.facts if fact.kind == "decided"}
    ended = {fact.step for fact in story.facts if fact.kind == "step.ended"}
    over = {(fact.at, fact.data.get("to")) for fact in story.facts if fact.kind == "incident.ended"}
    reason, narrator = "", Narrator(paint, str(story.opening.get("when") or ""), story.params, full=full)
    for fact in story.facts:
        if fact.kind == "guard.refused" and fact.at in decided:
            continue
        if fact.kind == "step.begun" and fact.step not in ended:
            title = str(fact.data.get("title") or fact.data.get("module"))
            yield Told(fact.at, "began", f"{title}: no end of it is known", "yellow")
            continue
        if fact.kind in _BY_OTHERS and not (full and fact.kind == "incident.resumed"):
            continue
        if fact.kind == "incident.changed":
            said = str(fact.data.get("reason") or "")
            new, reason = said not in ("", reason), said
            if not new and fact.data.get("to") in ("recovering", "verifying"):
                continue
            if said in _refusals(story, fact.at) or (fact.at, fact.data.get("to")) in over:
                continue
        yield narrator.line(fact)


def _headline(paint: Paint, story: Story, now: float) -> Iterator[str]:
    one, opening = story.incident, story.opening
    title = f"{one.id}  {words.printable(one.detector)}"
    if one.subject and one.subject != one.host:
        title += f" · {words.cut(words.printable(one.subject), 60)}"
    lasted = words.duration((one.closed or now) - one.opened)
    right = f"{one.state} {'after' if one.closed else 'for'} {lasted}"
    yield head(paint, one.state, f"{title} on {words.printable(one.host)}", right)
    data = one.data
    seen = evidence.sentence(
        {"fields": data.get("fields") or opening.get("fields"), "when": opening.get("when")}, subject=one.subject
    )
    times = f" ({data['count']} times)" if isinstance(data.get("count"), int) and data["count"] > 1 else ""
    if seen:
        yield from row(paint, "saw", seen + times)
    if opening.get("when"):
        yield from row(paint, "when", words.printable(str(opening["when"])))
    since = data.get("since", one.opened)
    held = f", after it had held for {words.duration(one.opened - since)}" if one.opened - since >= 1 else ""
    yield from row(paint, "open", f"since {moment(one.opened, now)}{held}; severity {one.severity}")
    where = f" ({story.file})" if story.file else ""
    yield from row(paint, "of", words.printable(f"{one.runbook}{where}"))
    if story.root is not None:
        root = story.root
        yield from row(paint, "from", words.printable(f"{root.id}, {root.detector} on {root.host} ({root.state})"))
    for each in story.folded:
        yield from row(paint, "led to", words.printable(f"{each.id}, {each.detector} on {each.host} ({each.state})"))
    named = {each.id for each in story.folded}
    times_of: dict[str, int] = {}
    for each in data.get("folded") or ():
        if each.get("id") not in named:
            what = f"{each.get('signature') or each.get('detector')} on {each.get('host')}"
            count = each.get("count")
            times_of[what] = times_of.get(what, 0) + (count if isinstance(count, int) else 1)
    for what, count in times_of.items():
        yield from row(paint, "led to", words.printable(what + (f" ({count} times)" if count > 1 else "")))


def _ending(paint: Paint, story: Story, now: float) -> Iterator[str]:
    one = story.incident
    reason = str(one.data.get("reason") or "")
    ended = next((fact for fact in reversed(story.facts) if fact.kind == "incident.ended"), None)
    if ended is not None and one.closed is not None:
        reason = str(ended.data.get("reason") or "")
    yield from row(paint, "state", f"{one.state}{': ' + words.printable(reason) if reason else ''}")
    if one.closed is None:
        for step in asked(one):
            yield from row(paint, "would", would(step))
        yield from row(paint, "next", following(one, story.people, now, free=story.free, watched=story.watched))
    elif one.state in ("unhealed", "unverified"):
        yield from row(paint, "next", following(one, story.people, now, free=story.free, watched=story.watched))


def _entry(paint: Paint, one: Told) -> Iterator[str]:
    room = paint.columns - 20
    first, *rest = words.wrapped(words.printable(one.text), room)
    yield f"{second(one.at)}  {paint(f'{one.label:<8}', 'dim')}  {paint(first, one.style) if one.style else first}"
    for line in [*rest, *one.below]:
        yield " " * 20 + (paint(line, one.style) if one.style and line in rest else line)


def _refusals(story: Story, at: float) -> list[str]:
    """Return the reasons that the guards gave at a moment: a change of state that follows says nothing more."""
    answers = [fact.data.get("guards") or () for fact in story.facts if fact.kind == "decided" and fact.at == at]
    return [str(answer.get("reason")) for group in answers for answer in group if not answer.get("ok")]
