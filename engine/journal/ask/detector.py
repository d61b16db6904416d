"""What the journal knows of one detector on one host."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 -- a frozen class looks at its types
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.errors import UserError
from runbook.engine.journal import codec
from runbook.engine.journal.ask import runs
from runbook.engine.journal.ask.find import COLUMNS, incident_row
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runbook.engine.journal.ask.runs import LastRun
    from runbook.engine.journal.facts import IncidentRow
    from runbook.engine.journal.store import Journal

_LAST: Final = 5  # incidents that are told
_HOSTED: Final = ("events", "cursors")  # tables that are sorted by runbook and host
_PASSES: Final = 100  # the last ones, whose hosts are known though nothing happened there
_NAMED: Final = 10  # hosts
_LOOKS: Final = ("look.unknown", "look.absent", "look.seen", "incident.pending")


@frozen
class Word:
    """What a pass last told of a detector."""

    kind: str
    at: float
    data: Mapping[str, Any]


@frozen
class Known:
    """What the journal knows of a detector on a host."""

    run: LastRun  # of its runbook
    word: Word | None  # None: the last pass had nothing to tell of it
    incidents: tuple[IncidentRow, ...]  # the last ones, newest first
    fired: int  # how often in all


def known(journal: Journal, detector: str, host: str, runbook: str = "") -> Known:
    """Return what is known of a detector.

    Raises:
        UserError: no runbook of this journal has it, or several have; or none of its passes had the host.
    """
    every = runs.latest(journal, runbook)
    having = [one for one in every if detector in one.begun.get("order", ())]
    if not having:
        _refuse(journal, detector, every, runbook)
    if len(having) > 1:
        named = ", ".join(one.runbook for one in having)
        raise UserError(f"several runbooks have a detector `{detector}`", mend=f"name one with --runbook: {named}")
    run = having[0]
    _check(journal, run, host)
    rows = journal.ask(
        f"SELECT {COLUMNS} FROM incidents WHERE runbook = ? AND detector = ? AND host = ? ORDER BY opened DESC LIMIT ?",  # noqa: S608
        (run.runbook, detector, host, _LAST),
    )
    (fired,) = journal.ask(
        "SELECT count(*) FROM incidents WHERE runbook = ? AND detector = ? AND host = ?", (run.runbook, detector, host)
    )[0]
    return Known(run, _word(journal, run.id, detector, host), tuple(incident_row(row) for row in rows), fired)


def failures(
    journal: Journal, runbook: str, host: str, operations: Sequence[str], most: int
) -> Iterator[tuple[float, str, Mapping[str, Any]]]:
    """Yield the last failed attempts of some operations, newest first: when, of what, what was told of it."""
    rows = journal.ask(
        f"""
        SELECT at, operation, data FROM events
        WHERE runbook = ? AND host = ? AND kind = 'attempt.ended' AND operation IN ({", ".join("?" * len(operations))})
            AND status NOT IN ('done', 'ok', 'planned', 'skipped')
        ORDER BY at DESC LIMIT ?
        """,  # noqa: S608 -- question marks
        (runbook, host, *operations, most),
    )
    for at, operation, column in rows:
        yield at, operation, codec.load(column)


def _word(journal: Journal, run: str, detector: str, host: str) -> Word | None:
    rows = journal.ask(
        f"SELECT kind, at, data FROM events WHERE run = ? AND kind IN ({', '.join('?' * len(_LOOKS))})"  # noqa: S608
        " AND detector = ? AND host = ? ORDER BY seq DESC LIMIT 1",
        (run, *_LOOKS, detector, host),
    )
    return Word(rows[0][0], rows[0][1], codec.load(rows[0][2])) if rows else None


def _check(journal: Journal, run: LastRun, host: str) -> None:
    """Refuse a host that no pass of the runbook ever had."""
    from runbook.engine.language.nearest import nearest

    if host in run.begun.get("hosts", [host]):
        return
    known = {str(one) for one in run.begun["hosts"]}
    for table in _HOSTED:
        rows = journal.ask(
            f"""
            WITH RECURSIVE places (host) AS (
                SELECT min(host) FROM {table} WHERE runbook = ?1
                UNION ALL SELECT (SELECT min(host) FROM {table} WHERE runbook = ?1 AND host > places.host)
                FROM places WHERE places.host IS NOT NULL
            )
            SELECT host FROM places WHERE host <> ''
            """,  # noqa: S608 -- tables of ours
            (run.runbook,),
        )
        known |= {name for (name,) in rows}
    for (column,) in journal.ask(
        "SELECT data FROM runs JOIN events ON events.run = runs.id AND kind = 'run.begun' WHERE runs.runbook = ?"
        " ORDER BY started DESC LIMIT ?",
        (run.runbook, _PASSES),
    ):
        known |= {str(one) for one in codec.load(column).get("hosts") or ()}
    if host not in known:
        near = nearest(host, sorted(known))
        named = ", ".join(sorted(known)[:_NAMED]) + (", …" if len(known) > _NAMED else "")
        mend = f"did you mean `{near}`?" if near else f"there were {named}"
        raise UserError(f"no pass of {run.runbook} ever had a host `{host}`", where=journal.path, mend=mend)


def _refuse(journal: Journal, detector: str, every: Sequence[LastRun], runbook: str) -> None:
    from runbook.engine.language.nearest import nearest

    names = sorted({str(name) for one in every for name in one.begun.get("order", ())})
    if not every:
        about = f"about `{runbook}` " if runbook else ""
        raise UserError(
            f"nothing {about}is in the journal yet", where=journal.path, mend="`runbook apply RUNBOOK` begins it"
        )
    near = nearest(detector, names)
    mend = f"did you mean `{near}`?" if near else f"there are {', '.join(names)}"
    raise UserError(f"there is neither an incident nor a detector `{detector}`", where=journal.path, mend=mend)
