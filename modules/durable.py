"""Small files that outlast whatever ends this process: written in one piece, synced, locked."""

import contextlib
import errno
import fcntl
import json
import os
import time
from typing import Any, Dict, Mapping, Optional

from runbook.modules import wire


def lock(path: str, deadline: float, how: int = fcntl.LOCK_EX) -> Optional[int]:
    """Return the locked descriptor of a file that is still the one at its path, or None when time runs out."""
    while True:
        held = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(held, how | fcntl.LOCK_NB)
            if _same(os.fstat(held), path):
                return held
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(held)
                return None
            time.sleep(0.02)
        os.close(held)


def _same(seen: os.stat_result, path: str) -> bool:
    try:
        now = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return (seen.st_dev, seen.st_ino) == (now.st_dev, now.st_ino)


def overwrite(held: int, value: Mapping[str, Any], *, sync: bool = False) -> None:
    """Write a file anew in one piece: spaces cover what was longer, so that at no moment half of it is of another."""
    body = json.dumps(value, default=wire.plain).encode().ljust(os.fstat(held).st_size)
    if os.pwrite(held, body, 0) != len(body):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if sync:
        os.fsync(held)


def replace(path: str, body: bytes) -> None:
    """Put a file in the place of another, whole."""
    fresh = f"{path}.{os.getpid()}"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(fresh)  # of a process that had our number before
    try:
        append(fresh, body)
        os.rename(fresh, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(fresh)
        raise
    sync(os.path.dirname(path))


def append(path: str, body: bytes) -> None:
    """Add to a file; of what does not fit, nothing stays."""
    held = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        before = os.fstat(held).st_size
        rest = memoryview(body)
        try:
            while rest:
                rest = rest[os.write(held, rest) :]
            os.fsync(held)
        except OSError:
            os.ftruncate(held, before)  # half a line would spoil the next one
            raise
    finally:
        os.close(held)


def sync(directory: str) -> None:
    """Let the names in a directory outlast a power cut."""
    held = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(held)
    finally:
        os.close(held)


def read(path: str) -> Optional[Dict[str, Any]]:
    """Return what a file says; None when it is not there, or not whole."""
    try:
        with open(path, "rb") as file:
            return parsed(file.read())
    except FileNotFoundError:
        return None


def parsed(body: bytes) -> Optional[Dict[str, Any]]:
    """Return what a file's content says; None when it is not whole."""
    try:
        value = json.loads(body)
    except ValueError:
        return None  # half-written when the machine went down
    return value if isinstance(value, dict) else None
