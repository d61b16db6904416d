"""A run of cases: each played and compared, and what of the runbook none of them reaches."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from runbook.engine.errors import RenderError, UserError
from runbook.engine.rehearse.compare import Difference, differences
from runbook.engine.rehearse.play import Endless, Played, play
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runbook.engine.language.case_model import Case, Suite
    from runbook.engine.model import Runbook


@frozen
class Result:
    """How a case ended."""

    file: str
    name: str
    line: int
    seconds: float  # of real time
    differences: tuple[Difference, ...]
    error: str = ""  # why it could not be played
    played: Played | None = None

    @property
    def ok(self) -> bool:
        """Everything was as expected."""
        return not self.differences and not self.error


@frozen
class Coverage:
    """What of a runbook the cases reached."""

    file: str
    detectors: tuple[tuple[str, bool], ...]  # fired, or (an input) held
    rungs: tuple[tuple[str, int, str, bool], ...]  # detector, number, title, begun

    @property
    def share(self) -> float:
        """From 0 to 1."""
        hits = [hit for _, hit in self.detectors] + [hit for *_, hit in self.rungs]
        return sum(hits) / len(hits) if hits else 1.0


def run(suite: Suite, wanted: Callable[[Case], bool]) -> list[Result]:
    """Play the cases of a file that are wanted."""
    return [_result(suite, case) for case in suite.cases if wanted(case)]


def _result(suite: Suite, case: Case) -> Result:
    began = time.perf_counter()
    try:
        played = play(suite, case)
    except (Endless, RenderError, UserError) as error:
        said = f"{error.what}{f' ({error.mend})' if error.mend else ''}" if isinstance(error, UserError) else str(error)
        return Result(suite.file, case.name, case.line, time.perf_counter() - began, (), said)
    found = tuple(differences(case.expect, played))
    return Result(suite.file, case.name, case.line, time.perf_counter() - began, found, played=played)


def coverage(runbook: Runbook, results: Iterable[Result]) -> Coverage:
    """Return what of a runbook these cases reached."""
    fired: set[str] = set()
    begun: set[tuple[str, int]] = set()
    for result in results:
        if result.played is not None:
            fired |= {each.detector for each in result.played.incidents}
            fired |= result.played.held
            begun |= result.played.rungs
    rungs = [
        (detector.name, number, rung.title, (detector.name, number) in begun)
        for detector in runbook.detectors
        for number, rung in enumerate(detector.recover)
    ]
    return Coverage(runbook.file, tuple((each.name, each.name in fired) for each in runbook.detectors), tuple(rungs))
