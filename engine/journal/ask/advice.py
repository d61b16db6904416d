"""What the past suggests: rungs that never cured, waits that are too short, retries that never helped. Pure."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from runbook.engine.journal.ask.figures import mean
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

FEWEST: Final = 3  # cases, below which nothing is suggested
MOSTLY: Final = 0.8  # the share of cases that is called mostly
SOON: Final = 600.0  # seconds after a cure in which the same again means that it did not last


@frozen
class Advice:
    """One suggestion, with what it rests on."""

    kind: str  # rung-never-cured, rung-cures-mostly, retry-never-helped, delay-too-short, limit-reached, …
    runbook: str
    about: str  # the detector or operation
    text: str
    count: int  # so many
    of: int  # of so many


@frozen
class Ended:
    """An incident that is over."""

    runbook: str
    detector: str
    host: str
    subject: str
    opened: float
    closed: float
    state: str
    by_itself: bool = False
    strategy: str = ""
    rungs: tuple[tuple[int, str], ...] = ()  # that were tried, in order: the number from 0, and what it is called


@frozen
class Try:
    """An attempt of an operation that was not the first of its chain, or was."""

    runbook: str
    operation: str
    chain: int  # attempts with the same number belong to one operation of one run
    attempt: int
    ok: bool
    delay: float | None = None  # that was waited before it


@frozen
class Answered:
    """A person's word about an incident."""

    runbook: str
    detector: str
    granted: bool
    waited: float  # seconds from the question to the word


def rungs(incidents: Iterable[Ended]) -> Iterator[Advice]:
    """Suggest what the rungs of progressive recoveries have come to."""
    tried: dict[tuple[str, str, int, str], int] = defaultdict(int)
    cured: dict[tuple[str, str, int, str], int] = defaultdict(int)
    for one in incidents:
        if one.strategy not in ("progressive", "sequence") or not one.rungs or one.state not in ("cured", "unhealed"):
            continue
        taken = one.rungs if one.strategy == "progressive" else one.rungs[-1:]  # a sequence is one cure
        for rung in taken:
            tried[one.runbook, one.detector, *rung] += 1
        if one.state == "cured":
            cured[one.runbook, one.detector, *taken[-1]] += 1
    for key, times in sorted(tried.items()):
        runbook, detector, number, title = key
        several = sum(other[:2] == key[:2] for other in tried) > 1
        what = f"rung {number + 1} ({title})" if several else f"the recovery ({title})"
        if times >= FEWEST and not cured[key]:
            mend = "leave it out, or try something else there" if several else "it needs another one"
            text = f"{what} never cured it (0 of {times}): {mend}"
            yield Advice("rung-never-cured", runbook, detector, text, 0, times)
        elif (
            several and number > 0 and cured[key] >= max(FEWEST, MOSTLY * times) and _earlier_in_vain(key, tried, cured)
        ):
            text = f"{what} cures it mostly ({cured[key]} of {times}), those before it seldom: put it first"
            yield Advice("rung-cures-mostly", runbook, detector, text, cured[key], times)


def lasting(incidents: Iterable[Ended]) -> Iterator[Advice]:
    """Suggest where cures do not last, and where recovery is not needed at all."""
    groups: dict[tuple[str, str], list[Ended]] = defaultdict(list)
    for one in incidents:
        groups[one.runbook, one.detector].append(one)
    for (runbook, detector), those in sorted(groups.items()):
        cures, again = 0, 0
        last: dict[tuple[str, str], Ended] = {}
        for one in sorted(those, key=lambda each: each.opened):
            before = last.get((one.host, one.subject))
            if before is not None and before.state == "cured" and not before.by_itself:
                cures += 1
                again += one.opened - before.closed <= SOON
            last[one.host, one.subject] = one
        if again >= FEWEST and again >= MOSTLY * cures:
            text = f"its cures do not last: {again} of {cures} were open again within 10m; what causes it stays"
            yield Advice("cure-does-not-last", runbook, detector, text, again, cures)
        alone = [one.closed - one.opened for one in those if one.state == "cured" and one.by_itself]
        if len(alone) >= FEWEST and len(alone) >= MOSTLY * len(those):
            after = mean(alone) or 0.0
            text = (
                f"it is mostly over by itself ({len(alone)} of {len(those)}, after {after:.0f}s): a longer `for` may do"
            )
            yield Advice("over-by-itself", runbook, detector, text, len(alone), len(those))


