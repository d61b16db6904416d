"""How things stand: what the last passes left, and what people have said since."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 -- frozen classes look at their types
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.journal import codec, watches
from runbook.engine.journal.ask import runs
from runbook.engine.journal.ask.find import COLUMNS, incident_row
from runbook.engine.journal.ask.left import DOWN, STOPPED, blind, left
from runbook.engine.people import People
from runbook.modules.frozen import field, frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from runbook.engine.journal.ask.runs import LastRun
    from runbook.engine.journal.facts import IncidentRow
    from runbook.engine.journal.store import Journal
    from runbook.engine.journal.watches import Watch

_MOST: Final = 500  # facts of one pass that are looked at
_FOLDED: Final = 100  # attempts that a breaker is told from
_WINDOW: Final = 20  # attempts that a component's level is told from, unless it says otherwise
_TIMEOUT, _SUCCESSES = 60.0, 2  # of a breaker, unless it says otherwise


@frozen
class Blind:
    """What the last pass could not see. `detector` is empty where the whole host did not answer."""

    runbook: str
    host: str
    detector: str
    reason: str
    at: float


@frozen
class Undone:
    """An operation that the last pass did not bring to its end."""

    runbook: str
    host: str
    operation: str
    state: str  # failed, waiting or interrupted
    attempts: int
    error: str
    at: float


@frozen
class ActiveMember:
    """The member of a pool that is in use."""

    runbook: str
    host: str
    pool: str
    member: str
    since: float


@frozen
class Fed:
    """A component on a host, with the attempts that it is told from."""

    runbook: str
    host: str
    name: str
    window: int
    breaker: Mapping[str, Any] | None  # its settings
    attempts: tuple[tuple[float, bool, float], ...]  # when each ended, whether it worked, its seconds; oldest first


@frozen
class Held:
    """A condition that holds, and has not held long or often enough yet."""

    runbook: str
    host: str
    detector: str
    subject: str
    since: float
    seen: float  # last
    data: Mapping[str, Any] = field(default_factory=dict)  # of its fact: hold, count, counted, fields, when


@frozen
class Standing:
    """The answer of `status`."""

    passes: tuple[LastRun, ...] = ()
    incidents: tuple[IncidentRow, ...] = ()  # open, or ended uncured and not known to be well; oldest first
    conditions: Mapping[str, str] = field(default_factory=dict)  # what each of them asked, by its id
    pending: tuple[Held, ...] = ()
    blind: tuple[Blind, ...] = ()
    undone: tuple[Undone, ...] = ()
    components: tuple[Fed, ...] = ()
    pools: tuple[ActiveMember, ...] = ()
    people: People = field(default_factory=People)
    unended: frozenset[str] = frozenset()  # the last passes, by id, that went away before their end, or were stopped
    free: frozenset[str] = frozenset()  # incidents, by id, that only a lease kept from recovery which is over by now
    watches: tuple[tuple[Watch, str], ...] = ()  # with the state of each

    @property
    def watched(self) -> frozenset[str]:
        """The runbooks that a watch looks after now."""
        return frozenset(watch.runbook for watch, state in self.watches if state == watches.WATCHING)


def nobody(_run: str) -> bool:
    """Say that a run without an end does not live."""
    return False


def standing(
    journal: Journal, now: float, runbook: str = "", host: str = "", alive: Callable[[str], bool] = nobody
) -> Standing:
    """Return how things stand; empty names ask for all, `alive` tells whether a run without an end is at work."""
    with journal.at_one_moment():
        passes = runs.latest(journal, runbook)
        about = [one for one in passes if not host or host in one.begun.get("hosts", [host])]
        pending, unseen, undone = [], [], []
        for one in about:
            pending += _pending(journal, one, host)
            told = blind(journal, one.id, host)
            unseen += [Blind(one.runbook, *key, reason, at) for key, (reason, at) in told.items()]
            undone += _undone(journal, one, host, now - DOWN)
        incidents = _incidents(journal, passes, runbook, host, now)
        stands = watches.stances(journal, now, alive, runbook)
        named = {watch.run for watch, _ in stands}
        return Standing(
            tuple(about),
            tuple(incidents),
            _conditions(journal, [one.id for one in incidents]),
            tuple(pending),
            tuple(unseen),
            tuple(undone),
            tuple(fed for one in about for fed in components(journal, one, host)),
            tuple(_pools(journal, runbook, host)),
            journal.people(now),
            frozenset(
                one.id for one in about if one.command in runs.PASSES and one.id not in named and _unended(one, alive)
            ),
            frozenset(one.id for one in incidents if is_free(journal, one, alive, now)),
            stands,
        )


def is_free(journal: Journal, incident: IncidentRow, alive: Callable[[str], bool], now: float) -> bool:
    """Tell whether a lease of this journal kept an incident from recovery, and is over by now."""
    refused: Mapping[str, Any] = next((one for one in incident.data.get("answers") or () if not one.get("ok")), {})
    if refused.get("guard") != "lease":
        return False
    from runbook.engine.journal import leases

    place = (incident.host, incident.subject)
    rows = journal.ask("SELECT holder FROM leases WHERE host = ? AND subject = ?", place)
    ours = bool(rows) and str(refused.get("reason") or "").startswith(rows[0][0])
    return ours and place not in leases.others(journal, "", incident.runbook, alive, now)


def _unended(one: LastRun, alive: Callable[[str], bool]) -> bool:
    return one.exit_code == STOPPED or (one.ended is None and not alive(one.id))


def components(journal: Journal, run: LastRun, host: str = "", name: str = "") -> Iterator[Fed]:
    """Yield the components that a runbook declared or fed at its last pass, as far as anything was attempted."""
    declared = run.begun.get("components")
    for component, about in declared.items() if isinstance(declared, dict) else ():
        if name and component != name:
            continue
        operations, member = tuple(about.get("operations") or ()), str(about.get("member") or "")
        window, breaker = int(about.get("window") or _WINDOW), about.get("breaker")
        for where in [host] if host else run.begun.get("hosts") or ():
            attempts = _attempts(journal, run.runbook, where, operations, member, window)
            if breaker is not None and attempts and not _is_settled(attempts, breaker):
                attempts = _attempts(journal, run.runbook, where, operations, member, max(window, _FOLDED))
            if attempts:
                yield Fed(run.runbook, where, component, window, breaker, attempts)


def _is_settled(attempts: Sequence[tuple[float, bool, float]], breaker: Mapping[str, Any]) -> bool:
    """Tell whether a breaker was closed at some moment of these attempts, whatever was before them."""
    timeout, enough = breaker.get("timeout") or _TIMEOUT, breaker.get("successes") or _SUCCESSES
    failed, worked = attempts[0][0], 0  # it was opened by then at the latest
    for at, ok, _ in attempts:
        if not ok:
            failed, worked = at, 0
        elif at >= failed + timeout:
            worked += 1
            if worked >= enough:
                return True
    return False


def waiting(journal: Journal) -> list[IncidentRow]:
    """Return the incidents that wait for a person's approval, oldest first."""
    rows = journal.ask(
        f"SELECT {COLUMNS} FROM incidents WHERE closed IS NULL AND state = 'waiting' ORDER BY opened, id"  # noqa: S608
    )
    return [incident_row(row) for row in rows]


