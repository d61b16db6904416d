"""The step `hf_cache`."""

import importlib
import os
import pathlib
import posixpath
import stat
from typing import Any, Dict, Iterator, List, Optional, Sequence, Set, Tuple

from runbook.modules.acting import tree, walking
from runbook.modules.acting.trees import Trees
from runbook.modules.acting.writable import plain
from runbook.modules.actions import Action, Delete, Entry
from runbook.modules.declare import Duration, Failed, Impact, Invalid, Path, Refused, Size, Step, Unclear
from runbook.modules.frozen import frozen
from runbook.modules.host import Host
from runbook.modules.hub import names
from runbook.modules.hub.ground import Ground

ABANDONED = 3600.0  # seconds without a byte after which a partial download is taken for given up
_REF = 4096  # bytes of the largest file that may name a commit
_STORE = "blobs/"  # of the cache itself: what several repos share


@frozen
class HfCache(Step):
    """Delete revisions from the Hugging Face cache, those that were not used for longest first.

    The conditions narrow each other: with `older_than: 30d` and `until_free: 200GB` no revision goes that was read or
    written within thirty days, and of the others no more than it takes. What a revision shares with one that stays is
    kept. It is huggingface_hub's own look at its cache (`scan_cache_dir`) that says what belongs to a revision; a repo
    that it calls corrupt, whose `refs` hold anything but small files, or to which something is being downloaded, is
    left alone and counted as `skipped`. On a file system that keeps no access times (`noatime`) a revision is as old as
    its youngest file.

    The result has `revisions` (how many went), `freed` (bytes), `partials` and `skipped`.

    Example:
        - hf_cache: {older_than: 30d, until_free: 200GB}
        - hf_cache: {cache: /srv/models/hub, detached: true, partials: true}
    """

    impact = Impact.DESTRUCTIVE
    timeout = 1800.0
    needs = ("huggingface_hub",)
    writes = ("cache",)

    cache: Optional[Path] = None  # where the cache is; default as huggingface_hub has it on the host
    older_than: Optional[Duration] = None  # only revisions that were last read or written longer ago
    until_free: Optional[Size] = None  # stop when the file system has so much free space
    max_size: Optional[Size] = None  # stop when the cache is no larger
    repo: Optional[Tuple[str, ...]] = None  # only of these repos, `owner/name`
    revision: Optional[Tuple[str, ...]] = None  # only these: commits, branches or tags
    detached: bool = False  # only revisions that no branch or tag stands at any more
    keep: Optional[int] = None  # how many of each repo's newest revisions always stay
    partials: bool = False  # downloads, too, that were not finished and that nobody wrote to for an hour

    def check(self) -> None:
        """At least one condition, and such that can be."""
        conditions = (self.older_than, self.until_free, self.max_size, self.repo, self.revision, self.keep)
        if all(one is None for one in conditions) and not (self.detached or self.partials):
            raise Invalid("without a condition all would go: give one, such as `older_than: 30d` or `detached: true`")
        if self.keep is not None and self.keep < 0:
            raise Invalid("`keep` can't be negative")
        for repo in self.repo or ():
            if not names.repo(repo):
                raise Invalid(f"`repo: {repo}` is no repo's id: write `owner/name`")
        if self.repo == () or self.revision == ():
            raise Invalid("an empty list would fit nothing: leave it out")

    def plan(self, host: Host) -> List[Action]:
        """Choose what goes, and say so in one action."""
        library = importlib.import_module("huggingface_hub")
        usual = str(importlib.import_module("huggingface_hub.constants").HF_HUB_CACHE)
        root = plain(self.cache or os.path.realpath(usual))
        tree.inside(root, host.writable)
        host.remember(revisions=0, freed=0, partials=0, skipped=0)
        if not os.path.isdir(root):
            return []
        with Trees(host.writable) as trees:
            ground = Ground(trees, root)
            traps = {folder: why for folder in _listed(ground, "") if "--" in folder and (why := _trap(ground, folder))}
            scanned = _scanned(library, root, traps, ground)
            repos = [repo for repo in scanned.repos if not _busy(ground, repo, host.now())]
            skipped = len(scanned.warnings) + len(scanned.repos) - len(repos)
            chosen = self._chosen(scanned, repos, host, root) if self._revisions() else []
            strategy = scanned.delete_revisions(*(one.commit_hash for one in chosen))
            partials = list(self._abandoned(scanned, ground, host.now())) if self.partials else []
            entries = [*partials, *_entries(host, ground, strategy)]
            shared = list(_unshared(ground, entries))
        for folder, why in sorted(traps.items()):
            host.note(f"{folder} is left alone: {why}")
        freed = int(strategy.expected_freed_size) + sum(entry.size for entry in partials)
        host.remember(revisions=len(chosen), freed=freed, partials=len(partials), skipped=skipped)
        entries = list({entry.path: entry for entry in [*entries, *shared]}.values())
        return [Delete(root, tuple(entries))] if entries else []

    def report(self, host: Host) -> Dict[str, Any]:
        """Say how much went."""
        return {name: host.kept.get(name, 0) for name in ("revisions", "freed", "partials", "skipped")}

    def _revisions(self) -> bool:
        """Tell whether revisions go at all, and not only partial downloads."""
        conditions = (self.older_than, self.until_free, self.max_size, self.repo, self.revision, self.keep)
        return self.detached or any(one is not None for one in conditions)

    def _chosen(self, scanned: Any, repos: Sequence[Any], host: Host, root: str) -> List[Any]:
        fitting = sorted(self._fitting(repos, host.now()), key=lambda one: (_used(one), one.commit_hash))
        if self.until_free is None and self.max_size is None:
            return fitting
        missing = 0
        if self.until_free is not None:
            try:
                missing = self.until_free - host.free_space(root)
            except Unclear as error:
                raise Failed(str(error)) from error
        if self.max_size is not None:
            missing = max(missing, int(scanned.size_on_disk) - self.max_size)
        taken: List[Any] = []
        freed = 0
        for one in fitting:
            if freed >= missing:
                break
            taken.append(one)
            freed = int(scanned.delete_revisions(*(each.commit_hash for each in taken)).expected_freed_size)
        return taken

    def _fitting(self, repos: Sequence[Any], now: float) -> Iterator[Any]:
        """Yield the revisions that the conditions leave, but for those of the free space."""
        for repo in repos:
            if self.repo is not None and repo.repo_id not in self.repo:
                continue
            newest = sorted(repo.revisions, key=lambda one: one.last_modified, reverse=True)
            for one in newest[self.keep or 0 :]:
                named = self.revision is None or bool({one.commit_hash, *one.refs} & set(self.revision))
                old = self.older_than is None or now - _used(one) > self.older_than
                if named and old and not (self.detached and one.refs):
                    yield one

    def _abandoned(self, scanned: Any, ground: Ground, now: float) -> Iterator[Entry]:
        """Yield what downloads left behind."""
        folders = {os.path.basename(str(repo.repo_path)) for repo in scanned.repos if self._wanted(repo.repo_id)}
        known = {os.path.basename(str(repo.repo_path)) for repo in scanned.repos}
        for folder in sorted(_listed(ground, "")):
            if "--" not in folder or (folder in known and folder not in folders) or (self.repo and folder not in known):
                continue
            for name in sorted(_listed(ground, f"{folder}/blobs")):
                path = f"{folder}/blobs/{name}"
                about = ground.stat(path) if name.endswith(".incomplete") else None
                if about is not None and stat.S_ISREG(about.st_mode) and now - about.st_mtime > ABANDONED:
                    yield walking.entry(path, about)

    def _wanted(self, repo: str) -> bool:
        return self.repo is None or repo in self.repo