def retries(tries: Iterable[Try]) -> Iterator[Advice]:
    """Suggest where trying again never helped, and where it is tried again too soon."""
    chains: dict[tuple[str, str, int], list[Try]] = defaultdict(list)
    for one in tries:
        chains[one.runbook, one.operation, one.chain].append(one)
    operations: dict[tuple[str, str], list[list[Try]]] = defaultdict(list)
    for (runbook, operation, _), chain in chains.items():
        ordered = sorted(chain, key=lambda each: each.attempt)
        if len(ordered) > 1 and not ordered[0].ok:
            operations[runbook, operation].append(ordered)
    for (runbook, operation), again in sorted(operations.items()):
        helped = sum(chain[-1].ok for chain in again)
        if len(again) >= FEWEST and not helped:
            mend = "see why it fails, or let an `error` say `retry: false`"
            text = f"trying it again never helped (0 of {len(again)}): {mend}"
            yield Advice("retry-never-helped", runbook, operation, text, 0, len(again))
            continue
        yield from _delays(runbook, operation, again)


def limits(refused: Iterable[tuple[str, str, str]], fired: Iterable[tuple[str, str, str]]) -> Iterator[Advice]:
    """Suggest where a limit is reached day by day.

    Args:
        refused: runbook, detector and day of each refusal by `limit`.
        fired: runbook, detector and day of each incident.
    """
    stopped: dict[tuple[str, str], set[str]] = defaultdict(set)
    days: dict[tuple[str, str], set[str]] = defaultdict(set)
    for runbook, detector, day in refused:
        stopped[runbook, detector].add(day)
    for runbook, detector, day in fired:
        days[runbook, detector].add(day)
    for key, reached in sorted(stopped.items()):
        active = days[key] | reached
        if len(reached) >= FEWEST and len(reached) >= MOSTLY * len(active):
            often = "every day" if reached == active else f"on {len(reached)} of {len(active)} days"
            text = (
                f"its limit is reached {often} on which it fires ({len(reached)}): the recovery does not mend the cause"
            )
            yield Advice("limit-reached", *key, text, len(reached), len(active))


def words(answers: Iterable[Answered]) -> Iterator[Advice]:
    """Suggest where a person always says the same."""
    groups: dict[tuple[str, str], list[Answered]] = defaultdict(list)
    for one in answers:
        groups[one.runbook, one.detector].append(one)
    for key, said in sorted(groups.items()):
        granted = sum(one.granted for one in said)
        if len(said) < FEWEST or 0 < granted < len(said):
            continue
        if granted:
            waited = (mean([one.waited for one in said]) or 0.0) / 60
            text = (
                f"it was always approved ({granted} of {len(said)}, after {waited:.0f}m): `mode: auto` would not wait"
            )
        else:
            text = f"it was always rejected ({len(said)} of {len(said)}): `mode: observe` would not ask"
        yield Advice("always-approved" if granted else "always-rejected", *key, text, len(said), len(said))


def _earlier_in_vain(
    key: tuple[str, str, int, str],
    tried: dict[tuple[str, str, int, str], int],
    cured: dict[tuple[str, str, int, str], int],
) -> bool:
    earlier = [other for other in tried if other[:2] == key[:2] and other[2] < key[2]]
    return all(cured[other] <= (1 - MOSTLY) * tried[other] for other in earlier)


def _delays(runbook: str, operation: str, again: Sequence[Sequence[Try]]) -> Iterator[Advice]:
    """Suggest a longer wait where the first one never suffices, and a later one does."""
    seconds = [chain[1] for chain in again if chain[1].delay]
    late = [one for chain in again for one in chain[2:] if one.ok]
    if len(seconds) >= FEWEST and not any(one.ok for one in seconds) and len(late) >= FEWEST:
        delay = mean([one.delay for one in seconds if one.delay is not None]) or 0.0
        enough = [sum(one.delay or 0.0 for one in chain[1:]) for chain in again if chain[-1].ok]
        text = (
            f"its first wait ({delay:.3g}s) is always too short (0 of {len(seconds)} worked after it); it works after"
            f" {mean(enough) or 0.0:.3g}s in all: a larger `base` spares the attempts between"
        )
        yield Advice("delay-too-short", runbook, operation, text, 0, len(seconds))
