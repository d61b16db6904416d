"""Carrying out Own, and undoing it: many entries of one tree, each held open and compared with what the plan saw.

There may be hundreds of thousands, so the loops are flat: what one entry costs is what `chown -R` is compared with.
"""

import errno
import os
import stat
from functools import lru_cache
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from runbook.modules.acting import crew
from runbook.modules.acting.hands import Hands, counted
from runbook.modules.acting.problems import Problems
from runbook.modules.acting.tree import Tree, mounts_below
from runbook.modules.acting.trees import below, opened
from runbook.modules.actions import Entry, Own
from runbook.modules.declare import Refused

_LIVELY = 1000  # entries between two words of progress
_HOLD = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_EMPTY_PATH = 0x1000  # AT_EMPTY_PATH: the descriptor itself is meant
_Chown = Callable[[int, int, int], None]
_Was = Tuple[int, int, int, int]  # owner, group, mode and device of things that were alike
_Groups = Dict[_Was, List[Entry]]


class _Terms(NamedTuple):
    """What is to be set on one thing; -1 and None leave it."""

    uid: int
    gid: int
    mode: Optional[int]


_NOTHING = _Terms(-1, -1, None)


def own(hands: Hands, action: Own, doing: bool) -> Tuple[str, bool]:
    """Set owner, group and mode of entries. All are judged before the first is changed, and again when it is."""
    tree, base = opened(hands.trees, action.root)
    mounts = mounts_below(tree.root)
    problems = Problems(action.root)
    groups: _Groups = {}
    number = 0
    for number, entry in enumerate(_wrong(tree, base, action, problems, mounts), 1):  # noqa: B007 -- counted
        groups.setdefault((entry.uid, entry.gid, entry.mode, entry.device), []).append(entry)
    problems.speak(hands, "owned", len(action.entries))
    what = f"{counted(number, 'entry', 'entries')} of {action.root}: {_told(action)}"
    if not doing or not number:
        return what, bool(number)
    hands.keep_undo({"undo": "own", "path": action.root, "groups": list(map(_kept, groups.items()))})
    changed = 0
    hands.touched = True  # a share may be interrupted
    for was, alike in groups.items():
        share = _Share(tree, base, was[:3], _wanted(action, *was[:3]))
        changed += sum(crew.carry_out(alike, share, problems, lambda it: hands.progress(f"owned {it:,} of {number:,}")))
    hands.touched = changed > 0
    problems.speak(hands, "owned", len(action.entries))
    return what, True


def before(undo: Mapping[str, Any]) -> Iterator[Tuple[Entry, _Terms]]:
    """Yield what an Own found, as its undo has it."""
    for group in undo["groups"]:
        uid, gid, mode, device = group["was"]
        for path, inode in zip(group["paths"], group["inodes"]):
            yield Entry(path, device, inode), _Terms(uid, gid, mode)


def undo_own(hands: Hands, undo: Mapping[str, Any]) -> str:
    """Give back owner, group and mode to the entries that are still what they were."""
    root = str(undo["path"])
    tree, base = opened(hands.trees, root)
    problems = Problems(root)
    chown, number = _chown(), 0
    for number, (entry, terms) in enumerate(before(undo), 1):  # noqa: B007 -- counted
        try:
            held, seen = _held(tree, below(base, entry.path), entry)
        except FileNotFoundError:
            continue
        except Refused as error:
            problems.add(entry.path, str(error))
            continue
        try:
            hands.touched = True
            _set(held, terms._replace(mode=None) if stat.S_ISLNK(seen.st_mode) else terms, chown)
        except OSError as error:
            problems.add(entry.path, os.strerror(error.errno or 0))
        finally:
            os.close(held)
    problems.speak(hands, "given back", number)
    return f"{counted(number, 'entry', 'entries')} of {root}, as they were"


def _wrong(tree: Tree, base: str, action: Own, problems: Problems, mounts: Set[str]) -> Iterator[Entry]:
    """Yield the entries that are not as they should be; note what must not be touched."""
    for entry in action.entries:
        if entry.links > 1 and not entry.directory:
            problems.add(entry.path, f"has {entry.links} hard links, so another name of it would be owned too")
        elif mounts and below(base, entry.path) in mounts:
            problems.add(entry.path, "something is mounted there; a mount below `writable` is not crossed")
        elif entry.uid >= 0:
            if _wanted(action, entry.uid, entry.gid, entry.mode) != _NOTHING:
                yield entry
        else:  # whoever made the plan did not look
            try:
                held, seen = _held(tree, below(base, entry.path), entry)
            except FileNotFoundError:
                continue
            except Refused as error:
                problems.add(entry.path, str(error))
                continue
            os.close(held)
            if _wanted(action, seen.st_uid, seen.st_gid, seen.st_mode) != _NOTHING:
                yield entry._replace(uid=seen.st_uid, gid=seen.st_gid, mode=seen.st_mode)