def _used(revision: Any) -> float:
    """Return when a revision was last read or written, in seconds since the epoch."""
    times = [time for file in revision.files for time in (file.blob_last_accessed, file.blob_last_modified)]
    return float(max(times, default=revision.last_modified))


def _busy(ground: Ground, repo: Any, now: float) -> bool:
    """Tell whether a repo is being downloaded, or is none of ours to touch: a link to another place."""
    folder = os.path.basename(str(repo.repo_path))
    if ground.link(folder) is not None:
        return True
    partials = [name for name in _listed(ground, f"{folder}/blobs") if name.endswith(".incomplete")]
    seen = [ground.stat(f"{folder}/blobs/{name}") for name in partials]
    return any(about is not None and now - about.st_mtime <= ABANDONED for about in seen)


def _trap(ground: Ground, folder: str) -> str:
    """Say why the library must not look at a repo: it opens what lies there, whatever that is; empty when it may."""
    if ground.link(folder) is not None:
        return "it is a link"
    try:
        for name in ("refs", "snapshots"):
            about = ground.stat(f"{folder}/{name}")
            if about is not None and not stat.S_ISDIR(about.st_mode):
                return f"{name} is no directory"
        for name in _listed(ground, f"{folder}/snapshots"):
            if ground.link(f"{folder}/snapshots/{name}") is not None:
                return f"snapshots/{name} is a link"
        return _no_ref(ground, folder)
    except (Refused, OSError) as error:
        return str(error)


