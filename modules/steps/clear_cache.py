"""The step `clear_cache`."""

import fnmatch
import operator
import os
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Dict, Iterable, Iterator, List, Literal, Optional, Sequence, Set, Tuple

from runbook.modules.acting import tree, walking
from runbook.modules.acting.hands import counted, size
from runbook.modules.acting.regular_file import reading
from runbook.modules.acting.walking import Found
from runbook.modules.actions import Action, Delete
from runbook.modules.declare import Duration, Failed, Glob, Impact, Invalid, Path, Size, Step, Unclear
from runbook.modules.frozen import frozen
from runbook.modules.host import Host

if TYPE_CHECKING:
    from runbook.modules.formats.form import Format

FORMS: "Dict[str, Format]" = {".json": "json", ".safetensors": "safetensors", ".zip": "zip", ".npz": "zip"}
PARTIAL = (".incomplete", ".part", ".partial")
ABANDONED = 3600.0  # seconds without a byte after which a partial download is taken for given up
JUDGING = 900.0  # seconds for reading what may be corrupt


@dataclass
class Unit:
    """What goes or stays as one: a file, or a directory that `match` names."""

    name: str
    things: List[Found] = field(default_factory=list)
    newest: float = 0.0  # when the youngest file in it was last changed
    size: int = 0  # bytes that deleting it gives back; a file with more hard links gives back nothing

    @classmethod
    def alone(cls, found: Found) -> "Unit":
        """Return a file as one that goes or stays by itself."""
        seen = found.stat
        return cls(found.path, [found], seen.st_mtime, seen.st_size if seen.st_nlink == 1 else 0)

    def add(self, found: Found) -> None:
        """Take one thing in."""
        self.things.append(found)
        if not found.directory:
            self.newest = max(self.newest, found.stat.st_mtime)
            self.size += found.stat.st_size if found.stat.st_nlink == 1 else 0


@frozen
class ClearCache(Step):
    """Delete from a cache, the oldest first, until enough is free; without conditions, all that lies in it.

    The conditions narrow each other: with `older_than: 7d` and `until_free: 50GB` nothing younger than seven days goes,
    and of what is older no more than it takes. Ages are those of the last change. Directories that become empty go too,
    the one at `path` never; a step that is killed may leave some. Links are not followed: a link is deleted as a link,
    and what is mounted below stays.

    A pattern in `match` without a slash fits a name at any depth, one with a slash a path from `path` on (`**` for any
    directories). A directory that it fits goes or stays as a whole and is as old as the youngest file in it, so that
    `match: "checkpoint-*"` with `keep: 3` counts checkpoints, and not the files in them.

    `only: corrupt` takes the files that are broken: JSON, safetensors and zip files (by their suffix, or by their first
    bytes where the name has none) and partial downloads that nobody has written to for an hour. What it can't judge it
    leaves alone and counts as `unjudged`. The result also has `deleted` (files) and `freed` (bytes).

    Example:
        - clear_cache: {path: /srv/models/cache, older_than: 7d, until_free: 50GB}
        - clear_cache: {path: /srv/train/output, match: "checkpoint-*", keep: 3}
        - clear_cache: {path: /srv/models/cache, only: corrupt}
    """

    impact = Impact.DESTRUCTIVE
    timeout = 1800.0
    writes = ("path",)

    path: Path  # the directory that holds the cache
    match: Optional[Tuple[Glob, ...]] = None  # globs of the names or paths to delete; without any, every file
    older_than: Optional[Duration] = None  # only what was last changed longer ago
    keep: Optional[int] = None  # how many of the newest always stay
    until_free: Optional[Size] = None  # stop when the file system has so much free space
    max_size: Optional[Size] = None  # stop when what matches is no larger in all
    only: Optional[Literal["corrupt"]] = None  # corrupt: only files that are broken

    def check(self) -> None:
        """Conditions that can be met."""
        if self.keep is not None and self.keep < 0:
            raise Invalid("`keep` can't be negative")
        if self.match is not None and not self.match:
            raise Invalid("`match` is empty, which would fit nothing: leave it out to clear all")
        for pattern in self.match or ():
            if pattern.startswith("/") or not all(part not in {"", ".", ".."} for part in pattern.split("/")):
                raise Invalid(f"`match: {pattern}` must be a name, or a path from `path` on without `..`")

    def plan(self, host: Host) -> List[Action]:
        """Choose what goes, and say so in one action."""
        tree.inside(self.path, host.writable)
        found = list(walking.walk(host, self.path))
        if not found:
            host.note(f"{self.path} is not there")
            return []
        if found and not found[-1].directory:
            raise Failed(
                f"{self.path} is no directory; name the directory and give `match: {os.path.basename(self.path)}`"
            )
        below = found[:-1]
        inside = [thing for thing in below if thing.directory]
        chosen = list(self._choose(self._units(below, host), host))
        if self.only or not self.match:
            files = [unit.things[0] for unit in chosen]
            empty_too = {thing.path for thing in inside} if self._all() else set()
        else:
            things = [thing for unit in chosen for thing in unit.things]
            files = [thing for thing in things if not thing.directory]
            empty_too = {thing.path for thing in things if thing.directory}
        folders = _emptied(below, inside, files, empty_too)
        freed = sum(unit.size for unit in chosen)
        host.remember(deleted=len(files), freed=freed)
        entries = tuple(thing.entry for thing in [*files, *folders])
        self._say(host, freed, len(below) - len(inside), fits=bool(entries))
        return [Delete(self.path, entries)] if entries else []

    def report(self, host: Host) -> Dict[str, Any]:
        """Say how many files went and what that gave back."""
        return {name: host.kept.get(name, 0) for name in ("deleted", "freed", "unjudged")}

    def _all(self) -> bool:
        conditions = (self.older_than, self.keep, self.until_free, self.max_size, self.only)
        return not self.match and all(condition is None for condition in conditions)

    def _units(self, below: Sequence[Found], host: Host) -> List[Unit]:
        """Group what `match` fits; without it, and where only what is corrupt goes, each file is on its own."""
        if self.only or not self.match:
            alone = [Unit.alone(thing) for thing in below if not thing.mount and not thing.directory]
            if not self.only:
                return alone
            fitting: Dict[str, Optional[str]] = {}
            return self._corrupt(
                [unit for unit in alone if not self.match or self._fitting(unit.name, fitting) is not None], host
            )
        units: Dict[str, Unit] = {}
        fitting = {}
        for thing in below:
            name = self._fitting(thing.path, fitting)
            if name is not None and not thing.mount:
                units.setdefault(name, Unit(name)).add(thing)
        for unit in units.values():
            if all(thing.directory for thing in unit.things):
                unit.newest = max(thing.stat.st_mtime for thing in unit.things)
        return list(units.values())

    def _fitting(self, path: str, known: Dict[str, Optional[str]]) -> Optional[str]:
        """Return the topmost part of a path that a pattern fits."""
        if path not in known:
            above, _, _ = path.rpartition("/")
            found = self._fitting(above, known) if above else None
            known[path] = found or (path if any(_fits(pattern, path) for pattern in self.match or ()) else None)
        return known[path]

    def _corrupt(self, units: Iterable[Unit], host: Host) -> List[Unit]:
        until = time.monotonic() + JUDGING
        found, unjudged = [], 0
        for unit in units:
            [thing] = unit.things
            verdict = _sound(os.path.join(self.path, thing.path), thing, host.now(), until)
            if verdict is False:
                found.append(unit)
            unjudged += verdict is None
        host.remember(unjudged=unjudged)
        return found

    def _choose(self, units: List[Unit], host: Host) -> Iterator[Unit]:
        """Yield the units that go, oldest first, up to the limits."""
        units.sort(key=operator.attrgetter("newest", "name"))
        total = sum(unit.size for unit in units)
        if self.keep:
            del units[-self.keep :]
        missing: Optional[int] = None if self.until_free is None and self.max_size is None else 0
        if self.until_free is not None:
            missing = max(missing or 0, self.until_free - self._free(host))
        if self.max_size is not None:
            missing = max(missing or 0, total - self.max_size)
        for unit in units:
            if missing is not None and missing <= 0:
                return
            if self.older_than is not None and host.now() - unit.newest <= self.older_than:
                return
            yield unit
            if missing is not None:
                missing -= unit.size

    def _say(self, host: Host, freed: int, files: int, *, fits: bool) -> None:
        """Tell why nothing goes, and where that leaves less free than `until_free` asks for."""
        why = "" if fits else f"none of {counted(files, 'file')} fits" if files else "the cache is empty"
        if self.until_free is not None:
            free = self._free(host) + freed
            if free >= self.until_free:
                why = "" if fits else f"{size(free)} are free, {size(self.until_free)} are asked for"
            else:
                only = f"{size(free)} free of the {size(self.until_free)} asked for"
                why = f"that leaves only {only}" if fits else f"{why}; {only}"
        if why:
            host.note(why)

    def _free(self, host: Host) -> int:
        try:
            return host.free_space(self.path)
        except Unclear as error:
            raise Failed(str(error)) from error


