# ruff: noqa: PTH118 -- texts
"""Reading users' modules from where only their owner can write, as sshd's StrictModes reads its files.

A folder is opened directory by directory without following links, so that what was checked is what is read.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

from runbook.modules.bootstrap import others_write

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LARGEST = 1 << 20  # bytes of one file
_MOST = 16 << 20  # bytes of a folder
_DEEPEST = 12


class Untrusted(Exception):
    """Somebody else can change what is below a folder, or it can't be read; `mend` says what to do."""

    def __init__(self, what: str, mend: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.mend = mend


def sources(folder: str) -> Mapping[str, bytes]:
    """Return the Python files below a folder by their relative paths, sorted.

    Raises:
        Untrusted: it, something in it, or a directory on the way to it can be written by others.
    """
    parent, name = os.path.split(os.path.abspath(folder))  # noqa: PTH100 -- its last part may not be a link
    found: dict[str, bytes] = {}
    with contextlib.ExitStack() as stack:
        descriptor = _open(os.path.join(os.path.realpath(parent), name), stack)
        for relative, content in _below(descriptor, os.path.abspath(folder), "", _DEEPEST):  # noqa: PTH100
            found[relative] = content
            if sum(map(len, found.values())) > _MOST:
                said = f"{folder} holds more than {_MOST >> 20} MiB of Python"
                raise Untrusted(said, "it travels to hosts: keep it small")
    return dict(sorted(found.items()))


def source(file: str) -> bytes:
    """Return one Python file.

    Raises:
        Untrusted: it, or a directory on the way to it, can be written by others.
    """
    folder, name = os.path.split(os.path.abspath(file))  # noqa: PTH100 -- its last part may not be a link
    with contextlib.ExitStack() as stack:
        return _read(_open(os.path.realpath(folder), stack), name, file)


def _open(path: str, stack: contextlib.ExitStack) -> int:
    """Return a directory's descriptor, every directory on the way to it checked."""
    at, shown = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), "/"
    stack.callback(os.close, at)
    parts = [part for part in path.split("/") if part]
    _check(os.fstat(at), "/", last=not parts)
    for number, part in enumerate(parts, 1):
        shown = f"{shown.rstrip('/')}/{part}"
        at = _enter(at, part, shown)
        stack.callback(os.close, at)
        _check(os.fstat(at), shown, last=number == len(parts))
    return at


def _enter(at: int, name: str, shown: str) -> int:
    try:
        return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
    except OSError as error:
        with contextlib.suppress(OSError):
            if stat.S_ISLNK(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode):
                raise Untrusted(f"{shown} is a link", "put the folder itself there") from error
        raise Untrusted(f"{shown} can't be opened: {error.strerror}") from error


def _check(seen: os.stat_result, shown: str, *, last: bool) -> None:
    me = os.geteuid()
    if seen.st_uid not in {me, 0}:
        who = "root" if me == 0 else f"uid {me} or root"
        raise Untrusted(f"{shown} belongs to uid {seen.st_uid}, not to {who}", f"chown {me} {shown}")
    sticky = stat.S_ISDIR(seen.st_mode) and seen.st_mode & stat.S_ISVTX and not last
    if not sticky and written_by_others(seen):
        whom = "everybody" if seen.st_mode & 0o002 else f"group {seen.st_gid}"
        raise Untrusted(f"{whom} can write in {shown}", f"chmod go-w {shown}")


def written_by_others(seen: os.stat_result) -> bool:
    """A group with nobody else in it, as distributions make one for each user, is no one; root's is not such a one."""
    if seen.st_mode & 0o022 == 0o020 and seen.st_gid == 0:
        return True
    return others_write(seen)


def _below(at: int, shown: str, relative: str, depth: int) -> Iterator[tuple[str, bytes]]:
    for name in sorted(os.listdir(at)):
        if name.startswith(".") or name == "__pycache__":
            continue
        seen = os.stat(name, dir_fd=at, follow_symlinks=False)
        place, path = f"{shown}/{name}", f"{relative}{name}"
        if stat.S_ISDIR(seen.st_mode):
            if depth:
                inner = _enter(at, name, place)
                try:
                    _check(os.fstat(inner), place, last=True)
                    yield from _below(inner, place, f"{path}/", depth - 1)
                finally:
                    os.close(inner)
        elif name.endswith(".py"):
            yield path, _read(at, name, place)
        elif stat.S_ISLNK(seen.st_mode) and os.path.isdir(place):  # noqa: PTH112 -- text
            raise Untrusted(f"{place} is a link", "put the folder itself there")


def _read(at: int, name: str, shown: str) -> bytes:
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
    except OSError as error:
        if stat.S_ISLNK(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode):
            raise Untrusted(f"{shown} is a link", "put the file itself there") from error
        raise Untrusted(f"{shown} can't be read: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        seen = os.fstat(descriptor)
        if not stat.S_ISREG(seen.st_mode):
            raise Untrusted(f"{shown} is no file", "delete it, or move it elsewhere")
        _check(seen, shown, last=True)
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise Untrusted(f"{shown} is larger than {LARGEST >> 20} MiB", "a module is written by hand: split it")
    return content
