"""Reading the files of a scan one after the other, and putting what was seen in order of cause."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

from runbook.engine.detect import cascade
from runbook.engine.detect.sightings import Seen
from runbook.engine.errors import UserError
from runbook.engine.scan import analysed, find, gpus, kinds
from runbook.modules.declare import Unclear
from runbook.modules.frozen import frozen
from runbook.modules.logs import scan as reader
from runbook.modules.logs import sightings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from runbook.engine.detect.cascade import Folded, Incident
    from runbook.engine.language.signatures import Catalogue, Signature
    from runbook.engine.scan.find import Left, Source
    from runbook.modules.logs.patterns import Pattern
    from runbook.modules.logs.scan import FileScan, Spot
    from runbook.modules.logs.sightings import Part

    Each = Callable[[str, int | None, Signature, str], None]  # path, line's number, signature, line

CONTEXT: Final = 2  # lines around a spot, at the least: they tell one crash without a time from another
_KEPT: Final = 16 << 20  # characters of lines and their surroundings that are kept over all files
_FILE: Final = 16 << 10  # bytes that are read in the time that it takes to begin with a file
_UNPACKED: Final = 4  # bytes, guessed, of one that may be packed
_MUCH: Final = 1 << 30
_APART: Final = 600.0  # seconds between the ends of two runs in one directory
_SHORT: Final = 400  # characters of a line when that is used up


@frozen
class Asked:
    """What of each file is read."""

    since: float | None = None
    last_lines: int | None = None
    context: int = CONTEXT


@frozen
class Scanned:
    """What a scan came to."""

    incidents: tuple[Incident, ...]  # in order of cause; their evidence is a `Spot`
    files: tuple[FileScan, ...]  # that were read, without what was found in them
    left: tuple[Left, ...] = ()  # what was not read, or not to its end
    matched: int = 0  # lines that a signature names, those of advice among them
    took: float = 0.0
    stopped: bool = False  # somebody did not wait for its end

    @property
    def lines(self) -> int:
        """How many lines were read."""
        return sum(file.lines for file in self.files)

    @property
    def bytes(self) -> int:
        """How much was read."""
        return sum(file.bytes for file in self.files)

    @property
    def whole(self) -> int:
        """How many files were read to their end."""
        broken = {one.path for one in self.left if one.partly and one.unreadable}
        return sum(not (file.stopped or file.path in broken) for file in self.files)

    @property
    def unreadable(self) -> tuple[Left, ...]:
        """What somebody wanted to be read, and could not, or not to its end."""
        return tuple(one for one in self.left if one.unreadable)

    @property
    def skipped(self) -> tuple[Left, ...]:
        """What is no log."""
        return tuple(one for one in self.left if not (one.unreadable or one.partly))

    @property
    def exit_code(self) -> int:
        """2 where something crashed; 1 where nothing could be read; 4 where something could not; else 0."""
        if self.stopped:
            return 130
        if self.incidents:
            return 2
        if not self.files:
            return 1
        return 4 if self.unreadable else 0


def look(found: Iterable[Source | Left], catalogue: Catalogue, asked: Asked, each: Each | None = None) -> Scanned:
    """Read what is to be read.

    Args:
        found: the files, in order.
        catalogue: what is looked for.
        asked: how much of each file is read.
        each: called for every line and signature that matches it, in order.
    """
    started = time.monotonic()
    patterns = kinds.patterns(catalogue)
    analysed.bring()
    gathering = _Gathering(catalogue)
    stopped, backlog = False, 0
    try:
        for one in found:
            if isinstance(one, find.Left):
                gathering.left.append(one)
                continue
            backlog += _MUCH if one.size is None else _FILE + one.size * _UNPACKED
            named = _naming(each, one.path, catalogue.signatures)
            read = _read(one, patterns, asked, named, backlog)
            gathering.add(one, read)
            if read.stopped:
                stopped = True
                break
    except Unclear as error:  # RUNBOOK_SCANNER names what is not there
        raise UserError(str(error)) from error
    except KeyboardInterrupt:  # what was read so far may say it all
        stopped = True
    incidents = cascade.incidents(gathering.seen())
    return Scanned(
        tuple(incidents),
        tuple(gathering.files),
        tuple(gathering.left),
        gathering.matched,
        time.monotonic() - started,
        stopped,
    )


def _read(
    source: Source, patterns: Sequence[Pattern], asked: Asked, each: reader.Each | None, backlog: int
) -> FileScan:
    try:
        return reader.scan(
            source.path if source.stream is None else source.stream,
            patterns,
            since=asked.since,
            last_lines=asked.last_lines,
            context=max(CONTEXT, asked.context),
            each=each,
            backlog=backlog,
        )
    finally:
        find.close(source)


def needs(incident: Incident) -> tuple[str | None, str]:
    """Return what an incident calls for, and what to do: of all that is said of its GPU the gravest goes."""
    root = signature(incident.root)
    device = incident.root.first.device
    graver = [
        one
        for one in incident.cascades
        if one.first.device and gpus.rank(signature(one).action) > gpus.rank(root.action)
    ]
    if not graver:
        return root.action, root.advice
    gravest = signature(max(graver, key=lambda one: gpus.rank(signature(one).action)))
    return gravest.action, gravest.advice if device else f"{root.advice} {gravest.title}: {gravest.advice}"


def signature(folded: Folded) -> Signature:
    """Return the catalogue's entry of what was seen."""
    return cast("Signature", folded.sign)


