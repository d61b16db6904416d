"""The crashes that scans of logs have found: each once, however often its lines are scanned."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runbook.engine.journal.batch import Batch
    from runbook.engine.journal.store import Journal

Holds = Callable[[str, str], bool]  # a path, a fingerprint
REACH: Final = 120.0  # seconds: sightings of one signature that are no further apart are one crash
WEEKS: Final = 6  # of which a trend is told
_LINE: Final = 1000  # characters of a root's line


@frozen
class CrashFile:
    """A file in which a crash was seen."""

    path: str
    file: str  # fingerprint of its first bytes: the same after rotation
    mark: str  # fingerprint of the line and what stands above it: tells a crash without a time from others
    line_no: int | None
    count: int  # lines of the root


@frozen
class Crash:
    """One crash: a root that was seen at about one time, in as many files as it was."""

    signature: str
    variant: str
    host: str  # where the logs were scanned
    severity: str
    title: str
    first: float
    last: float
    timed: bool  # by its lines; else by the file's
    line: str
    files: tuple[CrashFile, ...]


@frozen
class Past:
    """What was known of a signature before a scan."""

    crashes: int = 0
    first: float | None = None
    last: float | None = None


@frozen
class SignatureRate:
    """How often a signature was the root of a crash."""

    signature: str
    variant: str
    title: str
    severity: str
    crashes: int
    files: int
    lines: int
    hosts: int
    first: float
    last: float
    weeks: tuple[tuple[str, int], ...]  # the Monday that each began with, and how many crashes; the newest last

    @property
    def name(self) -> str:
        """The signature with its kind."""
        return f"{self.signature} {self.variant}" if self.variant else self.signature


def keep(journal: Journal, found: Sequence[Crash], now: float, holds: Holds) -> dict[tuple[str, str], Past]:
    """Write down what a scan found, in one transaction, and return by signature and kind what was known before.

    Args:
        journal: where.
        found: the crashes.
        now: the time, in seconds since the epoch.
        holds: tells whether a path still holds the file of that fingerprint; where not, rotation gave it a new name.
    """
    with journal.transaction() as batch:
        past: dict[tuple[str, str], Past] = {}
        for crash in found:
            same = _same(journal, crash)
            key = (crash.signature, crash.variant)
            if key not in past:
                past[key] = _past(journal, found, key)
            _merge(journal, batch, crash, same, now, holds)
    return past


def rates(journal: Journal, since: float, now: float, host: str = "") -> list[SignatureRate]:
    """Return how often each signature was seen since a time, the most frequent first."""
    rows = journal.ask(
        """
        SELECT signature, variant, severity, title, first, last, host, id FROM crashes
        WHERE last >= ? AND (? = '' OR host = ?) ORDER BY last
        """,
        (since, host, host),
    )
    files = defaultdict(list)
    for crash, path, count in journal.ask(
        """
        SELECT crash, path, count FROM crash_files JOIN crashes ON crashes.id = crash
        WHERE last >= ? AND (? = '' OR host = ?)
        """,
        (since, host, host),
    ):
        files[crash].append((path, count))
    groups = defaultdict(list)
    for row in rows:
        groups[row[:2]].append(row)
    found = [_rate(key, some, files, now) for key, some in groups.items()]
    return sorted(found, key=lambda one: (-one.crashes, -one.last))


def _rate(
    key: tuple[str, str], rows: Sequence[tuple[Any, ...]], files: dict[int, list[tuple[str, int]]], now: float
) -> SignatureRate:
    seen = [one for row in rows for one in files[row[7]]]
    return SignatureRate(
        *key,
        title=rows[-1][3],
        severity=rows[-1][2],
        crashes=len(rows),
        files=len({path for path, _ in seen}),
        lines=sum(count for _, count in seen),
        hosts=len({row[6] for row in rows}),
        first=min(row[4] for row in rows),
        last=max(row[5] for row in rows),
        weeks=_weeks([row[4] for row in rows], now),
    )


def _weeks(times: Iterable[float], now: float) -> tuple[tuple[str, int], ...]:
    """Count by local weeks, of which the last is the one that is going on."""
    today = datetime.fromtimestamp(now).astimezone().date()
    monday = today - timedelta(days=today.weekday())
    mondays = [monday - timedelta(weeks=back) for back in reversed(range(WEEKS))]
    counts = dict.fromkeys(mondays, 0)
    for time in times:
        day = datetime.fromtimestamp(time).astimezone().date()
        begun = day - timedelta(days=day.weekday())
        if begun in counts:
            counts[begun] += 1
    return tuple((each.isoformat(), number) for each, number in counts.items())


def _same(journal: Journal, crash: Crash) -> list[int]:
    """Return the crashes that are kept already and are this one, oldest first."""
    about = (crash.signature, crash.variant, crash.host)
    if crash.timed:
        rows = journal.ask(
            "SELECT id FROM crashes WHERE signature = ? AND variant = ? AND host = ? AND timed = 1"
            " AND first <= ? AND last >= ? ORDER BY id",
            (*about, crash.last + REACH, crash.first - REACH),
        )
        return [row[0] for row in rows]
    marks = [file.mark for file in crash.files]
    rows = journal.ask(
        f"""
        SELECT DISTINCT id FROM crashes JOIN crash_files ON crash = id
        WHERE signature = ? AND variant = ? AND host = ? AND timed = 0 AND mark IN ({", ".join("?" * len(marks))})
        ORDER BY id
        """,  # noqa: S608 -- question marks
        (*about, *marks),
    )
    return [row[0] for row in rows]


def _past(journal: Journal, found: Iterable[Crash], key: tuple[str, str]) -> Past:
    """Return what is kept of a signature from before, but for what this scan has found again."""
    these = [crash for crash in found if (crash.signature, crash.variant) == key]
    again = {same for crash in these for same in _same(journal, crash)}
    begun = min(crash.first for crash in these)
    rows = [
        row
        for row in journal.ask(
            "SELECT id, first, last FROM crashes WHERE signature = ? AND variant = ? AND first < ?", (*key, begun)
        )
        if row[0] not in again
    ]
    if not rows:
        return Past()
    return Past(len(rows), min(row[1] for row in rows), max(row[2] for row in rows))


def _merge(journal: Journal, batch: Batch, crash: Crash, same: Sequence[int], now: float, holds: Holds) -> None:
    if not same:
        (known,) = journal.ask("SELECT coalesce(max(id), 0) + 1 FROM crashes")[0]
        batch.write(
            "INSERT INTO crashes (id, signature, variant, host, severity, title, first, last, timed, line, kept)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(known, crash.signature, crash.variant, crash.host, crash.severity, crash.title),
                *(crash.first, crash.last, int(crash.timed), crash.line[:_LINE], now),
            ),
        )
    else:
        known, *others = same
        for other in others:  # what lay between them is known now
            batch.write("UPDATE OR REPLACE crash_files SET crash = ? WHERE crash = ?", (known, other))
            batch.write(
                "UPDATE crashes SET first = min(first, (SELECT first FROM crashes WHERE id = ?)),"
                " last = max(last, (SELECT last FROM crashes WHERE id = ?)) WHERE id = ?",
                (other, other, known),
            )
            batch.write("DELETE FROM crashes WHERE id = ?", (other,))
        batch.write(
            "UPDATE crashes SET line = CASE WHEN ? < first THEN ? ELSE line END, first = min(first, ?),"
            " last = max(last, ?), severity = ?, title = ? WHERE id = ?",
            (crash.first, crash.line[:_LINE], crash.first, crash.last, crash.severity, crash.title, known),
        )
    for file in crash.files:
        if not journal.ask("SELECT 1 FROM crash_files WHERE crash = ? AND path = ?", (known, file.path)):
            before = journal.ask(
                "SELECT path FROM crash_files WHERE crash = ? AND file = ? AND file <> '' AND mark = ?",
                (known, file.file, file.mark),
            )
            for (path,) in before:
                if not holds(path, file.file):
                    moved = "UPDATE crash_files SET path = ? WHERE crash = ? AND path = ?"
                    batch.write(moved, (file.path, known, path))
                    break
        batch.write(
            "INSERT INTO crash_files (crash, path, file, mark, line_no, count) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET file = excluded.file, line_no = excluded.line_no,"
            " count = max(count, excluded.count)",
            (known, file.path, file.file, file.mark, file.line_no, file.count),
        )
