"""Carrying out Own, and undoing it: many entries of one tree, each compared with what the plan saw.

There may be hundreds of thousands, so the loops are flat: what one entry costs is what `chown -R` is compared with.
A thing is held open, compared and changed by its descriptor: its name may lead elsewhere by now. Only in a directory
that nobody but root can change, and that nobody has changed since the plan looked, each name still leads to what the
plan saw, and saves three calls of the kernel for each thing.
"""

import errno
import os
import stat
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from runbook.modules.acting import crew, owners
from runbook.modules.acting.alike import Alike, Crowd, gathered, pieces
from runbook.modules.acting.hands import Hands, counted
from runbook.modules.acting.problems import Problems
from runbook.modules.acting.tree import Tree, mounts_below
from runbook.modules.acting.trees import below, opened
from runbook.modules.actions import Entry, Own
from runbook.modules.declare import Refused

_HOLD = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_EMPTY_PATH = 0x1000  # AT_EMPTY_PATH: the descriptor itself is meant
_TOGETHER = 200  # things of one directory that are held open at the same time
_CHANGED = "got another owner or mode since it was looked at"
_Chown = Callable[[int, int, int], None]


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
    wrong = list(_wrong(tree, base, action, problems, mounts))
    number = sum(map(_count, wrong))
    problems.speak(hands, "owned", len(action.entries))
    what = f"{counted(number, 'entry', 'entries')} of {action.root}: {_told(action)}"
    if not doing or not number:
        return what, bool(number)
    hands.keep_undo({"undo": "own", "path": action.root, "groups": list(map(_kept, wrong))})
    changed = 0
    hands.touched = True  # a share may be interrupted
    share = _Share(tree, base, action)
    folders = [each for each in wrong if stat.S_ISDIR(each.mode)]
    files = [each for each in wrong if not stat.S_ISDIR(each.mode)]
    with owners.taken(hands, tree, base, action, files) as files:
        changed += _shared(hands, share, files, problems, number)
    changed += _shared(hands, share, folders, problems, number)  # the last: one may shut us out, or let others in
    hands.touched = changed > 0
    problems.speak(hands, "owned", len(action.entries))
    return what, True


def before(undo: Mapping[str, Any]) -> Iterator[Tuple[Entry, _Terms]]:
    """Yield what an Own found, as its undo has it."""
    for group in undo["groups"]:
        uid, gid, mode, device = group["was"]
        were = Alike(group["folder"], device, uid, gid, mode, group["names"], group["inodes"])
        for path, inode in zip(were.paths(), were.inodes):
            yield Entry(path, device, inode), _Terms(uid, gid, mode)


def undo_own(hands: Hands, undo: Mapping[str, Any]) -> str:
    """Give back owner, group and mode to the entries that are still what they were."""
    root = str(undo["path"])
    tree, base = opened(hands.trees, root)
    problems = Problems(root)
    number = 0
    for number, (entry, terms) in enumerate(before(undo), 1):  # noqa: B007 -- counted
        try:
            held, seen = _held(tree, below(base, entry.path), entry.inode, entry.device)
        except FileNotFoundError:
            continue
        except Refused as error:
            problems.add(entry.path, str(error))
            continue
        try:
            hands.touched = True
            _set(held, terms._replace(mode=None) if stat.S_ISLNK(seen.st_mode) else terms)
        except OSError as error:
            problems.add(entry.path, os.strerror(error.errno or 0))
        finally:
            os.close(held)
    problems.speak(hands, "given back", number)
    return f"{counted(number, 'entry', 'entries')} of {root}, as they were"


def _wrong(tree: Tree, base: str, action: Own, problems: Problems, mounts: Set[str]) -> Iterator[Alike]:
    """Yield the things that are not as they should be; note what must not be touched."""
    given = action.entries
    for alike in given.alike if isinstance(given, Crowd) else gathered(_seen(tree, base, given, problems)):
        mounted = [path for path in alike.paths() if below(base, path) in mounts] if mounts else []
        for path in mounted:
            problems.add(path, "something is mounted there; a mount below `writable` is not crossed")
        if not mounted and _wanted(action, alike.uid, alike.gid, alike.mode) != _NOTHING:
            yield alike


