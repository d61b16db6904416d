"""Who may change a directory while what lies in it is given away: where only root may, its names can be trusted."""

import contextlib
import errno
import os
from functools import lru_cache
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Sequence, Tuple

from runbook.modules.acting.alike import Alike
from runbook.modules.acting.hands import Hands
from runbook.modules.acting.problems import Problems
from runbook.modules.acting.tree import Tree
from runbook.modules.acting.trees import below
from runbook.modules.actions import Own
from runbook.modules.declare import Failed, Refused

_READ = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_EMPTY_PATH = 0x1000  # AT_EMPTY_PATH: the descriptor itself is meant
_OTHERS = 0o022  # the rights of others to write; those of an access list show as the group's
LEAST = 50  # things in a directory for which it is worth taking

_Chown = Callable[[int, int, int], None]


class _Taken(NamedTuple):
    """A directory that belonged to somebody else."""

    path: str  # relative to the action's root
    seen: os.stat_result  # as it was
    places: List[int]  # of what lies in it


def settled(directory: int, alike: Alike) -> bool:
    """Whether each name in a directory leads, and will lead, to what the plan saw there.

    Nobody but root and we may put one thing in the place of another: the kernel asks who may when it is tried, and only
    a directory's owner lets others; an access list that does shows as the group's right to write. And nobody has since
    the plan looked: it is the same directory, and the kernel's own time of its last change is the same.
    """
    seen = os.fstat(directory)
    same = (seen.st_dev, seen.st_ino, seen.st_ctime_ns) == (alike.device, *alike.seen)
    return same and seen.st_uid in {0, os.geteuid()} and not seen.st_mode & _OTHERS


@contextlib.contextmanager
def taken(hands: Hands, tree: Tree, base: str, action: Own, files: Sequence[Alike]) -> Iterator[List[Alike]]:
    """Take full directories away from owners who are to lose them; yield the files, those in them as seen since.

    Each is root's for as long as this lasts, so that no file has to be held open to be sure of it, and then its
    owner's again, whom it loses in its turn. Whoever is to keep a directory keeps it: a service may be writing there.
    """
    found = list(files)
    wanted = list(_worth(tree, base, action, files))
    if wanted:
        hands.keep_undo({"undo": "own", "path": action.root, "groups": [_kept(one) for one in wanted]})
    ours: List[_Taken] = []
    try:
        for one in wanted:
            with contextlib.suppress(OSError, Refused):  # who works on it finds out what became of it
                _take(tree, base, one, found, ours)
        yield found
    finally:
        _give_back(hands, tree, base, action, ours)


def _worth(tree: Tree, base: str, action: Own, files: Sequence[Alike]) -> Iterator[_Taken]:
    if os.geteuid() or action.uid is None or action.file_mode is not None or not tree.local():
        return
    folders: Dict[str, List[int]] = {}
    for place, each in enumerate(files):
        folders.setdefault(each.folder, []).append(place)
    for path, places in folders.items():
        if sum(len(files[place].names) for place in places) < LEAST or files[places[0]].names == [""]:
            continue
        with contextlib.suppress(OSError, Refused):
            seen = os.fstat(tree.directory(below(base, path)))
            same = all((seen.st_dev, seen.st_ino) == (files[place].device, files[place].seen[0]) for place in places)
            if same and seen.st_uid not in {0, action.uid} and not seen.st_mode & _OTHERS:
                yield _Taken(path, seen, places)


def _take(tree: Tree, base: str, one: _Taken, files: List[Alike], ours: List[_Taken]) -> None:
    """Make it root's; where its names still lead to what the plan saw, say when that was."""
    parent = tree.directory(below(base, one.path))
    before, seen = one.seen, os.fstat(parent)
    if (seen.st_ino, seen.st_uid, seen.st_mode) != (before.st_ino, before.st_uid, before.st_mode):
        return
    ours.append(one)
    chown()(parent, 0, -1)
    seen = os.fstat(parent)  # from here on only root may change it, and would change this time
    reading = os.open(".", _READ, dir_fd=parent)
    try:
        with os.scandir(reading) as children:
            inodes = {child.name: child.inode() for child in children}
    finally:
        os.close(reading)
    if seen.st_uid or seen.st_mode & _OTHERS:
        return
    for place in one.places:
        each = files[place]
        if list(map(inodes.get, each.names)) == each.inodes:
            files[place] = each._replace(seen=(seen.st_ino, seen.st_ctime_ns))


def _give_back(hands: Hands, tree: Tree, base: str, action: Own, ours: Sequence[_Taken]) -> None:
    problems = Problems(action.root)
    for path, before, _ in ours:
        try:
            parent = tree.directory(below(base, path))
            if os.fstat(parent).st_ino == before.st_ino:
                chown()(parent, before.st_uid, -1)
        except FileNotFoundError:  # noqa: PERF203 -- each has its own trouble
            continue  # only root can have removed it
        except (OSError, Refused, Failed) as error:
            problems.add(path, f"is root's now, and was {before.st_uid}'s: {error}")
    problems.speak(hands, "given back", len(ours))


def _kept(one: _Taken) -> Dict[str, Any]:
    seen = one.seen
    was: Tuple[int, ...] = (seen.st_uid, seen.st_gid, seen.st_mode & 0o7777, seen.st_dev)
    return {"was": was, "folder": one.path, "names": [""], "inodes": [seen.st_ino]}


@lru_cache(maxsize=1)
def chown() -> _Chown:
    """Return what sets the owner of a held thing: one call of the kernel, where the C library has it."""
    import ctypes

    call = getattr(ctypes.CDLL(None, use_errno=True), "fchownat", None)
    if call is None:
        return lambda held, uid, gid: os.chown(f"/proc/self/fd/{held}", uid, gid)
    call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint, ctypes.c_uint, ctypes.c_int)

    def change(held: int, uid: int, gid: int) -> None:
        if call(held, b"", uid, gid, _EMPTY_PATH):
            code = ctypes.get_errno()
            if code not in {errno.EINVAL, errno.ENOSYS}:  # a sandbox may know the flag as little as an old kernel
                raise OSError(code, os.strerror(code))
            os.chown(f"/proc/self/fd/{held}", uid, gid)

    return change
