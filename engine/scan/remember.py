"""What a scan found, as the journal keeps it: one crash for each time that a root was seen."""

from __future__ import annotations

import hashlib
import os
import socket
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from runbook.engine.journal import codec
from runbook.engine.journal.crashes import REACH, Crash, CrashFile, Past, keep
from runbook.engine.journal.store import open_journal
from runbook.engine.scan import sniff
from runbook.engine.scan.look import signature, spot

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from runbook.engine.detect.cascade import Folded, Incident
    from runbook.engine.detect.sightings import Seen
    from runbook.modules.logs.scan import Spot

_PATIENCE: Final = 2.0  # seconds to wait for another process: the report is waiting too
_LINES: Final = 1000  # lines between two crashes where no times are known
_ABOVE: Final = 2  # lines above the root that tell it from another with the same words


def remember(incidents: Sequence[Incident], journal: str | None, now: float) -> dict[tuple[str, str], Past]:
    """Write down what was found, and return by signature and kind what was known of it before.

    Raises:
        JournalUnusable: it can't be written.
    """
    host = socket.gethostname()
    found = [crash for incident in incidents for crash in crashes(incident.root, host, now)]
    with open_journal(journal, patience=_PATIENCE) as book:
        return keep(book, found, now, _holds)


def crashes(root: Folded, host: str, now: float) -> list[Crash]:
    """Return the crashes that the sightings of a root tell of, in order."""
    timed = [one for one in root.seen if one.time is not None]
    bursts = [*_by_time(timed), *_by_place(one for one in root.seen if one.time is None)]
    return [_crash(root, burst, host, now) for burst in bursts]


def _by_time(seen: Sequence[Seen]) -> Iterator[list[Seen]]:
    """Part sightings where nothing was seen for two minutes; those that a scan only counted lie between two others."""
    burst: list[Seen] = []
    until = 0.0
    for one in sorted(seen, key=lambda one: one.time or 0.0):
        if burst and (one.time or 0.0) > until:
            yield burst
            burst = []
        burst.append(one)
        until = max(until, (one.time or 0.0) + REACH * one.count)
    if burst:
        yield burst


def _by_place(seen: Iterable[Seen]) -> Iterator[list[Seen]]:
    """Part sightings without times by lines; the first ones of all ranks of one run are one crash, and so on."""
    files: defaultdict[tuple[str, str], list[list[Seen]]] = defaultdict(list)
    for one in seen:
        bursts = files[one.near, one.source]
        if not bursts or one.line - bursts[-1][-1].line > _LINES * bursts[-1][-1].count:
            bursts.append([])
        bursts[-1].append(one)
    runs: defaultdict[tuple[str, int], list[Seen]] = defaultdict(list)
    for (near, _), bursts in files.items():
        for number, burst in enumerate(bursts):
            runs[near, number] += burst
    yield from runs.values()


def _crash(root: Folded, burst: Sequence[Seen], host: str, now: float) -> Crash:
    files: defaultdict[str, list[Seen]] = defaultdict(list)
    for one in burst:
        files[one.source].append(one)
    times = [one.time for one in burst if one.time is not None]
    known = times or [_written(path, now) for path in files]
    told = signature(root)
    return Crash(
        signature=told.id,
        variant=root.first.variant,
        host=host,
        severity=told.severity.value,
        title=told.title,
        first=min(known),
        last=max(known),
        timed=bool(times),
        line=spot(burst[0]).line,
        files=tuple(
            CrashFile(
                path=_kept(path),
                file=_digest(sniff.sample(path)),
                mark=mark(spot(some[0])),
                line_no=spot(some[0]).line_no,
                count=sum(one.count for one in some),
            )
            for path, some in files.items()
        ),
    )


def _kept(path: str) -> str:
    """Return a path as the journal can hold it, from the root on where it is one."""
    whole = os.path.abspath(path) if os.path.exists(path) else path  # noqa: PTH100, PTH110 -- links stay
    return codec.text(whole)


def mark(one: Spot) -> str:
    """Return what tells a line from others with the same words: itself, and what stands above it."""
    return _digest("\n".join((*one.before[-_ABOVE:], one.line)).encode("utf-8", "replace"))


def _holds(path: str, file: str) -> bool:
    return _digest(sniff.sample(path)) == file


def _written(path: str, now: float) -> float:
    """Return when a file was written last, for lines that bear no time."""
    try:
        return min(now, os.stat(path).st_mtime)  # noqa: PTH116 -- as the person wrote it
    except (OSError, ValueError):
        return now


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest() if content else ""