def _seen(tree: Tree, base: str, entries: Iterable[Entry], problems: Problems) -> Iterator[Entry]:
    """Yield entries with what they are; note those with several names."""
    for entry in entries:
        if entry.links > 1 and not entry.directory:
            problems.add(entry.path, f"has {entry.links} hard links, so another name of it would be owned too")
        elif entry.uid >= 0:
            yield entry
        else:  # whoever made the plan did not look
            try:
                held, seen = _held(tree, below(base, entry.path), entry.inode, entry.device)
            except FileNotFoundError:
                continue
            except Refused as error:
                problems.add(entry.path, str(error))
                continue
            os.close(held)
            directory = stat.S_ISDIR(seen.st_mode)
            yield entry._replace(uid=seen.st_uid, gid=seen.st_gid, mode=seen.st_mode, directory=directory)


def _kept(alike: Alike) -> Dict[str, Any]:
    """Say how things were."""
    return {
        "was": (alike.uid, alike.gid, stat.S_IMODE(alike.mode), alike.device),
        "folder": alike.folder,
        "names": alike.names,
        "inodes": alike.inodes,
    }


def _shared(hands: Hands, share: "_Share", some: Sequence[Alike], problems: Problems, number: int) -> int:
    """Change things by as many processes as they are worth; return how many were."""
    torn = list(pieces(some))
    return sum(crew.carry_out(torn, share, problems, lambda it: hands.progress(f"owned {it:,} of {number:,}"), _count))


def _count(alike: Alike) -> int:
    return len(alike.names)


class _Share:
    """Changes things that were alike, when they are still what the plan saw."""

    def __init__(self, tree: Tree, base: str, action: Own) -> None:
        self._tree, self._base, self._action = tree, base, action
        self._local = tree.local()

    def __call__(self, torn: Sequence[Alike], problems: Problems, lively: crew.Lively) -> List[int]:
        """Change them; return how many were."""
        done = begun = 0
        for alike in torn:
            lively(begun)
            begun += len(alike.names)
            terms = _wanted(self._action, alike.uid, alike.gid, alike.mode)
            try:
                if alike.names == [""]:
                    done += self._itself(alike, terms, problems)
                else:
                    parent = self._tree.directory(below(self._base, alike.folder))
                    by_name = self._local and terms.mode is None and owners.settled(parent, alike)
                    done += _within(parent, alike, terms, problems, by_name=by_name)
            except FileNotFoundError:
                continue
            except Refused as error:
                for path in alike.paths():
                    problems.add(path, str(error))
        return [done]

    def _itself(self, alike: Alike, terms: _Terms, problems: Problems) -> int:
        """Change a directory, or the one file that the tree is."""
        held, seen = _held(self._tree, below(self._base, alike.folder), alike.inodes[0], alike.device)
        try:
            if (seen.st_uid, seen.st_gid, seen.st_mode) == alike[2:5]:
                _set(held, terms)
                return 1
            problems.add(alike.folder, _CHANGED)
        except OSError as error:
            problems.add(alike.folder, os.strerror(error.errno or 0))
        finally:
            os.close(held)
        return 0


def _within(parent: int, alike: Alike, terms: _Terms, problems: Problems, *, by_name: bool) -> int:
    """Change what lies in a directory; return how many things were."""
    if not {"", ".", ".."}.isdisjoint(alike.names):
        raise Refused("not a name")
    if by_name or terms.mode is not None:
        return _one_by_one(parent, alike, terms, problems, by_name=by_name)
    done = 0
    for start in range(0, len(alike.names), _TOGETHER):
        end = start + _TOGETHER
        some = alike._replace(names=alike.names[start:end], inodes=alike.inodes[start:end])
        held = _all_held(parent, some)
        try:
            if held:
                done += _given(held, some, terms, problems)
            else:
                done += _one_by_one(parent, some, terms, problems, by_name=False)
        finally:
            _close(held)
    return done


