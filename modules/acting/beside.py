"""The file in which a new content is made, beside the one that it is renamed over."""

import contextlib
import fcntl
import hashlib
import os

from runbook.modules.declare import Refused

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_SEEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_TRIES = 10


def beside(name: str) -> str:
    """Name the file that a thing is made in: always the same, so that one that was killed leaves nothing for ever."""
    return f".{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}.runbook"


def begin(parent: int, name: str) -> int:
    """Make the file and return its descriptor; as long as that is open, nobody else begins one.

    Raises:
        Refused: another step is making one at the moment.
    """
    fresh = beside(name)
    for _ in range(_TRIES):
        try:
            made = os.open(fresh, _NEW, 0o600, dir_fd=parent)
        except FileExistsError:
            _clear(parent, fresh, name)
            continue
        if _locked(made, parent, fresh):
            return made
        os.close(made)
    raise Refused(f"{name} is being written by others all the time")


def _clear(parent: int, fresh: str, name: str) -> None:
    """Delete what one that was killed has left."""
    try:
        held = os.open(fresh, _SEEN, dir_fd=parent)
    except FileNotFoundError:
        return
    except OSError:  # a link, which nobody of us made
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fresh, dir_fd=parent)
        return
    try:
        if not _locked(held, parent, fresh):
            raise Refused(f"{name} is being written by another step at the moment")
        os.unlink(fresh, dir_fd=parent)
    finally:
        os.close(held)


def _locked(held: int, parent: int, fresh: str) -> bool:
    """Lock a file, and tell whether it is the one at its name still."""
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(held), os.stat(fresh, dir_fd=parent, follow_symlinks=False))
    except (BlockingIOError, FileNotFoundError):
        return False