def _incidents(journal: Journal, passes: list[LastRun], runbook: str, host: str, now: float) -> list[IncidentRow]:
    rows = journal.ask(
        f"SELECT {COLUMNS} FROM incidents WHERE closed IS NULL AND (? = '' OR runbook = ?) AND (? = '' OR host = ?)",  # noqa: S608
        (runbook, runbook, host, host),
    )
    found = [row for one in passes for row in left(journal, one, host, now)] + [incident_row(row) for row in rows]
    last = {(one.runbook, one.host, one.detector, one.subject): one for one in found}  # what is open goes before
    return sorted(last.values(), key=lambda one: (one.opened, one.id))


def _conditions(journal: Journal, incidents: list[str]) -> dict[str, str]:
    found = {}
    for name in incidents:
        rows = journal.ask(
            "SELECT json_extract(data, '$.when') FROM events"
            " WHERE incident = ? AND incident <> '' AND +kind = 'incident.opened' LIMIT 1",  # by the incident's index
            (name,),
        )
        if rows and rows[0][0]:
            found[name] = str(rows[0][0])
    return found


def _pending(journal: Journal, run: LastRun, host: str) -> list[Held]:
    """Return what the last pass saw that holds still and opened no incident, by the holds that are kept."""
    rows = journal.ask(
        """
        SELECT holds.host, holds.detector, holds.subject, holds.since, max(seen, told.at), told.data
        FROM holds CROSS JOIN events AS told ON told.seq = (
            SELECT seq FROM events INDEXED BY events_by_host
            WHERE runbook = holds.runbook AND host = holds.host AND kind = 'incident.pending' AND at >= holds.since
                AND run = ?2 AND detector = holds.detector AND subject = holds.subject ORDER BY at DESC LIMIT 1
        )
        WHERE holds.runbook = ?1 AND (?3 = '' OR holds.host = ?3) AND NOT EXISTS (
            SELECT 1 FROM events INDEXED BY events_by_host
            WHERE runbook = ?1 AND host = holds.host AND kind = 'incident.opened' AND at >= told.at
                AND run = ?2 AND detector = holds.detector AND subject = holds.subject
        ) ORDER BY told.seq
        """,
        (run.runbook, run.id, host),
    )
    return [
        Held(run.runbook, name, detector, subject, since, seen, codec.load(column))
        for name, detector, subject, since, seen, column in rows
    ]


