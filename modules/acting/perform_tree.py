"""Carrying out Delete: many entries of one tree, each compared with what the plan saw."""

import errno
import os
import stat
from typing import Iterable, Iterator, Sequence, Tuple

from runbook.modules.acting.hands import Hands, counted, size
from runbook.modules.acting.problems import Problems
from runbook.modules.acting.tree import Tree, mounts_below
from runbook.modules.acting.trees import below, opened
from runbook.modules.actions import Delete, Entry
from runbook.modules.declare import Refused

_LIVELY = 1000  # entries between two words of progress


def delete(hands: Hands, action: Delete, doing: bool) -> Tuple[str, bool]:
    """Delete entries, the children before their directories. What vanished meanwhile is no fault."""
    tree, base = opened(hands.trees, action.root)
    what = _weighed(action.entries, action.root)
    if any(not below(base, entry.path) for entry in action.entries):
        raise Refused(f"{action.root} is a `writable` entry itself; only what lies below it is deleted")
    if not doing:
        if action.entries:
            _look(tree, base)
        return what, bool(action.entries)
    problems, done, kept, total = Problems(action.root), [], 0, len(action.entries)
    mounts = mounts_below(tree.root)
    for number, entry in enumerate(_in_order(action.entries)):
        path = below(base, entry.path)
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


def _look(tree: Tree, base: str) -> None:
    """For --check: refuse what would be refused."""
    if base:
        os.close(tree.hold(*tree.parent(base), base))


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
