"""Which answer counts of several that were asked the same: the majority's. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.model import Outcome, StepStatus
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SHOWN: Final = 120  # characters of an answer in a sentence


@frozen
class Answer:
    """What one member answered."""

    member: str
    intent: str
    outcome: Outcome


@frozen
class Verdict:
    """What several answers come to."""

    outcome: Outcome  # the majority's, or a failure that says who said what
    agreed: tuple[str, ...] = ()  # the members whose answer counts; none without a majority
    dissented: tuple[str, ...] = ()  # those that answered something else


def majority(answers: Sequence[Answer], asked: int) -> Verdict:
    """Return what counts.

    Args:
        answers: of each member that was asked; those that failed say nothing.
        asked: how many were to be asked; more than half of them must agree.
    """
    camps: dict[str, list[Answer]] = {}
    for answer in answers:
        if answer.outcome.ok:
            camps.setdefault(_same(answer.outcome), []).append(answer)
    most = max(camps.values(), key=len, default=[])
    if len(most) * 2 > asked:
        agreed = tuple(answer.member for answer in most)
        others = [answer.member for answer in answers if answer.outcome.ok and answer not in most]
        return Verdict(most[0].outcome, agreed, tuple(others))
    said = "; ".join(f"{answer.member} {_told(answer.outcome)}" for answer in answers)
    longest = max((answer.outcome.duration for answer in answers), default=0.0)
    needed = asked // 2 + 1
    error = f"no majority: {needed} of {asked} have to answer the same; {said}"
    return Verdict(Outcome(StepStatus.FAILED, error=error, duration=longest))


def said(outcome: Outcome) -> Any:
    """Return what a step answered: its JSON, or else its text without the blanks around it.

    Example:
        >>> from runbook.engine.model import StepStatus
        >>> said(Outcome(StepStatus.DONE, output='{"b": 1, "a": 2}')), said(Outcome(StepStatus.DONE, output="up "))
        ({'b': 1, 'a': 2}, 'up')
    """
    data: Mapping[str, Any] = outcome.data
    if data.get("json") is not None:
        return data["json"]
    text = str(data["body"] if data.get("body") is not None else outcome.output).strip()
    if text[:1] in ("{", "["):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _same(outcome: Outcome) -> str:
    """Return what two answers have in common when they are the same: the order of an object's keys tells nothing."""
    return json.dumps(said(outcome), sort_keys=True, default=str)


def _told(outcome: Outcome) -> str:
    if not outcome.ok:
        return f"failed: {_cut(outcome.error or outcome.status.value)}"
    found = said(outcome)
    return f"said {_cut(found if isinstance(found, str) else json.dumps(found, default=str)) or 'nothing'}"


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"