def _undone(journal: Journal, run: LastRun, host: str, since: float) -> list[Undone]:
    """Return the operations that are not done, as of the last pass that came to any: `check --fix` comes to none."""
    rows: list[tuple[Any, ...]] = []
    for where in [host] if host else run.begun.get("hosts") or ():
        rows += journal.ask(
            """
            SELECT host, operation, status, data, at FROM events
            WHERE kind = 'operation.ended' AND host = ?2 AND status IN ('failed', 'waiting', 'interrupted') AND run = (
                SELECT run FROM events WHERE runbook = ?1 AND host = ?2 AND kind = 'operation.ended' AND at >= ?3
                ORDER BY at DESC LIMIT 1
            ) ORDER BY seq LIMIT ?4
            """,
            (run.runbook, where, since, _MOST),
        )
    found = []
    for name, operation, state, column, at in rows:
        data = codec.load(column)
        said = (int(data.get("attempts") or 0), str(data.get("error") or ""))
        found.append(Undone(run.runbook, name, operation, state, *said, at))
    return found


def _attempts(
    journal: Journal, runbook: str, host: str, operations: tuple[str, ...], member: str, most: int
) -> tuple[tuple[float, bool, float], ...]:
    """Return the last attempts of some operations; the index has them in the order of time, each by itself."""
    of_member = "AND json_extract(data, '$.member') = ?" if member else ""
    rows = []
    for operation in operations:
        rows += journal.ask(
            f"""
            SELECT at, status IN ('done', 'ok'), coalesce(duration, 0.0) FROM events INDEXED BY events_attempted
            WHERE kind = 'attempt.ended' AND runbook = ? AND host = ? AND operation = ?
                AND status <> 'planned' AND status <> 'skipped' AND status <> 'refused' {of_member}
                AND (status IN ('done', 'ok') OR json_extract(data, '$.local') IS NULL) ORDER BY at DESC LIMIT ?
            """,  # noqa: S608 -- words of this function
            (runbook, host, operation, *([member] if member else []), most),
        )
    return tuple((at, bool(ok), took) for at, ok, took in sorted(rows)[-most:])


def _pools(journal: Journal, runbook: str, host: str) -> list[ActiveMember]:
    rows = journal.ask(
        "SELECT runbook, host, pool, member, at FROM pools WHERE (? = '' OR runbook = ?) AND (? = '' OR host = ?)"
        " ORDER BY runbook, host, pool",
        (runbook, runbook, host, host),
    )
    return [ActiveMember(*row) for row in rows]
