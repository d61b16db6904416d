"""What single facts say, in the words of the reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runbook.engine.journal import codec
from runbook.engine.report import evidence
from runbook.engine.report.passes import StepReport, UndoneReport, Unseen

if TYPE_CHECKING:
    from runbook.engine.journal.facts import Fact


def clean(fact: Fact, redact: codec.Redact) -> Fact:
    """Return a fact without secrets, its data as JSON knows it."""
    return replace(
        fact,
        host=redact(fact.host),
        detector=redact(fact.detector),
        subject=redact(fact.subject),
        operation=redact(fact.operation),
        step=redact(fact.step),
        data=codec.plain(dict(fact.data), redact),
    )


def names(found: object) -> tuple[str, ...]:
    """Return a list's texts; none where it is no list."""
    return tuple(map(str, found)) if isinstance(found, list) else ()


def detector(fact: Fact) -> str:
    """Return the detector that a fact is about."""
    return fact.detector or str(fact.data.get("detector_pending") or fact.data.get("detector") or "")


def subject(fact: Fact) -> str:
    """Return the subject that a fact is about."""
    return fact.subject or str(fact.data.get("subject_pending") or "")


def unseen(fact: Fact) -> Unseen:
    """Return what a detector could not see, or lacks."""
    about = fact.data.get("subjects")
    return Unseen(
        detector(fact), str(fact.data.get("reason") or ""), tuple(map(str, about)) if isinstance(about, list) else ()
    )


def seen(fact: Fact) -> dict[str, Any]:
    """Return what a fact tells about what a detector saw, and about the detector."""
    data = fact.data
    return {
        **{name: str(data[name]) for name in ("severity", "category", "when") if data.get(name)},
        "fields": data["fields"] if isinstance(data.get("fields"), dict) else {},
        "evidence": evidence.sentence(data, subject=subject(fact)),
    }


def step_report(data: Mapping[str, Any]) -> StepReport:
    """Return a step that ended, by its fact's data."""
    actions = data.get("actions")
    return StepReport(
        module=str(data.get("module") or ""),
        state=str(data.get("status") or "done"),
        title=str(data.get("title") or ""),
        changed=bool(data.get("changed")),
        duration=number(data.get("duration")),
        error=str(data.get("error") or ""),
        diff=str(data.get("diff") or ""),
        output=str(data.get("output") or ""),
        exit_code=data.get("exit_code"),
        actions=tuple(one for one in actions if isinstance(one, Mapping)) if isinstance(actions, list) else (),
        phase=str(data.get("phase") or ""),
        rung=int(data.get("rung") or 0),
    )


def undone(data: Mapping[str, Any]) -> UndoneReport:
    """Return a step that was undone."""
    actions = tuple(one for one in data.get("actions") or () if isinstance(one, Mapping))
    return UndoneReport(str(data.get("status") or ""), str(data.get("error") or ""), actions)


def number(found: object) -> float:
    """Return a number; 0 where it is none."""
    return float(found) if isinstance(found, int | float) else 0.0