def _no_ref(ground: Ground, folder: str) -> str:
    """Name what lies among the refs of a repo and is none."""
    ahead = ["refs"]
    while ahead:
        above = ahead.pop()
        for name in _listed(ground, f"{folder}/{above}"):
            below = f"{above}/{name}"
            about = ground.stat(f"{folder}/{below}")
            if about is None:
                continue
            if stat.S_ISDIR(about.st_mode):
                ahead.append(below)
            elif not stat.S_ISREG(about.st_mode):
                return f"{below} is no regular file"
            elif about.st_size > _REF:
                return f"{below} has {about.st_size} bytes, and names no commit"
    return ""


def _scanned(library: Any, root: str, traps: Dict[str, str], ground: Ground) -> Any:
    """Return what the library sees in the cache; it has no words for leaving a repo out, so it is told of those.

    Each is looked at once more right before the library does. Whoever swaps something between the two has the library
    read it, at worst until the step's time is over; what goes is deleted by us, and compared once more.
    """
    manager = importlib.import_module("huggingface_hub.utils._cache_manager")
    scan = manager._scan_cached_repo  # noqa: SLF001

    def wary(path: pathlib.Path) -> Any:
        why = _trap(ground, path.name)
        if why:
            traps[path.name] = why
        if path.name in traps:
            raise library.CorruptedCacheException(traps[path.name])
        return scan(path)

    manager._scan_cached_repo = wary  # type: ignore[attr-defined]  # noqa: SLF001
    try:
        return library.scan_cache_dir(root)
    finally:
        manager._scan_cached_repo = scan  # type: ignore[attr-defined]  # noqa: SLF001


def _listed(ground: Ground, relative: str) -> List[str]:
    try:
        with ground.directory(relative) as descriptor:
            return os.listdir(descriptor)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _entries(host: Host, ground: Ground, strategy: Any) -> Iterator[Entry]:
    """Yield all that the library would delete, and what is kept beside it."""
    for path in sorted(map(str, [*strategy.repos, *strategy.snapshots])):
        below = _below(ground, path)
        things = sorted(walking.walk(host, f"{ground.path}/{below}"), key=lambda thing: thing.path, reverse=True)
        for entry in (thing.entry for thing in things):  # children before their directory
            yield entry._replace(path=f"{below}/{entry.path}" if entry.path else below)
    alone: Set[str] = set()
    for path in map(str, strategy.blobs):
        below = _below(ground, path)
        alone |= {below, f"{posixpath.dirname(posixpath.dirname(below))}/.runbook/{posixpath.basename(below)}"}
    for path in map(str, strategy.snapshots):
        below = _below(ground, path)
        alone.add(f"{posixpath.dirname(posixpath.dirname(below))}/trees/{posixpath.basename(below)}.json")
    alone |= {_below(ground, str(path)) for path in strategy.refs}
    for below in sorted(alone):
        about = ground.stat(below)
        if about is not None and not stat.S_ISDIR(about.st_mode):
            yield walking.entry(below, about)


def _below(ground: Ground, path: str) -> str:
    """Return a path of the library's as one below the cache."""
    relative = os.path.relpath(path, ground.path)
    if relative == "." or relative.startswith("../"):
        raise Failed(f"huggingface_hub would delete {path}, which lies outside of {ground.path}")
    return relative


def _unshared(ground: Ground, entries: Sequence[Entry]) -> Iterator[Entry]:
    """Yield the contents of the shared store to which no link is left."""
    going = {entry.path for entry in entries}
    links: Dict[str, Set[str]] = {}
    for folder in _listed(ground, "") if _listed(ground, _STORE.rstrip("/")) else ():
        for name in _listed(ground, f"{folder}/blobs") if "--" in folder else ():
            blob = f"{folder}/blobs/{name}"
            target = ground.link(blob)
            if target is not None:
                links.setdefault(posixpath.normpath(posixpath.join(posixpath.dirname(blob), target)), set()).add(blob)
    for target, blobs in sorted(links.items()):
        if target.startswith(_STORE) and blobs <= going:
            for path in (target, f"{target}.refs"):
                about = ground.stat(path)
                if about is not None and stat.S_ISREG(about.st_mode):
                    yield walking.entry(path, about)