def spot(seen: Seen) -> Spot:
    """Return the line of a sighting."""
    return cast("Spot", seen.evidence)


def _naming(each: Each | None, path: str, signatures: Mapping[str, Signature]) -> reader.Each | None:
    if each is None:
        return None

    def tell(line_no: int | None, name: str, line: str) -> None:
        if kinds.is_whole(name):
            each(path, line_no, signatures[name], line)

    return tell


class _Gathering:
    """What was seen so far, with evidence as long as there is room for it."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.files: list[FileScan] = []
        self.left: list[Left] = []
        self.matched = 0
        self._catalogue = catalogue
        self._room = _KEPT
        self._found: list[tuple[Source, Signature, Part, list[Spot]]] = []

    def add(self, source: Source, scanned: FileScan) -> None:
        """Take in what one file held."""
        if scanned.trouble:
            self.left.append(find.Left(source.path, scanned.trouble, unreadable=True, partly=scanned.bytes > 0))
        if scanned.note:
            self.left.append(find.Left(source.path, scanned.note, partly=True))
        if not scanned.bytes and (scanned.trouble or scanned.stopped):
            return
        self.files.append(replace(scanned, path=source.path, found={}))
        for name, sighting in scanned.found.items():
            self.matched += sighting.count
            told = self._catalogue.signatures[kinds.name(name)]
            self._found += [(source, told, part, [*map(self._evidence, part.spots)]) for part in sighting.parts]

    def seen(self) -> Iterator[Seen]:
        """Yield all sightings, in the order of the files."""
        runs = _runs(source for source, *_ in self._found)
        lines = [
            gpus.Told(signature, source.path, spot) for source, signature, _, spots in self._found for spot in spots
        ]
        said = iter(gpus.faults(self._catalogue, lines))
        for source, signature, part, spots in self._found:
            for place, spot in enumerate(spots, 1):
                fault = next(said)
                kind, variant = kinds.kind(self._catalogue, signature, fault)
                counted = place == min(max(part.early, 1), len(spots))  # behind it stand those that were only counted
                yield Seen(
                    sign=kind,
                    source=source.path,
                    line=_order(spot, place),
                    time=spot.time,
                    count=1 + (part.count - len(spots)) * (counted and part.device != sightings.OTHERS),
                    variant=variant,
                    device=fault.subject,
                    job=kinds.job(spot.groups),
                    near=runs[source.path],
                    reach=_reach(spot.groups),
                    ranks=(part.ranks if counted else frozenset()) | ({spot.rank} if spot.rank is not None else set()),
                    hosts=(part.hosts if counted else frozenset()) | ({spot.host} if spot.host else set()),
                    evidence=spot,
                )

    def _evidence(self, spot: Spot) -> Spot:
        if self._room > 0:
            self._room -= len(spot.line) + sum(map(len, spot.before)) + sum(map(len, spot.after))
            return spot
        code = {name: value for name, value in spot.groups.items() if name in kinds.TELLING}
        return replace(spot, line=spot.line[:_SHORT], groups=code, before=(), after=())


def _runs(sources: Iterable[Source]) -> dict[str, str]:
    """Return by path what belongs together: files of one neighbourhood that were written to within minutes."""
    runs: dict[str, str] = {}
    before: Source | None = None
    for source in sorted(sources, key=lambda source: (source.near, source.written)):
        if before is not None and source.near == before.near and source.written - before.written <= _APART:
            runs[source.path] = runs[before.path]
        else:
            runs[source.path] = f"{source.near} {source.written}" if source.near else ""
        before = source
    return runs


def _order(spot: Spot, place: int) -> int:
    """Return a line's place in its file; of the end of a long file, whose lines have no numbers, that in time."""
    if spot.line_no is not None:
        return spot.line_no
    return place if spot.time is None else round(spot.time * 1000)


def _reach(groups: Mapping[str, Any]) -> float:
    """Return how long a timeout says that it has waited for what did not come, and two minutes."""
    waited = groups.get("ms")
    return waited / 1000 + 120 if isinstance(waited, int | float) else 0.0