def _fits(pattern: str, path: str) -> bool:
    parts = path.split("/")
    if "/" not in pattern:
        return fnmatch.fnmatchcase(parts[-1], pattern)
    return _fits_parts(pattern.split("/"), parts)


def _fits_parts(pattern: Sequence[str], parts: Sequence[str]) -> bool:
    if not pattern or not parts:
        return not parts and all(part == "**" for part in pattern)
    if pattern[0] == "**":
        return _fits_parts(pattern[1:], parts) or _fits_parts(pattern, parts[1:])
    return fnmatch.fnmatchcase(parts[0], pattern[0]) and _fits_parts(pattern[1:], parts[1:])


def _emptied(
    below: Sequence[Found], inside: Sequence[Found], files: Sequence[Found], empty_too: Set[str]
) -> Iterator[Found]:
    """Yield the directories that hold nothing any more, children first; those empty before only where asked for."""
    held = Counter(thing.path.rpartition("/")[0] for thing in below)
    gone = Counter(thing.path.rpartition("/")[0] for thing in files)
    for folder in inside:  # children come before their directory
        path = folder.path
        if not folder.mount and held[path] == gone[path] and (held[path] or path in empty_too):
            gone[path.rpartition("/")[0]] += 1
            yield folder


def _sound(path: str, thing: Found, now: float, until: float) -> Optional[bool]:
    """Tell whether a file is sound; None where that can't be told."""
    from runbook.modules.formats.validity import judge

    if not thing.file:
        return None
    name = os.path.basename(path)
    if name.endswith(PARTIAL):
        return False if now - thing.stat.st_mtime > ABANDONED else None
    try:
        form = FORMS.get(os.path.splitext(name)[1].lower()) or _form(path)
        return judge(path, form, until, {})[0].valid if form else None
    except OSError:
        return None


def _form(path: str) -> "Optional[Format]":
    """Tell by its first bytes what a file without a telling name is, such as a blob of the Hugging Face cache."""
    with reading(path) as file:
        head = file.read(9)
    if head.startswith(b"PK\x03\x04"):
        return "zip"
    plausible = len(head) == 9 and 2 <= int.from_bytes(head[:8], "little") <= 100_000_000
    return "safetensors" if plausible and head.endswith(b"{") else None
