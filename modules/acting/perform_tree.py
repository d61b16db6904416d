"""Carrying out Delete: many entries of one tree, each compared with what the plan saw."""

import errno
import os
import stat
from typing import List, Sequence, Set, Tuple

from runbook.modules.acting import crew
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
    if not base and any(not entry.path for entry in action.entries):
        raise Refused(f"{action.root} is a `writable` entry itself; only what lies below it is deleted")
    if not doing:
        if action.entries:
            _look(tree, base)
        return what, bool(action.entries)
    problems, total = Problems(action.root), len(action.entries)
    share = _Share(tree, base, mounts_below(tree.root))
    files = sorted((entry for entry in action.entries if not entry.directory), key=_by_directory)
    folders = sorted((entry for entry in action.entries if entry.directory), key=_deepest_first)
    hands.touched = bool(files)  # the share may be interrupted
    gone, freed = crew.carry_out(files, share, problems, lambda done: hands.progress(f"deleted {done:,} of {total:,}"))
    hands.touched = gone > 0
    emptied, filled = share.folders(folders, problems)
    hands.touched = gone + emptied > 0
    hands.actions[-1]["what"] = what = _counted(gone, freed, emptied, action.root)
    problems.speak(hands, "deleted", total)
    stays = f" ({counted(filled, 'directory', 'directories')} filled again and stays)" if filled else ""
    return what + stays, hands.touched


class _Share:
    """Deletes entries that are still what the plan saw."""

    def __init__(self, tree: Tree, base: str, mounts: Set[str]) -> None:
        self._tree, self._base, self._mounts = tree, base, mounts

    def __call__(self, files: Sequence[Entry], problems: Problems, lively: crew.Lively) -> List[int]:
        """Delete files; return how many were, and their bytes."""
        gone = freed = 0
        above, parent = None, -1
        for number, entry in enumerate(files):
            if number % _LIVELY == 0:
                lively(number)
            path = entry.path
            folder, _, name = path.rpartition("/")
            try:
                if not path:  # the tree is this file alone
                    parent, name = self._tree.parent(self._base)
                elif folder != above:
                    above = None
                    parent = self._tree.directory(below(self._base, folder))
                    above = folder
                self._unlink(parent, name, entry)
            except FileNotFoundError:
                continue
            except Refused as error:
                problems.add(path, str(error))
            except OSError as error:
                problems.add(path, os.strerror(error.errno or 0))
            else:
                gone += 1
                freed += entry.size
        return [gone, freed]

    def folders(self, folders: Sequence[Entry], problems: Problems) -> Tuple[int, int]:
        """Delete directories, the deepest first; return how many were, and how many had been filled again."""
        emptied = filled = 0
        for entry in folders:
            path = below(self._base, entry.path)
            try:
                parent, name = self._tree.parent(path)
                self._judge(os.stat(name, dir_fd=parent, follow_symlinks=False), entry)
                os.close(self._tree.hold(parent, name, path))
                os.rmdir(name, dir_fd=parent)
            except FileNotFoundError:
                continue
            except Refused as error:
                problems.add(entry.path, str(error))
            except OSError as error:
                if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
                    filled += 1
                else:
                    problems.add(entry.path, os.strerror(error.errno or 0))
            else:
                emptied += 1
        return emptied, filled

    def _unlink(self, parent: int, name: str, entry: Entry) -> None:
        self._judge(os.stat(name, dir_fd=parent, follow_symlinks=False), entry)
        os.unlink(name, dir_fd=parent)

    def _judge(self, seen: os.stat_result, entry: Entry) -> None:
        if self._mounts and below(self._base, entry.path) in self._mounts:
            raise Refused("something is mounted there")
        same = (seen.st_ino, seen.st_dev, stat.S_ISDIR(seen.st_mode)) == (entry.inode, entry.device, entry.directory)
        if not same:
            raise Refused("became something else since it was looked at")


def _look(tree: Tree, base: str) -> None:
    """For --check: refuse what would be refused."""
    if base:
        os.close(tree.hold(*tree.parent(base), base))


def _by_directory(entry: Entry) -> str:
    """Put the files of a directory together, so that it is opened once."""
    return entry.path.rpartition("/")[0]


def _deepest_first(entry: Entry) -> Tuple[int, bool, str]:
    return (-entry.path.count("/"), not entry.path, entry.path)


def _weighed(entries: Sequence[Entry], root: str) -> str:
    sizes = [entry.size for entry in entries if not entry.directory]
    return _counted(len(sizes), sum(sizes), len(entries) - len(sizes), root)


def _counted(files: int, freed: int, folders: int, root: str) -> str:
    parts = [f"{counted(files, 'file')}, {size(freed)}"] if files else []
    parts += [counted(folders, "directory", "directories")] if folders else []
    return f"{' and '.join(parts) or 'nothing'} below {root}"
