"""A thing of a tree and its likeness in a copy: how it is taken, in what the two differ, how it is given back.

Everything goes by a descriptor of the thing itself, so that nobody can put another in its place on the way.
"""

import base64
import contextlib
import os
import stat
from typing import Dict, NamedTuple, Optional, Tuple

from runbook.modules.acting import content
from runbook.modules.acting.tree import Tree
from runbook.modules.acting.trees import Trees
from runbook.modules.actions import Kept
from runbook.modules.declare import Refused
from runbook.modules.frozen import replace

HOLD = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
SETTLED = 2 * 10**9  # nanoseconds after which a change bears another time than the one before, on any file system
_ATTRIBUTES = ("user.", "system.posix_acl_", "security.capability", "security.selinux")
_ANYBODYS = ("user.", "system.posix_acl_")


class Held(NamedTuple):
    """A thing that is held open by itself; the descriptor is the taker's to close."""

    descriptor: int
    seen: os.stat_result
    kind: str


def hold(tree: Tree, relative: str) -> Held:
    """Hold a thing below a tree. What something is mounted on counts as `other`.

    Raises:
        FileNotFoundError: it is not there.
        Refused: a link stands on the way.
    """
    parent, name = tree.parent(relative)
    descriptor = os.open(name or ".", HOLD, dir_fd=parent)
    try:
        seen = os.fstat(descriptor)
        try:
            tree.same_mount(descriptor, relative)
        except Refused:
            return Held(descriptor, seen, "other")
    except BaseException:
        os.close(descriptor)
        raise
    return Held(descriptor, seen, kind(seen))


def kind(seen: os.stat_result) -> str:
    """Name what a thing is."""
    if stat.S_ISREG(seen.st_mode):
        return "file"
    if stat.S_ISDIR(seen.st_mode):
        return "directory"
    return "link" if stat.S_ISLNK(seen.st_mode) else "other"


def taken(path: str, held: Held) -> Kept:
    """Return a thing's likeness, without the content of a file."""
    seen = held.seen
    return Kept(
        path,
        held.kind,
        mode=stat.S_IMODE(seen.st_mode),
        uid=seen.st_uid,
        gid=seen.st_gid,
        times=(seen.st_atime_ns, seen.st_mtime_ns),
        size=seen.st_size if held.kind == "file" else 0,
        target=os.readlink("", dir_fd=held.descriptor) if held.kind == "link" else "",
        attributes=tuple(_attributes(held)),
        seen=(seen.st_dev, seen.st_ino, seen.st_ctime_ns),
    )


def reading(held: Held) -> int:
    """Open the held file to read it."""
    return os.open(f"/proc/self/fd/{held.descriptor}", os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)


def digest(held: Held) -> str:
    """Return what tells the held file's content from others."""
    descriptor = reading(held)
    try:
        return content.digest(content.pieces(descriptor, held.seen.st_size), held.seen.st_size)
    finally:
        os.close(descriptor)


def difference(trees: Trees, kept: Kept, since: float) -> str:
    """Say in what a thing is otherwise than a copy holds it; empty where it is the same.

    Args:
        trees: where it lies.
        kept: its likeness.
        since: when the copy was begun, in seconds since the epoch; a file's change before that needs no reading.

    Returns:
        missing, new, kind, content, name (no longer another name of its twin), terms (owner, mode, time, attributes).
    """
    try:
        tree, relative = trees.open(kept.path)
        held = hold(tree, relative)
    except (FileNotFoundError, Refused):  # no way there without following a link is no way
        return "" if kept.kind in {"absent", "other"} else "missing"
    try:
        return _difference(trees, kept, held, since)
    finally:
        os.close(held.descriptor)


def _difference(trees: Trees, kept: Kept, held: Held, since: float) -> str:
    seen = held.seen
    if kept.kind == "absent":
        return "new"
    if kept.kind == "other":
        return ""
    if kept.kind != held.kind:
        return "kind"
    if (seen.st_dev, seen.st_ino, seen.st_ctime_ns) == kept.seen and settled(kept, since):
        return ""
    now = taken(kept.path, held)
    if kept.kind == "link" and now.target != kept.target:
        return "content"
    if kept.kind == "file":
        if now.size != kept.size or digest(held) != kept.digest:
            return "content"
        if kept.twin and not _same(trees, kept.twin, seen):
            return "name"
    if kept.attributes is None:
        kept = replace(kept, attributes=now.attributes)
    return "" if _terms(now) == _terms(kept) else "terms"


def settled(kept: Kept, since: float) -> bool:
    """Whether a change after the copy would have given the thing another time than the copy saw."""
    return kept.seen[2] < int(since * 1e9) - SETTLED


def _same(trees: Trees, path: str, seen: os.stat_result) -> bool:
    try:
        tree, relative = trees.open(path)
        held = hold(tree, relative)
    except (FileNotFoundError, Refused):
        return False
    os.close(held.descriptor)
    return (held.seen.st_dev, held.seen.st_ino) == (seen.st_dev, seen.st_ino)


def _terms(kept: Kept) -> Tuple[object, ...]:
    """Return what is compared besides the content: what this user may set at all."""
    owner = (kept.uid, kept.gid) if os.geteuid() == 0 else ()
    mode = None if kept.kind == "link" else kept.mode
    return mode, owner, kept.times[1], tuple(sorted(_own(dict(kept.attributes or ())).items()))


def _own(attributes: Dict[str, str]) -> Dict[str, str]:
    names = _ATTRIBUTES if os.geteuid() == 0 else _ANYBODYS
    return {name: value for name, value in attributes.items() if name.startswith(names)}


def _attributes(held: Held) -> "list[Tuple[str, str]]":
    if held.kind in {"link", "other"}:
        return []
    place, found = f"/proc/self/fd/{held.descriptor}", []
    with contextlib.suppress(OSError):  # a file system without them
        for name in os.listxattr(place):
            with contextlib.suppress(OSError):
                if name.startswith(_ATTRIBUTES):
                    found.append((name, base64.b64encode(os.getxattr(place, name)).decode()))
    return found


def dress(descriptor: int, kept: Kept) -> None:
    """Give the held thing a likeness' owner, attributes, mode and times, as far as this user may."""
    place = f"/proc/self/fd/{descriptor}"
    given = _owner(place, kept)
    if kept.kind != "link":
        if kept.attributes is not None:
            _attributed(place, kept)
        os.chmod(place, kept.mode if given else kept.mode & 0o777)  # another's setuid bit is not ours to give
    os.utime(place, ns=kept.times)


def _owner(place: str, kept: Kept) -> bool:
    """Give a thing its owner and group; tell whether they are what they should be."""
    with contextlib.suppress(PermissionError):
        os.chown(place, kept.uid, kept.gid)
        return True
    with contextlib.suppress(PermissionError):
        os.chown(place, -1, kept.gid)
    now = os.stat(place)
    return (now.st_uid, now.st_gid) == (kept.uid, kept.gid)


def _attributed(place: str, kept: Kept) -> None:
    wanted = _own(dict(kept.attributes or ()))
    now: Dict[str, Optional[bytes]] = {}
    with contextlib.suppress(OSError):
        now = {name: os.getxattr(place, name) for name in os.listxattr(place)}
    for name in _own(dict.fromkeys(now, "")):
        if name not in wanted:
            with contextlib.suppress(OSError):
                os.removexattr(place, name)
    for name, value in wanted.items():
        value_now = now.get(name)
        if value_now != base64.b64decode(value):
            with contextlib.suppress(OSError):
                os.setxattr(place, name, base64.b64decode(value))
