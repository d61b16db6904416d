"""Compiled patterns, kept for the next process in the user's cache directory.

Compiling a catalogue takes longer than reading a log of 100 MB.
"""

import contextlib
import hashlib
import os
from typing import Optional

MOST = 16  # sets of patterns that are kept
CODE = 1  # of the translation: one more where it changes


def read(key: str) -> Optional[bytes]:
    """Return what is kept under a key; None where nothing is, or where others could have changed it."""
    directory = _directory()
    if directory is None:
        return None
    try:
        descriptor = os.open(os.path.join(directory, _name(key)), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid() or found.st_mode & 0o022:
            return None
        digest, _, kept = file.read().partition(b"\n")
    return kept if hashlib.sha256(kept).hexdigest().encode() == digest else None


def holds(key: str) -> bool:
    """Tell whether something is kept under a key."""
    directory = _directory()
    return directory is not None and os.path.exists(os.path.join(directory, _name(key)))


def usable() -> bool:
    """Tell whether something can be kept."""
    directory = _directory(make=True)
    return directory is not None and os.access(directory, os.W_OK)


def write(key: str, kept: bytes) -> None:
    """Keep something; where it can't be, it is made anew the next time."""
    directory = _directory(make=True)
    if directory is None:
        return
    path = os.path.join(directory, _name(key))
    new = f"{path}.{os.getpid()}"
    with contextlib.suppress(OSError):
        try:
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with open(descriptor, "wb") as file:
                file.write(hashlib.sha256(kept).hexdigest().encode() + b"\n" + kept)
            os.replace(new, path)
        except OSError:
            os.unlink(new)
        _prune(directory)


def _name(key: str) -> str:
    return hashlib.sha256(f"{CODE} {key}".encode()).hexdigest()[:32]


def _directory(*, make: bool = False) -> Optional[str]:
    """Return the directory, if it is ours alone."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    path = os.path.join(cache, "runbook", "scanner")
    if not os.path.isabs(path):
        return None
    try:
        if make:
            os.makedirs(path, mode=0o700, exist_ok=True)
        found = os.lstat(path)
    except OSError:
        return None
    ours = os.path.isdir(path) and not os.path.islink(path) and found.st_uid == os.geteuid()
    return path if ours and not found.st_mode & 0o022 else None


def _prune(directory: str) -> None:
    kept = sorted(os.scandir(directory), key=lambda entry: entry.stat().st_mtime, reverse=True)
    for entry in kept[MOST:]:
        os.unlink(entry.path)
