"""What the facts of a drill come to: was the fault seen, is it healed, and when."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 -- a frozen class looks at its types
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from runbook.engine.journal.facts import Fact
    from runbook.engine.language.drill_words import Fault

Word = Literal["healed", "as expected", "not seen", "not healed", "noisy", "other steps", "not shown"]
GOOD: Final = frozenset({"healed", "as expected"})
_OVER: Final = frozenset({"cured", "unhealed", "unverified", "interrupted"})  # nothing comes of these any more
_STUCK: Final = frozenset({"waiting", "observed"})  # nobody acts on them by themselves
_DONE: Final = frozenset({"succeeded", "failed", "interrupted"})  # of operations


@frozen
class Verdict:
    """How a fault ended. Times in seconds after it was injected."""

    fault: str
    about: str
    word: Word
    reason: str = ""
    seen: float | None = None
    healed: float | None = None
    state: str = ""  # of the incident, or the operation
    steps: tuple[str, ...] = ()
    also: tuple[str, ...] = ()  # other detectors that fired
    evidence: Mapping[str, Any] = field(default_factory=dict)  # of the look that matters: what fired, or found nothing
    faked: tuple[str, ...] = ()
    took: float = 0.0  # all in all, with the making of the place

    @property
    def good(self) -> bool:
        """It went as it should."""
        return self.word in GOOD


@dataclass
class Watcher:
    """Takes in the facts of the passes, and tells when there is nothing more to wait for."""

    fault: Fault
    injected: float | None = None  # when; None before it
    noise: list[tuple[str, str, Mapping[str, Any]]] = field(default_factory=list)  # detector, subject, what it saw
    trouble: list[str] = field(default_factory=list)  # what could not be seen, or did not work, before the fault
    seen: float | None = None
    ended: float | None = None
    states: dict[str, str] = field(default_factory=dict)  # of the incidents that are meant
    reasons: dict[str, str] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)
    modules: list[str] = field(default_factory=list)
    also: dict[str, None] = field(default_factory=dict)
    evidence: Mapping[str, Any] = field(default_factory=dict)
    attempt: str = ""  # what the last attempt of an operation failed with
    unknown: str = ""  # why the last look could not see
    failed: str = ""  # the last step that did not work, and why

    def fact(self, fact: Fact) -> None:
        """Take in what happened."""
        if self.injected is None:
            self._before(fact)
        elif self.fault.operation:
            self._operation(fact)
        else:
            self._incident(fact)
        if self.injected is not None and fact.kind == "attempt.ended" and not fact.data.get("ok", True):
            self.attempt = str(fact.data.get("error") or "")

    @property
    def over(self) -> bool:
        """Nothing more is to be waited for."""
        if not self.states:
            return False
        states = set(self.states.values())
        if states == {self.fault.expect}:
            return True
        return bool(states & (_OVER | _STUCK | _DONE) - {"cured", self.fault.expect})

    def _before(self, fact: Fact) -> None:
        name = fact.detector or str(fact.data.get("detector", ""))
        if fact.kind in {"incident.opened", "incident.pending"}:
            self.noise.append((name, fact.subject, fact.data))
        elif fact.kind == "look.unknown" and name == self.fault.detector:
            self.trouble.append(f"`{name}` can't be seen: {fact.data.get('reason')}")
        elif fact.kind == "operation.ended" and fact.data.get("state") in {"failed", "interrupted"}:
            self.trouble.append(f"the operation `{fact.operation}` did not work: {fact.data.get('error')}")
        elif fact.kind == "host.unreachable":
            self.trouble.append(f"the agent could not be started: {fact.data.get('reason')}")

    def _operation(self, fact: Fact) -> None:
        if fact.kind == "incident.opened":
            self.also[fact.detector] = None
        if fact.operation != self.fault.operation:
            return
        if fact.kind == "attempt.ended" and not fact.data.get("ok", True):
            self.seen = self.seen or fact.at
        elif fact.kind == "operation.ended":
            self._state(fact.operation, str(fact.data.get("state")), str(fact.data.get("error") or ""), fact.at)

    def _incident(self, fact: Fact) -> None:
        name = fact.detector or str(fact.data.get("detector", ""))
        if name != self.fault.detector:
            if fact.kind == "incident.opened":
                self.also[name] = None
            return
        if fact.kind == "incident.opened":
            self.seen = self.seen or fact.at
            self._state(fact.incident, str(fact.data.get("state") or "open"), "", fact.at)
        elif fact.kind in {"incident.changed", "incident.ended"}:
            self._state(fact.incident, str(fact.data.get("to")), str(fact.data.get("reason") or ""), fact.at)
        elif fact.kind == "look.well":
            self.evidence = fact.data
        elif fact.kind in {"look.unknown", "look.absent"}:
            self.unknown = str(fact.data.get("reason") or "")
        elif fact.kind == "step.ended" and fact.data.get("phase") == "recover" and fact.data.get("status") != "skipped":
            self.steps.append(str(fact.data.get("title") or fact.data.get("module")))
            self.modules.append(str(fact.data.get("module")))
            if fact.data.get("error"):
                self.failed = f"{self.steps[-1]}: {fact.data['error']}"

    def _state(self, key: str, state: str, reason: str, at: float) -> None:
        self.states[key], self.reasons[key] = state, reason
        if set(self.states.values()) == {self.fault.expect}:
            self.ended = at


def unshown(fault: Fault, reason: str, took: float = 0.0) -> Verdict:
    """Return that a fault could not be shown, and why."""
    return Verdict(fault.name, fault.about, "not shown", reason, faked=fault.given.faked, took=took)


def noisy(watcher: Watcher, took: float) -> Verdict:
    """Return that something fired before the fault was there."""
    fault = watcher.fault
    detector, subject, seen = watcher.noise[0]
    reason = f"`{detector}` fires before the fault is there{f', about {subject}' if subject else ''}"
    also = tuple(dict.fromkeys(name for name, *_ in watcher.noise))
    faked = fault.given.faked
    return Verdict(fault.name, fault.about, "noisy", reason, also=also, evidence=seen, faked=faked, took=took)


def judge(watcher: Watcher, took: float) -> Verdict:
    """Return what it came to."""
    fault, begun = watcher.fault, watcher.injected
    states = set(watcher.states.values())
    about: dict[str, Any] = {
        "seen": None if watcher.seen is None or begun is None else max(0.0, watcher.seen - begun),
        "healed": None,
        "state": ", ".join(sorted(states)),
        "steps": tuple(watcher.steps),
        "also": tuple(watcher.also),
        "faked": fault.given.faked,
        "took": took,
    }
    within = f"within {fault.within:g} s"
    if watcher.seen is None and not states:
        reason = f"`{fault.about}` saw nothing{'' if fault.of_attempts else f' {within}'}"
        if watcher.unknown:
            reason += f": {watcher.unknown}"
        elif watcher.attempt:
            reason += f"; an attempt failed with: {watcher.attempt}"
        return Verdict(fault.name, fault.about, "not seen", reason, evidence=watcher.evidence, **about)
    if states != {fault.expect}:
        said = "; ".join(dict.fromkeys(filter(None, [*watcher.reasons.values(), watcher.failed])))
        state = about["state"] or "not ended"
        reason = f"{state if watcher.over else f'still {state} after {fault.within:g} s'}{f': {said}' if said else ''}"
        return Verdict(fault.name, fault.about, "not healed", reason, **about)
    if fault.operation and watcher.seen is None:
        return Verdict(fault.name, fault.about, "not seen", "no attempt failed", **about)
    if watcher.ended is not None and begun is not None and fault.expect in {"cured", "succeeded"}:
        about["healed"] = watcher.ended - begun
    if fault.steps is not None and not _same(fault.steps, watcher.steps, watcher.modules):
        reason = f"took {', '.join(watcher.steps) or 'none'}; expected {', '.join(fault.steps) or 'none'}"
        return Verdict(fault.name, fault.about, "other steps", reason, **about)
    return Verdict(fault.name, fault.about, "healed" if about["healed"] is not None else "as expected", **about)


def _same(wanted: tuple[str, ...], titles: list[str], modules: list[str]) -> bool:
    return len(wanted) == len(titles) and all(
        want in {title, module} for want, title, module in zip(wanted, titles, modules, strict=True)
    )