def _all_held(parent: int, alike: Alike) -> List[int]:
    """Return descriptors of things when all are what the plan saw; of none where one is not."""
    held: List[int] = []
    try:
        held += (os.open(name, _HOLD, dir_fd=parent) for name in alike.names)
        _, device, uid, gid, mode, _, inodes, _ = alike
        if [os.fstat(one)[:6] for one in held] == [(mode, inode, device, 1, uid, gid) for inode in inodes]:
            return held
    except OSError:
        pass  # which one, and why, is found one by one
    except BaseException:
        _close(held)
        raise
    _close(held)
    return []


def _given(held: Sequence[int], alike: Alike, terms: _Terms, problems: Problems) -> int:
    """Change the owner of held things; return of how many."""
    done = 0
    uid, gid, _ = terms
    chown = owners.chown()
    for place, one in enumerate(held):
        try:
            chown(one, uid, gid)
            done += 1
        except OSError as error:  # noqa: PERF203 -- each has its own trouble
            problems.add(f"{alike.folder}/{alike.names[place]}", os.strerror(error.errno or 0))
    return done


def _close(held: Sequence[int]) -> None:
    """Close descriptors: with one call, where nothing else lies between them."""
    if held and held[-1] - held[0] == len(held) - 1 and all(map(int.__lt__, held, held[1:])):
        os.closerange(held[0], held[-1] + 1)
        return
    for one in held:
        os.close(one)


def _one_by_one(parent: int, alike: Alike, terms: _Terms, problems: Problems, *, by_name: bool) -> int:
    _, device, uid, gid, mode, names, inodes, _ = alike
    done, held = 0, -1
    for name, inode in zip(names, inodes):
        try:
            if by_name:
                os.chown(name, terms.uid, terms.gid, dir_fd=parent, follow_symlinks=False)
                done += 1
                continue
            held = os.open(name, _HOLD, dir_fd=parent)
            seen = os.fstat(held)
            if seen.st_ino != inode or seen.st_dev != device or seen.st_nlink != 1:
                problems.add(f"{alike.folder}/{name}", _unlike(seen, inode, device))
            elif seen.st_uid != uid or seen.st_gid != gid or seen.st_mode != mode:
                problems.add(f"{alike.folder}/{name}", _CHANGED)
            else:
                _set(held, terms)
                done += 1
        except OSError as error:
            if error.errno != errno.ENOENT:  # it vanished, which is no fault
                problems.add(f"{alike.folder}/{name}", os.strerror(error.errno or 0))
        finally:
            if held >= 0:
                os.close(held)
                held = -1
    return done


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


def _set(held: int, terms: _Terms) -> None:
    uid, gid, mode = terms
    if uid != -1 or gid != -1:
        owners.chown()(held, uid, gid)
    if mode is not None:
        os.chmod(f"/proc/self/fd/{held}", mode)


def _held(tree: Tree, path: str, inode: int, device: int) -> Tuple[int, os.stat_result]:
    """Return (a descriptor that names a thing, its stat), when it is still what the plan saw.

    Raises:
        Refused: it became something else, has several hard links, or something is mounted there.
    """
    parent, name = tree.parent(path)
    held = os.open(name or ".", _HOLD, dir_fd=parent)
    try:
        seen = os.fstat(held)
        _same(seen, inode, device)
        if stat.S_ISDIR(seen.st_mode):
            tree.same_mount(held, path)
    except BaseException:
        os.close(held)
        raise
    return held, seen


def _same(seen: os.stat_result, inode: int, device: int) -> None:
    reason = _unlike(seen, inode, device)
    if reason:
        raise Refused(reason)


def _unlike(seen: os.stat_result, inode: int, device: int) -> str:
    """Say why a thing must not be touched; "" when it may."""
    if (seen.st_ino, seen.st_dev) != (inode, device):
        return "became something else since it was looked at"
    if seen.st_nlink == 1 or stat.S_ISDIR(seen.st_mode):
        return ""
    return f"has {seen.st_nlink} hard links, so another name of it would be owned too"


def _told(action: Own) -> str:
    parts = [
        "" if action.uid is None else f"owner {action.uid}",
        "" if action.gid is None else f"group {action.gid}",
        "" if action.file_mode is None else f"mode {action.file_mode:04o}",
        "" if action.directory_mode is None else f"mode of directories {action.directory_mode:04o}",
    ]
    return ", ".join(filter(None, parts)) or "nothing"
