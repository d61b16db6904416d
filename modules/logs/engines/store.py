"""Compiled patterns, kept for the next process in the user's cache directory.

Compiling a catalogue takes longer than reading a log of 100 MB. What is loaded is trusted like code, so everything on
the way to it is held against whoever else may write there: also of root with the HOME of a user.
"""

import contextlib
import hashlib
import os
import re
import stat
import time
from typing import Iterator, List, Optional, Tuple

MOST = 16  # sets of patterns that are kept
CODE = 18  # of the translation: one more where it changes
LARGEST = 256 * 1024 * 1024  # bytes of one

_OWN = ("runbook", "scanner")  # below the cache directory
_NAME = re.compile(r"[0-9a-f]{32}")
_BEGUN = re.compile(r"[0-9a-f]{32}\.[0-9]+")  # and never finished, once it is old
_OLD = 3600.0  # seconds
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def read(key: str) -> Optional[bytes]:
    """Return what is kept under a key; None where nothing is, or where others could have changed it."""
    with _directory() as directory:
        if directory is None:
            return None
        try:
            descriptor = os.open(
                called(key), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory
            )
        except OSError:
            return None
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not _ours(found) or found.st_size > LARGEST:
            return None
        digest, _, kept = file.read(LARGEST).partition(b"\n")
    return kept if hashlib.sha256(kept).hexdigest().encode() == digest else None


def holds(key: str) -> bool:
    """Tell whether something is kept under a key."""
    with _directory() as directory:
        found = None if directory is None else _found(directory, called(key))
        return found is not None and _ours(found)


def usable() -> bool:
    """Tell whether something can be kept."""
    with _directory(make=True) as directory:
        return directory is not None and os.access(".", os.W_OK, dir_fd=directory, effective_ids=True)


def write(key: str, kept: bytes) -> None:
    """Keep something; where it can't be, it is made anew the next time."""
    with _directory(make=True) as directory:
        if directory is None:
            return
        name = called(key)
        there = _found(directory, name)
        if there is not None and not _ours(there):
            return  # somebody else's, and not ours to delete
        new = f"{name}.{os.getpid()}"
        with contextlib.suppress(OSError):
            descriptor = os.open(
                new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=directory
            )
            try:
                with open(descriptor, "wb") as file:
                    file.write(hashlib.sha256(kept).hexdigest().encode() + b"\n" + kept)
                os.replace(new, name, src_dir_fd=directory, dst_dir_fd=directory)
            except OSError:
                os.unlink(new, dir_fd=directory)
            _prune(directory)


def called(key: str) -> str:
    """Return the name of what is kept under a key."""
    return hashlib.sha256(f"{CODE} {key}".encode()).hexdigest()[:32]


@contextlib.contextmanager
def _directory(*, make: bool = False) -> Iterator[Optional[int]]:
    """Open the directory, if nobody but us (and root) could have put anything into it; else give None."""
    descriptor = None
    with contextlib.suppress(OSError, ValueError):
        descriptor = _opened(make=make)
    try:
        yield descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _opened(*, make: bool) -> Optional[int]:
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    if not os.path.isabs(cache):
        return None
    parts = [*filter(None, os.path.realpath(cache).split("/")), *_OWN]  # links are resolved here and nowhere else
    descriptor = os.open("/", _DIRECTORY)
    for left, part in zip(range(len(parts) - 1, -1, -1), parts):
        try:
            if not _firm(os.fstat(descriptor)):
                return None
            if make and left <= len(_OWN):
                with contextlib.suppress(OSError):
                    os.mkdir(part, 0o700, dir_fd=descriptor)
            inner = os.open(part, _DIRECTORY, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = inner
    found = os.fstat(descriptor)
    if found.st_uid == os.geteuid() and not found.st_mode & 0o022:
        return descriptor
    os.close(descriptor)
    return None


def _firm(found: os.stat_result) -> bool:
    """Tell whether nobody else can rename what is in a directory and is ours."""
    return found.st_uid in (0, os.geteuid()) and (not found.st_mode & 0o022 or bool(found.st_mode & stat.S_ISVTX))


def _ours(found: os.stat_result) -> bool:
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022


def _found(directory: int, name: str) -> Optional[os.stat_result]:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return None


def _prune(directory: int) -> None:
    """Delete the oldest, and what was begun and never finished; of nothing else that lies there."""
    kept: List[Tuple[float, str]] = []
    for name in os.listdir(directory):
        found = _found(directory, name) if _NAME.fullmatch(name) or _BEGUN.fullmatch(name) else None
        if found is None or not _ours(found):
            continue
        if _NAME.fullmatch(name):
            kept.append((found.st_mtime, name))
        elif found.st_mtime < time.time() - _OLD:
            os.unlink(name, dir_fd=directory)
    for _, name in sorted(kept, reverse=True)[MOST:]:
        os.unlink(name, dir_fd=directory)
