"""What earlier steps kept in the ledger before they wrote, moved or owned, as something that can be put back."""

import base64
import contextlib
import json
import os
import stat
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Set, Tuple

from runbook.modules.acting import content, likeness, perform_own, walking
from runbook.modules.acting.tree import Tree
from runbook.modules.acting.trees import Trees
from runbook.modules.actions import Action, Entry, Kept, Move, Own
from runbook.modules.declare import Refused

_KINDS = (".undo.jsonl", ".undone.jsonl")


class Earlier(NamedTuple):
    """What can be put back below a path."""

    files: List[Kept]  # as the last Write found them
    actions: List[Action]  # that move and own back


def kept(trees: Trees, base: str, path: str) -> Earlier:
    """Return what the last steps that touched each thing at or below a path had found there."""
    written: Dict[str, Kept] = {}
    actions: List[Action] = []
    moved: Set[str] = set()
    owned: Set[str] = set()
    for record in _records(os.path.join(base, "intents")):
        with contextlib.suppress(KeyError, TypeError, ValueError):
            kind, place = record["undo"], str(record["path"])
            if kind == "write" and within(place, path) and not record.get("absent"):
                written.setdefault(place, _file(record))
            elif kind == "move" and within(str(record["source"]), path) and record["source"] not in moved:
                moved.add(record["source"])
                actions += _moved(trees, record)
            elif kind == "own":
                actions += _owned(trees, record, path, owned)
    return Earlier(sorted(written.values(), key=lambda thing: thing.path.split("/")), actions)


def within(path: str, root: str) -> bool:
    """Whether a path is the root, or lies below it."""
    return path == root or path.startswith(root.rstrip("/") + "/")


def _records(intents: str) -> Iterator[Mapping[str, Any]]:
    """Yield the ledger's undos, the last first."""
    names = [name for name in os.listdir(intents) if name.endswith(_KINDS)] if os.path.isdir(intents) else []
    found = []
    for name in names:
        with contextlib.suppress(OSError):
            found.append((os.stat(f"{intents}/{name}").st_mtime_ns, name))
    for _, name in sorted(found, reverse=True):
        lines: List[Mapping[str, Any]] = []
        with contextlib.suppress(OSError), open(f"{intents}/{name}", "rb") as file:
            for line in file:
                with contextlib.suppress(ValueError):
                    lines.append(json.loads(line))
        yield from (line for line in reversed(lines) if isinstance(line, dict))


def _file(record: Mapping[str, Any]) -> Kept:
    held = base64.b64decode(record["content"])
    accessed, changed = record["times"]
    return Kept(
        str(record["path"]),
        "file",
        mode=int(record["mode"]),
        uid=int(record["uid"]),
        gid=int(record["gid"]),
        times=(int(accessed), int(changed)),
        size=len(held),
        digest=content.digest(content.pieces_of(held), len(held)),
        content=record["content"],
        attributes=None,
    )


def _moved(trees: Trees, record: Mapping[str, Any]) -> Iterator[Action]:
    """Move back what is still where it was moved to, when its old place is free."""
    source, target = str(record["source"]), str(record["path"])
    if os.path.lexists(source):
        return
    seen = _seen(trees, target)
    if seen is not None and (seen.st_dev, seen.st_ino) == (record["device"], record["inode"]):
        yield Move(target, source)


def _owned(trees: Trees, record: Mapping[str, Any], path: str, known: Set[str]) -> Iterator[Action]:
    """Give back owner, group and mode to what is still the same thing."""
    root = str(record["path"])
    wanted: Dict[Tuple[int, int, Optional[int], bool], List[Entry]] = {}
    for entry, (uid, gid, mode) in perform_own.before(record):
        place = f"{root}/{entry.path}" if entry.path else root
        if not within(place, path) or place in known:
            continue
        known.add(place)
        seen = _seen(trees, place)
        if seen is None or (seen.st_dev, seen.st_ino) != (entry.device, entry.inode):
            continue
        now = walking.entry(entry.path, seen)
        if (now.uid, now.gid, stat.S_IMODE(now.mode)) != (uid, gid, mode):
            wanted.setdefault((uid, gid, mode, now.directory), []).append(now)
    for (uid, gid, mode, directory), entries in wanted.items():
        modes = {"directory_mode": mode} if directory else {"file_mode": mode}
        yield Own(root, tuple(entries), uid=uid, gid=gid, **modes)


def _seen(trees: Trees, path: str) -> Optional[os.stat_result]:
    try:
        opened: Tuple[Tree, str] = trees.open(path)
        held = likeness.hold(*opened)
    except (FileNotFoundError, Refused):
        return None
    os.close(held.descriptor)
    return held.seen
