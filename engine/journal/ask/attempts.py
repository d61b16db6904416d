"""How often a program's operations were tried and its recoveries cured, with the last attempts one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runbook.engine.journal import codec
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from runbook.engine.journal.store import Journal

_LAST: Final = 100  # attempts that are told one by one
_ATTEMPTS: Final = "kind = 'attempt.ended' AND operation <> '' AND status NOT IN ('planned', 'skipped', 'refused')"


@frozen
class Tried:
    """One attempt."""

    operation: str
    attempt: int  # its number within its call, from 1
    success: bool
    error: str
    at: float  # when it ended, in seconds since the epoch
    duration: float  # seconds


@frozen
class Retries:
    """How often something was tried."""

    total_attempts: int
    successes: int
    attempts: tuple[Tried, ...]  # the last hundred, oldest first

    @property
    def failures(self) -> int:
        """How often it failed."""
        return self.total_attempts - self.successes

    @property
    def success_rate(self) -> float | None:
        """From 0 to 1; None where nothing was tried."""
        return self.successes / self.total_attempts if self.total_attempts else None


@frozen
class Recoveries:
    """How often recoveries were begun, and how that ended."""

    attempts: int
    successes: int

    @property
    def failures(self) -> int:
        """How often it was in vain, or is not known yet."""
        return self.attempts - self.successes

    @property
    def success_rate(self) -> float | None:
        """From 0 to 1; None where none was begun."""
        return self.successes / self.attempts if self.attempts else None


def retries(journal: Journal, runbook: str, operation: str = "") -> Retries:
    """Return how often an operation of a runbook (or any of them) was tried."""
    values = (runbook, operation, operation)
    ((total, good),) = journal.ask(
        f"SELECT count(*), coalesce(sum(status IN ('done', 'ok')), 0) FROM events WHERE {_ATTEMPTS}"  # noqa: S608 -- ours
        " AND runbook = ? AND (? = '' OR operation = ?)",
        values,
    )
    rows = journal.ask(
        f"SELECT operation, status, at, duration, data FROM events WHERE {_ATTEMPTS}"  # noqa: S608
        " AND runbook = ? AND (? = '' OR operation = ?) ORDER BY seq DESC LIMIT ?",
        (*values, _LAST),
    )
    tried = []
    for name, status, at, duration, column in reversed(rows):
        data = codec.load(column)
        number, error = int(data.get("attempt") or 1), str(data.get("error") or "")
        tried.append(Tried(name, number, status in {"done", "ok"}, error, at, duration or 0.0))
    return Retries(total, good, tuple(tried))


def recoveries(journal: Journal, runbook: str) -> Recoveries:
    """Return how often recoveries of a runbook were begun, and incidents with one cured."""
    ((begun,),) = journal.ask("SELECT count(*) FROM events WHERE kind = 'recovery.begun' AND runbook = ?", (runbook,))
    ((cured,),) = journal.ask(
        "SELECT count(DISTINCT begun.incident) FROM events AS begun JOIN incidents ON incidents.id = begun.incident"
        " WHERE begun.kind = 'recovery.begun' AND begun.runbook = ? AND incidents.state = 'cured'",
        (runbook,),
    )
    return Recoveries(begun, min(begun, cured))
