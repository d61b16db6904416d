"""Carrying out Keep: a copy of trees is made, and its undo puts back what it holds."""

import contextlib
import os
from typing import Any, Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from runbook.modules.acting import copies, likeness
from runbook.modules.acting.copies import Draft, Store
from runbook.modules.acting.hands import Hands, counted, size
from runbook.modules.acting.manifest import About
from runbook.modules.acting.trees import Trees
from runbook.modules.actions import Keep, Kept
from runbook.modules.declare import Failed, Refused
from runbook.modules.frozen import replace

_TRIES = 3  # of copying a file that somebody writes to
_LIVELY = 200  # things between two words of progress


class Limits(NamedTuple):
    """How much a copy may take."""

    largest: int  # bytes
    words: str  # completes "… is larger than"


def keep(hands: Hands, action: Keep, doing: bool) -> Tuple[str, bool]:
    """Copy trees, or say that a copy of them as they are is there already."""
    below = _named(action.roots)
    if action.same:
        what = f"{below}, as snapshot {action.same} holds it already"
        if doing:
            _remember(hands, action, action.same)
        return what, False
    if not doing:
        return f"{counted(len(action.paths), 'entry', 'entries')} of {below}", True
    with opened(hands.trees, action.store, make=True) as store:
        earlier = newest(store, action.name, action.roots)
        limits = Limits(action.largest, f"`max_size: {size(action.largest)}` allows; raise it, or name less in `path`")
        about, things = copy(hands, store, action.paths, earlier, limits, ("snapshot", action.name, action.roots))
        _remember(hands, action, about.id)
        gone = store.prune(action.keep, about)
    files = [thing for thing in things if thing.kind == "file"]
    left = sum(thing.kind == "other" for thing in things)
    hands.data.update(id=about.id, files=len(files), bytes=sum(thing.size for thing in files), left_out=left)
    told = [f"{counted(len(files), 'file')}, {size(sum(thing.size for thing in files))} of {below} as {about.id}"]
    told += [f"{left} not kept, being neither files nor directories nor links"] if left else []
    told += [f"{counted(gone, 'older one')} deleted"] if gone else []
    return "; ".join(told), True


def opened(trees: Trees, path: str, *, make: bool = False, own: bool = False) -> Store:
    """Open a store: the agent's own, or a directory in `writable`.

    Raises:
        FileNotFoundError: it is not there.
        Refused: others may write there.
    """
    if own or not _covered(trees, path):
        return copies.open_own(path, make=make)
    tree, relative = trees.open(path)
    parent, name = tree.parent(relative)
    if make and name:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=parent)
    where = tree.directory(relative)
    return Store(path, os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=where))


def _covered(trees: Trees, path: str) -> bool:
    return any(path == entry or path.startswith(entry.rstrip("/") + "/") for entry in trees.writable)


def newest(store: Store, name: str, roots: Iterable[str]) -> Optional[About]:
    """Return the last snapshot of that name and these trees."""
    wanted = name, sorted(roots)
    listed = (about for about in store.list() if about.kind == "snapshot")
    return next((about for about in listed if (about.name, sorted(about.roots)) == wanted), None)


def copy(
    hands: Hands,
    store: Store,
    paths: Iterable[str],
    earlier: Optional[About],
    limits: Limits,
    words: Tuple[str, str, Iterable[str]],
) -> Tuple[About, List[Kept]]:
    """Copy things; what is not there is left out, or noted as absent for an undo.

    `words` are the copy's kind, name and roots.

    Raises:
        Refused: it would be too large, there is no room for it, or a file is written to all the time.
    """
    known: Dict[str, Kept] = {}
    if earlier is not None:
        with contextlib.suppress(Failed):  # a damaged one shares nothing
            known = {thing.path: thing for thing in store.read(earlier.id)[1]}

    def room(needed: int) -> None:
        if needed > limits.largest:
            raise Refused(f"the copy is larger than {limits.words}")

    try:
        with store.begin() as draft:
            things: List[Kept] = []
            names: Dict[Tuple[int, int], str] = {}
            for number, path in enumerate(paths):
                if number % _LIVELY == 0:
                    hands.progress(f"copied {number:,} entries, {size(draft.size)}")
                thing = _one(hands.trees, draft, path, room, names, (known, earlier))
                if thing is not None:
                    things.append(thing)
                elif words[0] == "undo":
                    draft.add(Kept(path, "absent"))
            return draft.finish(*words), things
    except OSError as error:
        if copies.full(error):
            raise Refused(f"no room for a copy in {store.path}: {error.strerror}") from error
        raise


def _one(
    trees: Trees,
    draft: Draft,
    path: str,
    room: Callable[[int], None],
    names: Dict[Tuple[int, int], str],
    before: Tuple[Mapping[str, Kept], Optional[About]],
) -> Optional[Kept]:
    """Copy one thing; None when it is not there."""
    known, earlier = before
    for _ in range(_TRIES):
        try:
            tree, relative = trees.open(path)
            held = likeness.hold(tree, relative)
        except (FileNotFoundError, Refused):  # what only a link leads to is not there either
            return None
        try:
            thing = likeness.taken(path, held)
            if thing.kind == "file" and held.seen.st_nlink > 1:
                thing = _replaced(thing, twin=names.setdefault(thing.seen[:2], path))
                thing = _replaced(thing, twin="") if thing.twin == path else thing
            if thing.kind != "file":
                draft.add(thing)
                return thing
            old = known.get(path)
            same = old is not None and old.kind == "file" and old.seen == thing.seen and earlier is not None
            if same and old is not None and earlier is not None and likeness.settled(old, earlier.at):
                shared = _replaced(thing, digest=old.digest, file=old.file)
                if draft.share(shared, earlier.id):
                    return shared
            size_before, source = draft.size, _reading(path, held)
            try:
                draft.copy(thing, source, room)
                if _unmoved(held.seen, os.fstat(source)):
                    return thing
            finally:
                os.close(source)
            draft.drop(size_before)
        finally:
            os.close(held.descriptor)
    raise Refused(f"{path} is written to while it is copied; stop who writes it, or leave it out of `path`")


def _reading(path: str, held: likeness.Held) -> int:
    try:
        return likeness.reading(held)
    except PermissionError as error:
        raise Failed(f"{path} can't be read: {error.strerror}") from error


def _replaced(thing: Kept, **values: Any) -> Kept:
    return replace(thing, **values)


def _unmoved(before: os.stat_result, now: os.stat_result) -> bool:
    return (before.st_size, before.st_mtime_ns, before.st_ctime_ns) == (now.st_size, now.st_mtime_ns, now.st_ctime_ns)


def _remember(hands: Hands, action: Keep, identity: str) -> None:
    hands.data["id"] = identity
    undo = {"undo": "keep", "path": _named(action.roots), "store": action.store, "copy": identity}
    hands.keep_undo({**undo, "own": not _covered(hands.trees, action.store)})


def _named(roots: Iterable[str]) -> str:
    listed = list(roots)
    return listed[0] if len(listed) == 1 else f"{listed[0]} and {len(listed) - 1} more"