def _kept(group: Tuple[_Was, List[Entry]]) -> Dict[str, Any]:
    """Say how things were: those that were alike together, since there are many."""
    (uid, gid, mode, device), alike = group
    return {
        "was": (uid, gid, stat.S_IMODE(mode), device),
        "paths": [entry.path for entry in alike],
        "inodes": [entry.inode for entry in alike],
    }


class _Share:
    """Changes things that were alike: the things themselves, held open, not whatever their names lead to by now."""

    def __init__(self, tree: Tree, base: str, was: Tuple[int, int, int], terms: _Terms) -> None:
        self._tree, self._base, self._was, self._terms = tree, base, was, terms
        self._chown = _chown()

    def __call__(self, entries: Sequence[Entry], problems: Problems, lively: crew.Lively) -> List[int]:
        """Change them; return how many were."""
        done, above, parent = 0, None, -1
        for number, entry in enumerate(entries):
            if number % _LIVELY == 0:
                lively(number)
            path = entry.path
            try:
                if entry.directory or not path:
                    above = None  # the tree goes elsewhere
                    held, seen = _held(self._tree, below(self._base, path), entry)
                else:
                    folder, _, name = path.rpartition("/")
                    if folder != above:
                        above = None
                        parent = self._tree.directory(below(self._base, folder))
                        above = folder
                    held = os.open(name, _HOLD, dir_fd=parent)
                    seen = _same(held, entry)
            except FileNotFoundError:
                continue
            except Refused as error:
                problems.add(path, str(error))
                continue
            try:
                if (seen.st_uid, seen.st_gid, seen.st_mode) == self._was:
                    _set(held, self._terms, self._chown)
                    done += 1
                else:
                    problems.add(path, "got another owner or mode since it was looked at")
            except OSError as error:
                problems.add(path, os.strerror(error.errno or 0))
            finally:
                os.close(held)
        return [done]


def _wanted(action: Own, uid: int, gid: int, mode: int) -> _Terms:
    """Return what is to be set on a thing; `_NOTHING` when it is as it should be."""
    wanted = action.directory_mode if stat.S_ISDIR(mode) else action.file_mode
    if wanted is not None and (wanted == mode & 0o7777 or stat.S_ISLNK(mode)):
        wanted = None
    new_uid, new_gid = action.uid, action.gid
    return _Terms(
        -1 if new_uid is None or new_uid == uid else new_uid,
        -1 if new_gid is None or new_gid == gid else new_gid,
        wanted,
    )


def _set(held: int, terms: _Terms, chown: _Chown) -> None:
    uid, gid, mode = terms
    if uid != -1 or gid != -1:
        chown(held, uid, gid)
    if mode is not None:
        os.chmod(f"/proc/self/fd/{held}", mode)


def _held(tree: Tree, path: str, entry: Entry) -> Tuple[int, os.stat_result]:
    """Return (a descriptor that names the entry, its stat), when it is still what the plan saw.

    Raises:
        Refused: it became something else, has several hard links, or something is mounted there.
    """
    parent, name = tree.parent(path)
    held = os.open(name or ".", _HOLD, dir_fd=parent)
    seen = _same(held, entry)
    if stat.S_ISDIR(seen.st_mode):
        try:
            tree.same_mount(held, path)
        except Refused:
            os.close(held)
            raise
    return held, seen


def _same(held: int, entry: Entry) -> os.stat_result:
    """Return the stat of what is held; what is something else than the plan saw is let go."""
    seen = os.fstat(held)
    if seen.st_ino == entry.inode and seen.st_dev == entry.device:
        if seen.st_nlink == 1 or stat.S_ISDIR(seen.st_mode):
            return seen
        reason = f"has {seen.st_nlink} hard links, so another name of it would be owned too"
    else:
        reason = "became something else since it was looked at"
    os.close(held)
    raise Refused(reason)


@lru_cache(maxsize=1)
def _chown() -> _Chown:
    """Return what sets the owner of a held thing: one call of the kernel, where the C library has it."""
    import ctypes

    call = getattr(ctypes.CDLL(None, use_errno=True), "fchownat", None)
    if call is None:
        return lambda held, uid, gid: os.chown(f"/proc/self/fd/{held}", uid, gid)
    call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint, ctypes.c_uint, ctypes.c_int)

    def chown(held: int, uid: int, gid: int) -> None:
        if call(held, b"", uid, gid, _EMPTY_PATH):
            code = ctypes.get_errno()
            if code not in {errno.EINVAL, errno.ENOSYS}:  # a sandbox may know the flag as little as an old kernel
                raise OSError(code, os.strerror(code))
            os.chown(f"/proc/self/fd/{held}", uid, gid)

    return chown


def _told(action: Own) -> str:
    parts = [
        "" if action.uid is None else f"owner {action.uid}",
        "" if action.gid is None else f"group {action.gid}",
        "" if action.file_mode is None else f"mode {action.file_mode:04o}",
        "" if action.directory_mode is None else f"mode of directories {action.directory_mode:04o}",
    ]
    return ", ".join(filter(None, parts)) or "nothing"
