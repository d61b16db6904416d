"""Carrying out Restore, and undoing Keep and Restore: things are put back as a copy holds them, each at once."""

import contextlib
import os
import time
from typing import Any, Iterable, List, Mapping, Sequence, Tuple

from runbook.modules.acting import copies, likeness
from runbook.modules.acting.copies import Store
from runbook.modules.acting.hands import Hands, counted
from runbook.modules.acting.manifest import About
from runbook.modules.acting.perform_keep import Limits, copy, opened
from runbook.modules.acting.putting_back import SHOWN, Back, in_order
from runbook.modules.acting.trees import Trees
from runbook.modules.actions import Kept, Restore
from runbook.modules.declare import Failed, Refused
from runbook.modules.frozen import replace
from runbook.modules.ledger import KEPT

_EVIDENCE = 10**9  # bytes of what a rollback replaces that are kept at most
_UNDOS = 5  # copies of what restores of the same things found there


def restore(hands: Hands, action: Restore, doing: bool) -> Tuple[str, bool]:
    """Put things back, or say what would be."""
    what = f"{_weighed(action)}: {action.what}"
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(opened(hands.trees, action.store)) if action.store else None
        back = Back(hands, store, action.copy)
        if hands.diff:
            back.show(action.things, action.remove)
        if not doing:
            return what, True
        _keep_undo(hands, action)
        back.clear(action.remove)
        back.put(action.things)
        hands.data.update(restored=[thing.path for thing in action.things][:SHOWN], removed=back.removed)
        back.speak(len(action.things) + len(action.remove))
    return what, True


def undo_keep(hands: Hands, undo: Mapping[str, Any]) -> str:
    """Bring everything back as the copy holds it; what is new stays."""
    with opened(hands.trees, str(undo["store"]), own=bool(undo["own"])) as store:
        about, things = store.read(str(undo["copy"]))
        wrong = [thing for thing in things if likeness.difference(hands.trees, thing, about.at)]
        stood = _evidence(hands, store, [thing.path for thing in wrong], about) if wrong else ""
        back = Back(hands, store, about.id)
        back.put(with_directories(wrong, things))
        back.speak(len(wrong))
    return f"{counted(len(wrong), 'entry', 'entries')} of {undo['path']}, as snapshot {about.id} holds them{stood}"


def _evidence(hands: Hands, store: Store, paths: Sequence[str], about: About) -> str:
    """Keep what stands there, for whoever wants to know what was wrong; where there is no room, it is not kept."""
    with contextlib.suppress(Refused, Failed, OSError):
        words = ("undo", "rollback", about.roots)
        kept, _ = copy(hands, store, paths, None, Limits(_EVIDENCE, ""), words)
        store.prune(_UNDOS, kept, older_than=time.time() - KEPT)
        return f"; what stood there is {kept.id}"
    return ""


def undo_restore(hands: Hands, undo: Mapping[str, Any]) -> str:
    """Bring back what a restore found there, unless somebody changed it since."""
    wrote: Mapping[str, str] = undo["wrote"]
    with opened(hands.trees, str(undo["store"]), own=bool(undo["own"])) as store:
        about, things = store.read(str(undo["copy"]))
        back = Back(hands, store, about.id)
        wrong = []
        for thing in things:
            back.sweep(thing.path)
            if not likeness.difference(hands.trees, thing, about.at):
                continue
            if _mark(hands.trees, thing.path) in {wrote.get(thing.path), _mark_of(thing)}:
                wrong.append(thing)
            else:
                back.problem(thing.path, "was changed by somebody since; it stays")
        absent = [thing for thing in wrong if thing.kind == "absent"]
        back.unmake(absent)
        back.put(with_directories([thing for thing in wrong if thing.kind != "absent"], things))
        back.speak(len(wrong))
    return f"{counted(len(wrong), 'entry', 'entries')}, as they were before"


def with_directories(wrong: Sequence[Kept], things: Iterable[Kept]) -> List[Kept]:
    """Add the directories that hold what is wrong: they bear another time once it is put back."""
    above = {thing.path.rpartition("/")[0] for thing in wrong}
    chosen = {thing.path for thing in wrong}
    return [thing for thing in things if thing.path in chosen or (thing.kind == "directory" and thing.path in above)]


def _keep_undo(hands: Hands, action: Restore) -> None:
    """Keep what stands where something is put back or removed, before it is touched."""
    paths = sorted({*(thing.path for thing in action.things), *(entry.path for entry in action.remove)}, key=in_order)
    removed = dict.fromkeys((entry.path for entry in action.remove), "absent")
    wrote = {**removed, **{thing.path: _mark_of(thing) for thing in action.things}}
    try:
        with copies.open_own(action.undo, make=True) as store:
            about, _ = copy(hands, store, paths, None, Limits(1 << 60, ""), ("undo", action.what, [paths[0]]))
            undo = {"undo": "restore", "path": paths[0], "store": action.undo, "copy": about.id, "own": True}
            hands.keep_undo({**undo, "wrote": wrote})
            store.prune(_UNDOS, about, older_than=time.time() - KEPT)
    except Refused as error:
        raise Refused(f"how to undo it can't be kept, so it was not done: {error}") from error


def _mark(trees: Trees, path: str) -> str:
    """Return what tells what stands at a path from what else could."""
    try:
        tree, relative = trees.open(path)
        held = likeness.hold(tree, relative)
    except (FileNotFoundError, Refused):
        return "absent"
    try:
        thing = likeness.taken(path, held)
        digest = likeness.digest(held) if held.kind == "file" else ""
        return _mark_of(replace(thing, digest=digest))
    finally:
        os.close(held.descriptor)


def _mark_of(thing: Kept) -> str:
    return f"{thing.kind} {thing.digest or thing.target}".strip()


def _weighed(action: Restore) -> str:
    files = sum(thing.kind != "directory" for thing in action.things)
    directories = len(action.things) - files
    parts = [counted(files, "file")] if files else []
    parts += [counted(directories, "directory", "directories")] if directories else []
    parts += [f"{counted(len(action.remove), 'new one')} removed"] if action.remove else []
    return ", ".join(parts)
