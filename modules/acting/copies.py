"""Copies of trees in a directory of our own: each whole or not there at all, numbered, and pruned.

A copy is a directory with the contents as numbered files and a `manifest.jsonl`, which is put there last: what has none
is being made by somebody who holds its lock, or was left behind and is swept away.
"""

import contextlib
import errno
import fcntl
import os
import re
import time
from typing import Any, Callable, Iterable, Iterator, List, Optional, Tuple

from runbook.modules.acting import content, manifest
from runbook.modules.acting.manifest import About
from runbook.modules.actions import Kept
from runbook.modules.declare import Failed, Refused
from runbook.modules.frozen import replace

_ID = re.compile(r"\d{6,}-\d{8}T\d{6}")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MANY = 200  # files
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Store:
    """The directory that holds copies. Only its owner may write there: what is put back from it may be anything."""

    def __init__(self, path: str, descriptor: int) -> None:
        """Take over the descriptor of the directory.

        Raises:
            Refused: others could write to it.
        """
        self.path = path
        self._held = descriptor
        try:
            manifest.private(os.fstat(descriptor), path)
        except Refused:
            os.close(descriptor)
            raise

    def __enter__(self) -> "Store":  # noqa: PYI034 -- Self came with Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._held)

    def list(self) -> List[About]:
        """Return what there is, the newest first."""
        found = []
        for name in sorted(filter(_ID.fullmatch, os.listdir(self._held)), key=_number, reverse=True):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError), self._opened(name) as copy:
                found.append(manifest.about_of(name, next(manifest.lines(copy, self.path))))
        return found

    def read(self, identity: str) -> Tuple[About, List[Kept]]:
        """Return all that a copy holds, directories before what lies in them.

        Raises:
            Failed: there is no such copy, or it can't be read.
        """
        try:
            with self._opened(identity) as copy:
                lines = manifest.lines(copy, self.path)
                about = manifest.about_of(identity, next(lines))
                things = [manifest.thing_of(line) for line in lines]
        except FileNotFoundError:
            raise Failed(f"there is no snapshot {identity} in {self.path} (any more)") from None
        except (OSError, ValueError, KeyError, TypeError, StopIteration) as error:
            raise Failed(f"snapshot {identity} in {self.path} can't be read: {error}") from error
        if len(things) != about.count:
            raise Failed(f"snapshot {identity} in {self.path} is damaged: {len(things)} of {about.count} things")
        return about, things

    def content(self, identity: str, kept: Kept) -> int:
        """Open the file that holds a content, to read it."""
        if not kept.file.isdecimal():
            raise Failed(f"snapshot {identity} does not hold the content of {kept.path}")
        with self._opened(identity) as copy:
            return os.open(kept.file, _READ, dir_fd=copy)

    def begin(self) -> "Draft":
        """Begin a copy.

        Raises:
            Refused: there is no room for it.
        """
        try:
            while True:
                taken = [_number(name) for name in os.listdir(self._held) if _ID.fullmatch(name)]
                name = f"{max(taken, default=0) + 1:06d}-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}"
                with contextlib.suppress(FileExistsError, FileNotFoundError):
                    os.mkdir(name, 0o700, dir_fd=self._held)
                    descriptor = os.open(name, _DIRECTORY, dir_fd=self._held)
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
                    if _there(self._held, name, descriptor):  # nobody took it for left behind before we had the lock
                        return Draft(self, name, descriptor)
                    os.close(descriptor)
        except OSError as error:
            raise Refused(f"{self.path} takes no snapshot: {error.strerror}") from error

    def prune(self, keep: int, same: About, older_than: Optional[float] = None) -> int:
        """Delete all but the newest of the same kind, name and roots, and what was left behind; return how many."""
        series = [about for about in self.list() if _series(about) == _series(same)]
        old = [] if older_than is None else [about for about in series[:keep] if about.at < older_than]
        gone = sum(self.delete(about.id) for about in [*series[keep:], *old])
        for name in filter(_ID.fullmatch, os.listdir(self._held)):
            if not self._whole(name):
                self.delete(name, unless_whole=True)
        return gone

    def delete(self, identity: str, *, unless_whole: bool = False) -> bool:
        """Delete a copy that nobody reads or makes at the moment; tell whether it is gone."""
        try:
            copy = os.open(identity, _DIRECTORY, dir_fd=self._held)
        except OSError:
            return False
        try:
            fcntl.flock(copy, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if unless_whole and self._whole(identity):
                return False
            for name in sorted(os.listdir(copy), key=lambda name: name != manifest.NAME):  # without it, it is no copy
                os.unlink(name, dir_fd=copy)
            os.rmdir(identity, dir_fd=self._held)
        except OSError:  # in use, or not ours to delete: later
            return False
        else:
            return True
        finally:
            os.close(copy)

    def sync(self) -> None:
        """Make durable which copies there are."""
        os.fsync(self._held)

    def _whole(self, name: str) -> bool:
        try:
            os.stat(f"{name}/{manifest.NAME}", dir_fd=self._held, follow_symlinks=False)
        except OSError:
            return False
        return True

    @contextlib.contextmanager
    def _opened(self, identity: str) -> Iterator[int]:
        """Hold a copy, so that nobody prunes it meanwhile."""
        if not _ID.fullmatch(identity):
            raise Failed(f"{identity!r} is not the id of a snapshot, such as 000012-20261122T084050")
        copy = os.open(identity, _DIRECTORY, dir_fd=self._held)
        try:
            fcntl.flock(copy, fcntl.LOCK_SH)
            manifest.private(os.fstat(copy), f"{self.path}/{identity}")
            yield copy
        finally:
            os.close(copy)


class Draft:
    """A copy that is being made; unless it is finished, nothing of it stays."""

    def __init__(self, store: Store, identity: str, descriptor: int) -> None:
        self.id = identity
        self.at = time.time()
        self.size = 0
        self._store = store
        self._held = descriptor
        self._files = 0
        self._fresh: List[str] = []  # of them, those that are not durable yet
        self._things: List[Kept] = []
        self._finished = False

    def __enter__(self) -> "Draft":  # noqa: PYI034 -- Self came with Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._held)
        if not self._finished:
            self._store.delete(self.id)

    def add(self, kept: Kept) -> None:
        """Take a thing that needs no content of its own."""
        self._things.append(kept)

    def copy(self, kept: Kept, source: int, room: Callable[[int], None]) -> None:
        """Take a file with its content; `room` is told how many bytes there will be, and may refuse."""
        name = str(self._files)
        target = os.open(name, _NEW, 0o600, dir_fd=self._held)
        try:
            write = content.writer(target)

            def take(position: int, piece: bytes) -> None:
                room(self.size + len(piece))
                self.size += len(piece)
                write(position, piece)

            found = content.digest(content.pieces(source, kept.size), kept.size, take)
            os.ftruncate(target, kept.size)
        except BaseException:
            os.unlink(name, dir_fd=self._held)
            raise
        finally:
            os.close(target)
        self._files += 1
        self._fresh.append(name)
        self._things.append(replace(kept, digest=found, file=name))

    def drop(self, size: int) -> None:
        """Take back the file that was taken last: it changed meanwhile. `size` is what there was before."""
        self._files -= 1
        self._fresh.pop()
        os.unlink(self._things.pop().file, dir_fd=self._held)
        self.size = size

    def share(self, kept: Kept, earlier: str) -> bool:
        """Take a file whose content an earlier copy holds already; tell whether it does."""
        name = str(self._files)
        try:
            where = f"../{earlier}/{kept.file}"
            os.link(where, name, src_dir_fd=self._held, dst_dir_fd=self._held, follow_symlinks=False)
        except OSError:
            return False
        self._files += 1
        self._things.append(replace(kept, file=name))
        return True

    def finish(self, kind: str, name: str, roots: Iterable[str]) -> About:
        """Make the copy durable, and then make it one."""
        about = About(self.id, kind, name, tuple(roots), self.at, len(self._things), self.size)
        self._settle()
        fresh = f"{manifest.NAME}.new"
        with os.fdopen(os.open(fresh, _NEW, 0o600, dir_fd=self._held), "wb") as listed:
            listed.writelines(manifest.written(about, self._things))
            listed.flush()
            os.fsync(listed.fileno())
        os.rename(fresh, manifest.NAME, src_dir_fd=self._held, dst_dir_fd=self._held)
        os.fsync(self._held)
        self._store.sync()
        self._finished = True
        return about

    def _settle(self) -> None:
        """Make the contents durable; many files one by one would take long."""
        if len(self._fresh) > _MANY and content.sync_all(self._held):
            return
        for name in self._fresh:
            _sync(name, self._held)


def full(error: OSError) -> bool:
    """Whether there was no room."""
    return error.errno in _FULL


def open_own(path: str, *, make: bool = False) -> Store:
    """Open a store in the agent's own directory.

    Raises:
        FileNotFoundError: it is not there.
    """
    if make:
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)
    return Store(path, os.open(path, _DIRECTORY))


def _series(about: About) -> Tuple[Any, ...]:
    return about.kind, about.name, sorted(about.roots)


def _number(name: str) -> int:
    return int(name.partition("-")[0])


def _there(store: int, name: str, descriptor: int) -> bool:
    try:
        now = os.stat(name, dir_fd=store, follow_symlinks=False)
    except FileNotFoundError:
        return False
    seen = os.fstat(descriptor)
    return (now.st_dev, now.st_ino) == (seen.st_dev, seen.st_ino)


def _sync(name: str, directory: int) -> None:
    descriptor = os.open(name, _READ, dir_fd=directory)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
