"""Looking at all that lies below a path: no link is followed, no mount entered, and nothing is changed."""

import errno
import os
import stat
from typing import FrozenSet, Iterator, List, NamedTuple, Optional, Set, Tuple

from runbook.modules.acting import writable as entries
from runbook.modules.acting.tree import DEEPEST, HOLD, Tree, mount_id, mounts_below, real
from runbook.modules.actions import Entry
from runbook.modules.declare import Failed, Refused
from runbook.modules.host import Host

_READ_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class Found(NamedTuple):
    """One thing below the root of a walk, as it was seen."""

    path: str  # relative to the root; "" is the root itself
    stat: os.stat_result
    mount: bool = False  # another file system or a bind mount begins here: it was not entered, and can't be touched

    @property
    def directory(self) -> bool:
        """It is a directory (links are never followed)."""
        return stat.S_ISDIR(self.stat.st_mode)

    @property
    def link(self) -> bool:
        """It is a symbolic link."""
        return stat.S_ISLNK(self.stat.st_mode)

    @property
    def file(self) -> bool:
        """It is a regular file."""
        return stat.S_ISREG(self.stat.st_mode)

    @property
    def entry(self) -> Entry:
        """What a Delete or Own names it by."""
        return entry(self.path, self.stat)


def entry(path: str, seen: os.stat_result) -> Entry:
    """Return what a Delete or Own names a thing by."""
    mode = seen.st_mode
    return Entry(
        path,
        seen.st_dev,
        seen.st_ino,
        seen.st_size,
        stat.S_ISDIR(mode),
        seen.st_nlink,
        seen.st_uid,
        seen.st_gid,
        mode,
    )


class Folder(NamedTuple):
    """A directory and what lies in it, but for other directories."""

    path: str  # relative to the root; "" is the root itself
    stat: Optional[os.stat_result]  # None: the path that was asked for is no directory; it is the only thing
    things: List[Tuple[str, os.stat_result]]  # by name; that of the path that was asked for is ""
    mounts: List[Tuple[str, os.stat_result]]  # where something is mounted: it was not entered, and can't be touched


def walk(
    host: Host,  # noqa: ARG001 -- a plan asks the host; cases may answer for it
    path: str,
) -> Iterator[Found]:
    """Yield everything at and below a path, children before their directory, the path itself ("") last.

    For looking only: no link is followed, no mount entered (it is yielded with `mount` set), what vanishes meanwhile
    is left out, and a directory that can't be read is an error. A path that is not there yields nothing.

    Raises:
        Refused: a link stands in the path itself, or the tree is deeper than `DEEPEST`.
        Failed: a directory can't be read.
    """
    for folder, own, things, mounts in folders(path):
        prefix = f"{folder}/" if folder else ""
        for name, seen in things:
            yield Found(prefix + name, seen)
        for name, seen in mounts:
            yield Found(prefix + name, seen, mount=True)
        if own is not None:
            yield Found(folder, own)


def folders(path: str, *, without: FrozenSet[str] = frozenset(), prefix: str = "") -> Iterator[Folder]:
    """Yield the directories at and below a path with what lies in them, those below before the one above; as `walk`.

    Args:
        path: where to begin.
        without: names of directories in it that are left out; somebody else looks at them.
        prefix: what the paths begin with.

    Raises:
        Refused, Failed: as `walk`.
    """
    wanted = entries.plain(path)
    above, _, name = wanted.rpartition("/")
    try:
        with Tree(above or "/") as tree:
            top = os.open(name or ".", HOLD, dir_fd=tree.directory(""))
    except FileNotFoundError:
        return
    try:
        seen = os.fstat(top)
        if stat.S_ISLNK(seen.st_mode):
            raise Refused(f"{wanted} is a link; name the real path ({real(wanted)})")
        if stat.S_ISDIR(seen.st_mode):
            yield from _below(top, wanted, prefix, without)
        else:
            yield Folder(prefix, None, [("", seen)], [])
    finally:
        os.close(top)


class _Level(NamedTuple):
    """A directory that is held open while those below it are looked at."""

    descriptor: int
    folder: Folder
    below: List[str]  # names of directories that are still to come, the next one last


def _below(top: int, root: str, given: str, without: FrozenSet[str]) -> Iterator[Folder]:
    """Walk without recursion: each level of the stack is a directory in which others are still to come."""
    mount = mount_id(top)
    first = f"{given}/" if given else ""
    mounts = {first + path for path in mounts_below(root)}
    levels: List[_Level] = []
    try:
        levels.append(_listed(os.open(".", _READ_DIRECTORY, dir_fd=top), root, given, mounts, without))
        while levels:
            here, folder, below = levels[-1]
            if not below:
                levels.pop()
                os.close(here)
                yield folder
                continue
            name = below.pop()
            relative = f"{folder.path}/{name}" if folder.path else name
            try:
                descriptor = os.open(name, _READ_DIRECTORY, dir_fd=here)
            except OSError as error:
                if error.errno in {errno.ENOENT, errno.ELOOP, errno.ENOTDIR}:  # it vanished, or was swapped
                    continue
                raise Failed(f"{root}/{relative}: {error.strerror}") from error
            if mount_id(descriptor) != mount:
                folder.mounts.append((name, os.fstat(descriptor)))
                os.close(descriptor)
                continue
            if len(levels) > DEEPEST:
                os.close(descriptor)
                raise Refused(f"{root}: directories lie more than {DEEPEST} deep")
            levels.append(_listed(descriptor, root, relative, mounts, frozenset()))
    except OSError as error:
        raise Failed(f"{root}: {error.strerror}") from error
    finally:
        for here, *_ in levels:
            os.close(here)


def _listed(descriptor: int, root: str, path: str, mounts: Set[str], without: FrozenSet[str]) -> _Level:
    """Look at what lies in a directory; the descriptor is closed when that is impossible."""
    shown, prefix = f"{root}/{path}" if path else root, f"{path}/" if path else ""
    try:
        own = os.fstat(descriptor)
        folder, below, device = Folder(path, own, [], []), [], own.st_dev
        keep, is_directory = folder.things.append, stat.S_ISDIR
        for child in _children(descriptor, shown):
            name = child.name
            if without and name in without:
                continue
            try:
                seen = child.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise Failed(f"{shown}/{name}: {error.strerror}") from error
            directory = is_directory(seen.st_mode)
            mounted = mounts and prefix + name in mounts
            if mounted or (seen.st_dev != device and _on_another(descriptor, name, directory)):
                folder.mounts.append((name, seen))
            elif directory:
                below.append(name)
            else:
                keep((name, seen))
    except BaseException:
        os.close(descriptor)
        raise
    below.reverse()
    return _Level(descriptor, folder, below)


def _children(descriptor: int, shown: str) -> "Iterator[os.DirEntry[str]]":
    try:
        with os.scandir(descriptor) as found:
            children = list(found)  # a directory that is changed while it is read may show a name twice
    except OSError as error:
        raise Failed(f"{shown}: {error.strerror}") from error
    return iter(children)


def _on_another(descriptor: int, name: str, directory: bool) -> bool:
    """Tell whether a name of another device is a mount: files of an overlay bear the devices of its layers."""
    if directory:
        return True
    try:
        opened = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=descriptor)
    except OSError:
        return True
    try:
        return mount_id(opened) != mount_id(descriptor)
    finally:
        os.close(opened)
