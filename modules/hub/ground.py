"""The folder or cache that a download goes to: opened beneath `writable`, directory by directory, no link followed."""

import contextlib
import os
import stat
import threading
from typing import Iterator, Optional, Tuple

from runbook.modules.acting.trees import Trees
from runbook.modules.declare import Blameless, Refused

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_HERE = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_SMALL = 64 << 20  # bytes of a file that is read as a whole


class Ground:
    """Opens what lies below one path. Its descriptors belong to whoever asked, so that threads don't share any."""

    def __init__(self, trees: Trees, path: str) -> None:
        self.path = path.rstrip("/")
        self._trees = trees
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def directory(self, relative: str, *, make: bool = False) -> Iterator[int]:
        """Open a directory; `make` makes what is missing.

        Raises:
            Refused: it lies outside of `writable`, or a link or a mount stands on the way.
            FileNotFoundError: it is not there.
        """
        descriptor = self._opened(relative, make)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def parent(self, relative: str, *, make: bool = False) -> Iterator[Tuple[int, str]]:
        """Open the directory of a file, and yield it with the file's name."""
        above, _, name = relative.rpartition("/")
        with self.directory(above, make=make) as descriptor:
            yield descriptor, name

    def stat(self, relative: str) -> Optional[os.stat_result]:
        """Return what is there, links as links; None where nothing is."""
        try:
            with self.parent(relative) as (descriptor, name):
                return os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def link(self, relative: str) -> Optional[str]:
        """Return where a link leads; None where there is none."""
        try:
            with self.parent(relative) as (descriptor, name):
                return os.readlink(name, dir_fd=descriptor)
        except OSError:
            return None

    def read(self, relative: str) -> Optional[bytes]:
        """Return what a small file holds; None where there is none."""
        try:
            with self.parent(relative) as (descriptor, name), open(_plain(descriptor, name), "rb") as file:
                return file.read(_SMALL)
        except (FileNotFoundError, NotADirectoryError, Refused):
            return None

    def open(self, relative: str) -> int:
        """Return a descriptor of a regular file, for reading.

        Raises:
            Refused: it is something else.
            FileNotFoundError: it is not there.
        """
        with self.parent(relative) as (descriptor, name):
            return _plain(descriptor, name)

    def write(self, relative: str, content: bytes) -> None:
        """Put a small file in its place, whole or not at all."""
        with self.parent(relative, make=True) as (descriptor, name):
            fresh = f".{name[:200]}.{os.getpid()}.{threading.get_ident()}"
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                with open(os.open(fresh, flags, 0o666, dir_fd=descriptor), "wb") as file:
                    file.write(content)
                os.rename(fresh, name, src_dir_fd=descriptor, dst_dir_fd=descriptor)
            except BaseException:
                self._forget(descriptor, fresh)
                raise

    def rename(self, source: str, target: str) -> None:
        """Put a file in another's place, at once."""
        with self.parent(source) as (here, old), self.parent(target, make=True) as (there, new):
            try:
                os.rename(old, new, src_dir_fd=here, dst_dir_fd=there)
            except IsADirectoryError as error:
                raise Blameless(f"{self.path}/{target} is a directory, and a file of the repo; move it away") from error

    def unlink(self, relative: str) -> None:
        """Delete a file, if it is there."""
        with contextlib.suppress(FileNotFoundError), self.parent(relative) as (descriptor, name):
            os.unlink(name, dir_fd=descriptor)

    def _opened(self, relative: str, make: bool) -> int:
        whole = f"{self.path}/{relative}" if relative else self.path
        with self._lock:
            tree, below = self._trees.open(whole)
            if make:
                so_far = ""
                for name in filter(None, below.split("/")):
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(name, 0o777, dir_fd=tree.directory(so_far))
                    so_far = f"{so_far}/{name}" if so_far else name
            return os.open(".", _HERE, dir_fd=tree.directory(below))

    @staticmethod
    def _forget(descriptor: int, name: str) -> None:
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=descriptor)


def _plain(directory: int, name: str) -> int:
    try:
        descriptor = os.open(name, _READ, dir_fd=directory)
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise Refused(f"{name}: {error.strerror}; links are not followed") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Refused(f"{name} is no regular file")
    return descriptor
