"""Opening what lies in `writable`: directory by directory from `/`, no link followed, no mount below an entry crossed.

Everything goes by descriptors that are held open, so that swapping a directory for a link while a step works
changes nothing about what the step touches. Plans look with `inside` and `walk`; `perform.py` acts with `Tree`.
"""

import contextlib
import errno
import os
import re
import stat
from typing import FrozenSet, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

from runbook.modules.acting import writable as entries
from runbook.modules.actions import Entry
from runbook.modules.declare import Failed, Refused
from runbook.modules.host import Host

_HOLD = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC  # names a thing, opens nothing: no permission to read is needed
_DIRECTORY = _HOLD | os.O_DIRECTORY
_READ_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_ESCAPED = re.compile(rb"\\([0-7]{3})")  # a blank in a mount point's name
_LOCAL = frozenset((b"btrfs", b"ext2", b"ext3", b"ext4", b"f2fs", b"overlay", b"tmpfs", b"xfs"))
DEEPEST = 200  # directories below an entry; each level holds a descriptor


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


def mount_id(descriptor: int) -> int:
    """Return the mount that a descriptor was opened on; bind mounts of one file system differ."""
    try:
        info = os.open(f"/proc/self/fdinfo/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise Refused(f"mounts can't be told apart without /proc: {error.strerror}") from error
    try:
        text = os.read(info, 512)
    finally:
        os.close(info)
    _, found, rest = text.partition(b"mnt_id:")
    if not found:
        raise Refused("the kernel does not tell mounts apart (no mnt_id in /proc/self/fdinfo)")
    return int(rest.split(None, 1)[0])


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


def inside(path: str, writable: Sequence[str]) -> str:
    """Return the `writable` entry that a path lies in; what of the path exists is looked at without following links.

    Raises:
        Refused: it lies in none, or a link or a mount stands on the way.
    """
    wanted, entry = entries.covering(path, writable)
    with contextlib.ExitStack() as stack:
        try:
            tree = stack.enter_context(Tree(entry))
        except FileNotFoundError:
            return entry  # nothing there yet that could lead astray
        relative = wanted[len(tree.root) + 1 :]
        try:
            parent, name = tree.parent(relative)
            if name:
                os.close(tree.hold(parent, name, relative))
        except FileNotFoundError:
            return entry
    return entry


class Tree:
    """A `writable` entry held open, and the way down to whatever lies below it.

    Descriptors of the directory used last and of those above it stay open, so that walking in order costs one
    opening a directory.
    """

    def __init__(self, entry: str) -> None:
        """Open the entry.

        Raises:
            Refused: a link stands in its path.
            FileNotFoundError: it is not there.
        """
        self.root = entry.rstrip("/")
        descriptor = os.open("/", _DIRECTORY)
        so_far = ""
        for part in self.root.split("/")[1:]:
            so_far += "/" + part
            try:
                below = os.open(part, _HOLD, dir_fd=descriptor)
            except FileNotFoundError:
                raise
            except OSError as error:
                raise Failed(f"{so_far}: {error.strerror}") from error
            finally:
                os.close(descriptor)
            descriptor = below
            kind = os.fstat(descriptor).st_mode
            if stat.S_ISLNK(kind):
                target = _real(so_far)
                os.close(descriptor)
                raise Refused(f"{entry}: {so_far} is a link; name the real path in `writable` ({target})")
            if not stat.S_ISDIR(kind):
                os.close(descriptor)
                raise Refused(f"{entry}: {so_far} is not a directory; `writable` names directories")
        self._names: List[str] = []
        self._open: List[int] = [descriptor]
        self._mount = mount_id(descriptor)

    def __enter__(self) -> "Tree":  # noqa: PYI034 -- Self came with Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of every directory."""
        while self._open:
            os.close(self._open.pop())
        self._names.clear()

    def relative(self, path: str) -> str:
        """Return a plain absolute path as one below this entry; "" is the entry itself."""
        return path[len(self.root) + 1 :]

    def directory(self, relative: str) -> int:
        """Return the descriptor of a directory below the entry; it is the tree's own, and good until the next call.

        Raises:
            Refused: a link, a mount or something else than a directory stands on the way.
            FileNotFoundError: it is not there.
        """
        names = relative.split("/") if relative else []
        if len(names) > DEEPEST:
            raise Refused(f"{self.root}: directories lie more than {DEEPEST} deep")
        same = 0
        while same < len(names) and same < len(self._names) and names[same] == self._names[same]:
            same += 1
        while len(self._names) > same:
            self._names.pop()
            os.close(self._open.pop())
        for name in names[same:]:
            self._descend(name)
        return self._open[-1]

    def parent(self, relative: str) -> Tuple[int, str]:
        """Return (the directory that holds a path, the path's last name); the name is "" for the entry itself."""
        above, _, name = relative.rpartition("/")
        return self.directory(above), name

    def hold(self, parent: int, name: str, shown: str) -> int:
        """Return a new O_PATH descriptor of a directory's child, which may be anything but a link or a mount."""
        descriptor = os.open(name, _HOLD, dir_fd=parent)
        try:
            self.same_mount(descriptor, shown)
            link = stat.S_ISLNK(os.fstat(descriptor).st_mode)
        except BaseException:
            os.close(descriptor)
            raise
        if link:
            os.close(descriptor)
            raise Refused(f"{self.root}/{shown} is a link; links are not followed: name what it points to")
        return descriptor

    def same_mount(self, descriptor: int, shown: str) -> None:
        """Raise Refused when a descriptor lies on another mount than the entry."""
        if mount_id(descriptor) != self._mount:
            raise Refused(f"{self.root}/{shown}: something is mounted there; a mount below `writable` is not crossed")

    def local(self) -> bool:
        """Whether no other machine changes the entry's file system, and its owners and modes mean what they say."""
        with open("/proc/self/mountinfo", "rb") as lines:
            for line in lines:
                if int(line.split(None, 1)[0]) == self._mount:
                    return line.partition(b" - ")[2].split(None, 1)[0] in _LOCAL
        return False

    def _descend(self, name: str) -> None:
        shown = "/".join([*self._names, name])
        if name in {"", ".", ".."}:
            raise Refused(f"{self.root}/{shown}: not a name")
        try:
            descriptor = os.open(name, _DIRECTORY, dir_fd=self._open[-1])
        except OSError as error:
            if error.errno in {errno.ENOTDIR, errno.ELOOP}:
                raise Refused(f"{self.root}/{shown} is a link or no directory; links are not followed") from error
            raise
        self._open.append(descriptor)
        self._names.append(name)
        self.same_mount(descriptor, shown)


def _real(path: str) -> str:
    """Where a path leads to, for a message; it may change while we ask."""
    try:
        return os.path.realpath(path)
    except OSError:
        return "it changes"


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
            top = os.open(name or ".", _HOLD, dir_fd=tree.directory(""))
    except FileNotFoundError:
        return
    try:
        seen = os.fstat(top)
        if stat.S_ISLNK(seen.st_mode):
            raise Refused(f"{wanted} is a link; name the real path ({_real(wanted)})")
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


def mounts_below(root: str) -> Set[str]:
    """Return the mount points below a path, relative to it: a file can be one, and only this list says so."""
    prefix = os.fsencode(root.rstrip("/") + "/")
    found = set()
    with open("/proc/self/mountinfo", "rb") as lines:
        for line in lines:
            point = _ESCAPED.sub(lambda octal: bytes([int(octal[1], 8)]), line.split()[4])
            if point.startswith(prefix):
                found.add(os.fsdecode(point[len(prefix) :]))
    return found
