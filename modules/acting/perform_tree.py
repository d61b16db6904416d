"""Carrying out Delete and Own, and undoing an Own: many entries of one tree, each compared with what the plan saw."""

import errno
import os
import stat
from typing import Any, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

from runbook.modules.acting.hands import Hands, counted, size
from runbook.modules.acting.tree import Tree, mounts_below
from runbook.modules.actions import Delete, Entry, Own
from runbook.modules.declare import Failed, Refused

_NAMED = 5  # problems that are told in full
_LIVELY = 1000  # entries between two words of progress


class _Problems:
    """What could not be done to single entries; the others are done all the same."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._told: List[str] = []
        self.count = 0

    def add(self, path: str, reason: str) -> None:
        """Note one."""
        self.count += 1
        if len(self._told) < _NAMED:
            self._told.append(reason if reason.startswith("/") else f"{self._root}/{path}".rstrip("/") + f": {reason}")

    def speak(self, hands: Hands, verb: str, total: int) -> None:
        """Raise when there are any: Refused when nothing at all was done."""
        if not self.count:
            return
        more = f"; and {self.count - _NAMED} more" if self.count > _NAMED else ""
        message = f"{self.count} of {counted(total, 'entry', 'entries')} not {verb}: {'; '.join(self._told)}{more}"
        raise Failed(message) if hands.touched else Refused(message)


def delete(hands: Hands, action: Delete, doing: bool) -> Tuple[str, bool]:
    """Delete entries, the children before their directories. What vanished meanwhile is no fault."""
    tree, base = _open(hands, action.root)
    what = _weighed(action.entries, action.root)
    if any(not _below(base, entry.path) for entry in action.entries):
        raise Refused(f"{action.root} is a `writable` entry itself; only what lies below it is deleted")
    if not doing:
        if action.entries:
            _look(tree, base)
        return what, bool(action.entries)
    problems, done, kept, total = _Problems(action.root), [], 0, len(action.entries)
    mounts = mounts_below(tree.root)
    for number, entry in enumerate(_in_order(action.entries)):
        path = _below(base, entry.path)
        if number % _LIVELY == 0:
            hands.progress(f"deleted {number:,} of {total:,}")
        try:
            if _delete(hands, tree, path, entry, path in mounts):
                done.append(entry)
            else:
                kept += entry.directory
        except FileNotFoundError:
            continue
        except Refused as error:
            problems.add(entry.path, str(error))
        except OSError as error:
            problems.add(entry.path, os.strerror(error.errno or 0))
    hands.actions[-1]["what"] = _weighed(done, action.root)
    problems.speak(hands, "deleted", total)
    stays = f" ({counted(kept, 'directory', 'directories')} filled again and stays)" if kept else ""
    return _weighed(done, action.root) + stays, bool(done)


def _delete(hands: Hands, tree: Tree, path: str, entry: Entry, mounted: bool) -> bool:
    """Delete one; false when a directory is not empty."""
    parent, name = tree.parent(path)
    seen = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if mounted:
        raise Refused("something is mounted there")
    if not _same(entry, seen):
        raise Refused("became something else since it was looked at")
    if not entry.directory:
        hands.touched = True
        os.unlink(name, dir_fd=parent)
        return True
    os.close(tree.hold(parent, name, path))
    try:
        os.rmdir(name, dir_fd=parent)
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
            return False
        raise
    hands.touched = True
    return True


def own(hands: Hands, action: Own, doing: bool) -> Tuple[str, bool]:
    """Set owner, group and mode of entries. All are looked at before the first is changed, and again when it is."""
    tree, base = _open(hands, action.root)
    mounts = mounts_below(tree.root)
    problems = _Problems(action.root)
    wrong: List[Entry] = []
    undos: List[List[Any]] = []
    for entry in action.entries:
        path = _below(base, entry.path)
        try:
            held, seen = _held(tree, path, entry, path in mounts)
        except FileNotFoundError:
            continue
        except (Refused, OSError) as error:
            problems.add(entry.path, error.strerror or "" if isinstance(error, OSError) else str(error))
            continue
        os.close(held)
        if _wanted(action, seen):
            wrong.append(entry)
            undos.append([entry.path, seen.st_dev, seen.st_ino, seen.st_uid, seen.st_gid, stat.S_IMODE(seen.st_mode)])
    problems.speak(hands, "owned", len(action.entries))
    what = f"{counted(len(wrong), 'entry', 'entries')} of {action.root}: {_terms(action)}"
    if not doing or not wrong:
        return what, bool(wrong)
    hands.keep_undo({"undo": "own", "path": action.root, "entries": undos})
    for number, entry in enumerate(wrong):
        if number % _LIVELY == 0:
            hands.progress(f"owned {number:,} of {len(wrong):,}")
        try:
            held, seen = _held(tree, _below(base, entry.path), entry, mounted=False)
        except FileNotFoundError:
            continue
        except Refused as error:
            problems.add(entry.path, str(error))
            continue
        try:
            _apply(hands, held, _wanted(action, seen))
        except OSError as error:
            problems.add(entry.path, os.strerror(error.errno or 0))
        finally:
            os.close(held)
    problems.speak(hands, "owned", len(action.entries))
    return what, True


def undo_own(hands: Hands, undo: Mapping[str, Any]) -> str:
    """Give back owner, group and mode to the entries that are still what they were."""
    root = str(undo["path"])
    tree, base = _open(hands, root)
    problems = _Problems(root)
    for path, device, inode, uid, gid, mode in undo["entries"]:
        try:
            held, seen = _held(tree, _below(base, path), Entry(path, device, inode), mounted=False)
        except FileNotFoundError:
            continue
        except Refused as error:
            problems.add(path, str(error))
            continue
        try:
            _apply(hands, held, (uid, gid, None if stat.S_ISLNK(seen.st_mode) else mode))
        except OSError as error:
            problems.add(path, os.strerror(error.errno or 0))
        finally:
            os.close(held)
    problems.speak(hands, "given back", len(undo["entries"]))
    return f"{counted(len(undo['entries']), 'entry', 'entries')} of {root}, as they were"


_Terms = Tuple[int, int, Optional[int]]  # owner, group, mode; -1 and None leave it


def _wanted(action: Own, seen: os.stat_result) -> Optional[_Terms]:
    """Return what is to be set on a thing; None when it is as it should be."""
    uid = -1 if action.uid is None or action.uid == seen.st_uid else action.uid
    gid = -1 if action.gid is None or action.gid == seen.st_gid else action.gid
    mode = action.directory_mode if stat.S_ISDIR(seen.st_mode) else action.file_mode
    if mode is not None and (stat.S_ISLNK(seen.st_mode) or mode == stat.S_IMODE(seen.st_mode)):
        mode = None
    return None if (uid, gid, mode) == (-1, -1, None) else (uid, gid, mode)


def _apply(hands: Hands, held: int, terms: Optional[_Terms]) -> None:
    """Change the held thing itself, not whatever its name leads to by now."""
    if terms is None:
        return
    uid, gid, mode = terms
    hands.touched = True
    if (uid, gid) != (-1, -1):
        os.chown(f"/proc/self/fd/{held}", uid, gid)
    if mode is not None:
        os.chmod(f"/proc/self/fd/{held}", mode)


def _held(tree: Tree, path: str, entry: Entry, mounted: bool) -> Tuple[int, os.stat_result]:
    """Return (a descriptor that names the entry, its stat), when it is still what the plan saw.

    Raises:
        Refused: it became something else, has several hard links, or something is mounted there.
    """
    parent, name = tree.parent(path)
    if mounted:
        raise Refused("something is mounted there; a mount below `writable` is not crossed")
    held = os.open(name or ".", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    seen = os.fstat(held)
    reason = ""
    if (seen.st_dev, seen.st_ino) != (entry.device, entry.inode):
        reason = "became something else since it was looked at"
    elif seen.st_nlink > 1 and not stat.S_ISDIR(seen.st_mode):
        reason = f"has {seen.st_nlink} hard links, so another name of it would be owned too"
    if reason:
        os.close(held)
        raise Refused(reason)
    if stat.S_ISDIR(seen.st_mode):
        try:
            tree.same_mount(held, path)
        except Refused:
            os.close(held)
            raise
    return held, seen


def _open(hands: Hands, root: str) -> Tuple[Tree, str]:
    try:
        return hands.open(root)
    except FileNotFoundError as error:
        raise Failed(f"{root} is not there") from error


def _look(tree: Tree, base: str) -> None:
    """For --check: refuse what would be refused."""
    tree.parent(base)
    if base:
        tree.directory(base)


def _below(base: str, path: str) -> str:
    if path.startswith("/") or ".." in path.split("/"):
        raise Refused(f"{path}: an entry must lie below its tree")
    return f"{base}/{path}" if base and path else base or path


def _same(entry: Entry, seen: os.stat_result) -> bool:
    return (entry.device, entry.inode, entry.directory) == (seen.st_dev, seen.st_ino, stat.S_ISDIR(seen.st_mode))


def _in_order(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Files by directory, so that each is opened once; then the directories, the deepest first."""
    directories = []
    for entry in sorted(entries, key=lambda entry: entry.path.rpartition("/")):
        if entry.directory:
            directories.append(entry)
        else:
            yield entry
    yield from sorted(directories, key=lambda entry: (-entry.path.count("/"), not entry.path, entry.path))


def _weighed(entries: Sequence[Entry], root: str) -> str:
    files = [entry for entry in entries if not entry.directory]
    directories = len(entries) - len(files)
    parts = [f"{counted(len(files), 'file')}, {size(sum(entry.size for entry in files))}"] if files else []
    parts += [counted(directories, "directory", "directories")] if directories else []
    return f"{' and '.join(parts) or 'nothing'} below {root}"


def _terms(action: Own) -> str:
    parts = [
        "" if action.uid is None else f"owner {action.uid}",
        "" if action.gid is None else f"group {action.gid}",
        "" if action.file_mode is None else f"mode {action.file_mode:04o}",
        "" if action.directory_mode is None else f"mode of directories {action.directory_mode:04o}",
    ]
    return ", ".join(filter(None, parts)) or "nothing"
