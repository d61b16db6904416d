"""How far a set of things is that a watch looks at, and that ends some time, such as the jobs of a sweep."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.model import IncidentState, Seen
from runbook.modules import catalogue
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from runbook.engine.model import Detector, Look, Runbook
    from runbook.engine.recover.state import State
    from runbook.modules.declare import Tally

CALM: Final = 2  # looks in a row that find nothing under way, after which it is done,
QUIET: Final = 8.0  # and seconds between the first of them and the last: looks in between may share one answer
MOST: Final = 20  # of those that failed, which are named
_UNDER_WAY: Final = frozenset({
    *(IncidentState.PENDING, IncidentState.OPEN, IncidentState.RECOVERING, IncidentState.WAITING),
})  # fmt: skip
_CHOOSE_NONE: Final = ("healthy",)  # parameters that choose what is shown, and not what is looked at


@frozen
class Telling:
    """What is wanted of it."""

    counts: bool = False  # say how many are in each state whenever that changes
    until_done: bool = False  # end when all are over

    def __bool__(self) -> bool:
        return self.counts or self.until_done


def counting(runbook: Runbook) -> Runbook:
    """Return a runbook whose detectors count what they look at: one of those that look at the same."""
    taken: set[str] = set()
    detectors = []
    for detector in runbook.detectors:
        name = catalogue.probe(detector.probe).counting
        chosen = {key: value for key, value in detector.params.items() if key not in _CHOOSE_NONE}
        key = f"{detector.probe} {detector.hosts} {sorted(chosen.items(), key=str)}"
        if name is None or key in taken:
            detectors.append(detector)
            continue
        taken.add(key)
        detectors.append(replace(detector, params={**detector.params, name: True}))
    return replace(runbook, detectors=tuple(detectors))


class Tallies:
    """What the looks of one runbook have counted."""

    def __init__(self, telling: Telling, detectors: Collection[Detector]) -> None:
        self._telling = telling
        self._probes = {
            each.name: cls
            for each in detectors
            if telling and (cls := catalogue.probe(each.probe)).counting and each.params.get(cls.counting)
        }
        self._newest: dict[tuple[str, str], Tally] = {}
        self._calm: dict[tuple[str, str], list[float]] = {}  # when looks in a row found nothing under way
        self._said: dict[tuple[str, str], str] = {}

    def __bool__(self) -> bool:
        return bool(self._probes)

    def take(self, host: str, looks: Mapping[str, Look], now: float, *, acting: bool) -> Iterator[str]:
        """Take in what a host said; yield what there is to say of it.

        Args:
            host: which.
            looks: by detector.
            now: seconds since the epoch.
            acting: a step is on its way.
        """
        for name, look in looks.items():
            cls = self._probes.get(name)
            told = (
                cls.tally(look.state, [each.fields for each in look.records])
                if cls and isinstance(look, Seen)
                else None
            )
            if told is None:
                if cls is not None:
                    self._calm[host, name] = []  # nobody knows
                continue
            key = host, name
            self._newest[key] = told
            self._calm[key] = [] if told.active or acting else [*self._calm.get(key, [])[:1], now]
            text = ", ".join(f"{word}={number}" for word, number in told.counts.items())
            if self._telling.counts and self._said.get(key) != text:
                self._said[key] = text
                yield text

    def stir(self) -> None:
        """Take in that a step has begun or ended: looks before that say nothing of what comes of it."""
        self._calm.clear()

    def done(self, state: State, hosts: Collection[str]) -> bool:
        """Tell whether all are over, and nothing is about to be done for any of them."""
        if not self._telling.until_done or not self._probes:
            return False
        if state.tasks or any(each.state in _UNDER_WAY for each in state.incidents.values()):
            return False
        due = [(host, name) for host in hosts for name in self._probes if _concerns(state, host, name)]
        return bool(due) and all(_calm(self._calm.get(key, [])) for key in due)

    @property
    def failed(self) -> int:
        """How many are over, and not well."""
        return sum(each.failed for each in self._newest.values())

    def summary(self) -> str:
        """Return in a line how all of it ended."""
        counts: dict[str, int] = {}
        for each in self._newest.values():
            for word, number in each.counts.items():
                counts[word] = counts.get(word, 0) + number
        whole, well = sum(counts.values()), counts.get("completed", 0)
        if not whole:
            return "all done: none was there to wait for"
        if well == whole:
            return f"all done: {'the one' if whole == 1 else f'all {whole}'} completed"
        others = ", ".join(f"{number} {word}" for word, number in counts.items() if number and word != "completed")
        return f"all done: {well} of {whole} completed, {others}"

    def left(self) -> list[str]:
        """Return a line for each that failed and that a person must look at, so many of them."""
        lines = [line for each in self._newest.values() for line in each.left]
        more = len(lines) - MOST
        return [*lines[:MOST], *([f"and {more} more"] if more > 0 else [])]


def _calm(looks: Sequence[float]) -> bool:
    return len(looks) >= CALM and looks[-1] - looks[0] >= QUIET


def _concerns(state: State, host: str, name: str) -> bool:
    detector: Any = state.plan.runbook.detector(name)
    return detector is not None and state.plan.concerns(detector, host)
