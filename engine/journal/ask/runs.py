"""The last pass of each runbook, and whether the next one is overdue."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 -- a frozen class looks at its types
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.journal import codec
from runbook.modules.frozen import field, frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runbook.engine.journal.store import Journal

PASSES: Final = ("apply", "check", "watch")  # commands that look with all detectors
CALLS: Final = ("call",)  # of a program, through `heal` and `Engine`
_LOOKED_AT: Final = 16  # passes that a rhythm is told from
_RHYTHM: Final = 8  # passes, at least: a person who runs a few by hand keeps no rhythm
_SHORTEST: Final = 30.0  # seconds between passes that a timer begins; those of a loop in a shell are nearer
_LATE: Final = 3  # times the usual gap
_EVEN: Final = 0.2  # share of the usual gap by which a gap may differ from it
_MISSED: Final = 0.15  # share of the gaps that may be otherwise: the machine was down, somebody ran one by hand


@frozen
class LastRun:
    """The last pass of a runbook. Times in seconds since the epoch."""

    id: str
    runbook: str
    file: str
    command: str
    started: float
    ended: float | None
    exit_code: int | None
    by: str
    every: float | None = None  # the seconds that usually lie between its passes, where they come evenly
    begun: Mapping[str, Any] = field(default_factory=dict)  # what it said when it began: hosts, order, components…

    def overdue(self, now: float) -> float | None:
        """Return by how many seconds the next pass is late; None where none was expected yet, or ever."""
        if self.every is None or self.ended is None:
            return None
        late = now - self.started - self.every
        return late if late > (_LATE - 1) * self.every else None


def latest(journal: Journal, runbook: str = "") -> list[LastRun]:
    """Return the last pass of each runbook, or of one; the newest first."""
    names = [runbook] if runbook else _names(journal)
    found = [one for name in names if (one := _last(journal, name)) is not None]
    return sorted(found, key=lambda one: -one.started)


def rhythm(started: Sequence[float]) -> float | None:
    """Return the usual gap between passes that come evenly, as from cron; newest first.

    Example:
        >>> rhythm([960.0, 840.0, 720.0, 600.0, 480.0, 361.0, 240.0, 120.0])
        120.0
    """
    gaps = [later - earlier for later, earlier in pairwise(started)]
    if len(started) < _RHYTHM:
        return None
    usual = sorted(gaps)[len(gaps) // 2]
    even = sum(abs(gap - usual) <= _EVEN * usual for gap in gaps)
    return usual if usual >= _SHORTEST and even >= (1 - _MISSED) * len(gaps) else None


def _names(journal: Journal) -> list[str]:
    """Return the names of all runbooks, by a walk from one to the next in the index."""
    rows = journal.ask(
        """
        WITH RECURSIVE names (name) AS (
            SELECT min(runbook) FROM runs
            UNION ALL SELECT (SELECT min(runbook) FROM runs WHERE runbook > name) FROM names WHERE name IS NOT NULL
        )
        SELECT name FROM names WHERE name IS NOT NULL
        """
    )
    return [name for (name,) in rows]


def _last(journal: Journal, runbook: str) -> LastRun | None:
    """Return a runbook's last pass; of one that only programs use, their last call."""
    rows = _runs(journal, runbook, PASSES)
    every = rhythm([row[4] for row in rows])
    if rows:
        begun = journal.ask("SELECT data FROM events WHERE run = ? AND kind = 'run.begun' LIMIT 1", (rows[0][0],))
    else:  # a program tells of its runbook at its first call alone
        rows = _runs(journal, runbook, CALLS)
        begun = journal.ask(
            "SELECT data FROM events WHERE runbook = ? AND host = '' AND kind = 'run.begun' ORDER BY at DESC LIMIT 1",
            (runbook,),
        )
    if not rows:
        return None
    return LastRun(*(*rows[0], every, codec.load(begun[0][0]) if begun else {}))


def _runs(journal: Journal, runbook: str, commands: Sequence[str]) -> list[tuple[Any, ...]]:
    return journal.ask(
        f"""
        SELECT id, runbook, file, command, started, ended, exit_code, started_by FROM runs
        WHERE runbook = ? AND command IN ({", ".join("?" * len(commands))}) ORDER BY started DESC LIMIT ?
        """,  # noqa: S608 -- question marks
        (runbook, *commands, _LOOKED_AT),
    )
