"""Opening what lies in `writable`: directory by directory from `/`, no link followed, no mount below an entry crossed.

Everything goes by descriptors that are held open, so that swapping a directory for a link while a step works
changes nothing about what the step touches. Plans look with `inside` and `walking.walk`; `perform.py` acts with `Tree`.
"""

import contextlib
import errno
import os
import re
import stat
from typing import List, Sequence, Set, Tuple

from runbook.modules.acting import writable as entries
from runbook.modules.declare import Failed, Refused

HOLD = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC  # names a thing, opens nothing: no permission to read is needed
_DIRECTORY = HOLD | os.O_DIRECTORY
_ESCAPED = re.compile(rb"\\([0-7]{3})")  # a blank in a mount point's name
_LOCAL = frozenset((b"btrfs", b"ext2", b"ext3", b"ext4", b"f2fs", b"overlay", b"tmpfs", b"xfs"))
DEEPEST = 200  # directories below an entry; each level holds a descriptor


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
                below = os.open(part, HOLD, dir_fd=descriptor)
            except FileNotFoundError:
                raise
            except OSError as error:
                raise Failed(f"{so_far}: {error.strerror}") from error
            finally:
                os.close(descriptor)
            descriptor = below
            kind = os.fstat(descriptor).st_mode
            if stat.S_ISLNK(kind):
                target = real(so_far)
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
        descriptor = os.open(name, HOLD, dir_fd=parent)
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


def real(path: str) -> str:
    """Where a path leads to, for a message; it may change while we ask."""
    try:
        return os.path.realpath(path)
    except OSError:
        return "it changes"


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
