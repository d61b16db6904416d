"""Which files a scan reads: those named, those below directories, the standard input; and what is left out, and why."""

from __future__ import annotations

import contextlib
import fnmatch
import os
import re
import stat
import sys
from typing import TYPE_CHECKING, BinaryIO, Final

from runbook.engine.scan import sniff
from runbook.modules import globs
from runbook.modules.declare import Unclear
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

STDIN: Final = "-"
_NOT_LOGS: Final = ("/proc", "/sys", "/dev")  # what looks like files there waits, or never ends
_DESCRIPTOR: Final = re.compile(r"/(?:dev|proc/self)/fd/(\d+)")
_ONE_OF_MANY: Final = re.compile(
    r"\d{1,4}|(?:global|local)?[_-]?(?:rank|node|worker|task|gpu|host|replica)[_-]?\d+", re.IGNORECASE
)
_KINDS: Final = (
    (stat.S_ISFIFO, "a pipe: `cat FILE | runbook scan -` reads one"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@frozen
class Source:
    """Something to read."""

    path: str  # as it is shown
    stream: BinaryIO | None = None  # of what has no file that could be opened again
    near: str = ""  # the same for what may belong together where no times are known; empty for what was named
    written: float = 0.0  # when it was last written to
    size: int | None = None  # in bytes, as it lies there; None where it can't be known


@frozen
class Left:
    """Something that was not read."""

    path: str
    why: str
    unreadable: bool = False  # somebody wanted it to be read, and it could not, or not to its end
    partly: bool = False  # some of it was read


def find(words: Sequence[str], only: Sequence[str] = ()) -> Iterator[Source | Left]:
    """Yield what is to be read, in order, each file once, and what is left out.

    Args:
        words: paths of files and directories, paths with wildcards, and `-`.
        only: of the files found in directories, those whose name, or path below it, matches one of these.
    """
    seen: set[tuple[int, int]] = set()
    for word in words:
        if word == STDIN:
            yield _standard_input()
        elif (descriptor := _DESCRIPTOR.fullmatch(word)) or word == "/dev/stdin":
            yield _opened(int(descriptor[1]) if descriptor else 0, word)
        else:
            try:
                paths = _expanded(word)
            except Unclear as error:
                yield Left(word, str(error), unreadable=True)
                continue
            for path in paths:
                yield from _named(path, only, seen)


def neighbourhood(folder: str) -> str:
    """Return what the directories of one run's ranks have in common: their path without numbers of ranks and nodes."""
    return "/".join("#" if _ONE_OF_MANY.fullmatch(part) else part for part in folder.split("/"))


def _standard_input() -> Source | Left:
    if sys.stdin is None or sys.stdin.closed:
        return Left(STDIN, "the standard input is closed", unreadable=True)
    return Source(STDIN, sys.stdin.buffer)


def _opened(descriptor: int, word: str) -> Source | Left:
    """Return what the shell opened for us, as in `scan <(kubectl logs x)`."""
    try:
        return Source(word, os.fdopen(os.dup(descriptor), "rb"))
    except OSError as error:
        return Left(word, _why(error), unreadable=True)


def _expanded(word: str) -> list[str]:
    path = os.path.expanduser(word)  # noqa: PTH111 -- a pattern is no path yet
    if globs.wild(path) and not os.path.lexists(path):
        return globs.expand(path) or [path]
    return [path]


def _named(path: str, only: Sequence[str], seen: set[tuple[int, int]]) -> Iterator[Source | Left]:
    try:
        about = os.stat(path)  # noqa: PTH116 -- names may be what pathlib mends
    except (OSError, ValueError) as error:
        wild = "nothing matches" if globs.wild(path) else _why(error)
        yield Left(path, wild, unreadable=True)
        return
    if stat.S_ISDIR(about.st_mode):
        yield from _below(path, only, seen)
    elif (about.st_dev, about.st_ino) not in seen:
        seen.add((about.st_dev, about.st_ino))
        yield _file(path, about, "", named=True)


def _below(top: str, only: Sequence[str], seen: set[tuple[int, int]]) -> Iterator[Source | Left]:
    """Yield a directory's files, then those of the directories in it; links are followed, each place is seen once."""
    folders = [top]
    while folders:
        folder = folders.pop()
        try:
            about = os.stat(folder)  # noqa: PTH116 -- as above
            if (about.st_dev, about.st_ino) in seen:
                continue
            seen.add((about.st_dev, about.st_ino))
            if os.path.realpath(folder).startswith(_NOT_LOGS):
                yield Left(folder, "not logs, but the kernel's own files")
                continue
            names = sorted(os.listdir(folder), key=_natural)  # noqa: PTH208 -- names only
        except OSError as error:
            yield Left(folder, _why(error), unreadable=True)
            continue
        inner: list[str] = []
        for name in names:
            path = name if folder == "." else os.path.join(folder, name)  # noqa: PTH118 -- as the person wrote it
            found = _member(path, os.path.relpath(path, top), only, seen)
            if isinstance(found, str):
                inner.append(found)
            elif found is not None:
                yield found
        folders += reversed(inner)


def _member(path: str, below: str, only: Sequence[str], seen: set[tuple[int, int]]) -> Source | Left | str | None:
    """Return what an entry of a directory is: a source, something to leave out, a directory's path, or seen already."""
    try:
        about = os.stat(path)  # noqa: PTH116 -- as above
    except FileNotFoundError:
        return None  # a link to nothing, or gone since
    except OSError as error:
        return Left(path, _why(error), unreadable=True)
    if stat.S_ISDIR(about.st_mode):
        return path
    name = below.rpartition("/")[2]
    if only and not any(fnmatch.fnmatch(name, glob) or fnmatch.fnmatch(below, glob) for glob in only):
        return None
    if (about.st_dev, about.st_ino) in seen:
        return None
    seen.add((about.st_dev, about.st_ino))
    return _file(path, about, neighbourhood(path.rpartition("/")[0] or "."), named=False)


def _file(path: str, about: os.stat_result, near: str, *, named: bool) -> Source | Left:
    for is_kind, word in _KINDS:
        if is_kind(about.st_mode):
            return Left(path, word, unreadable=named)  # of a directory, nobody asked for it
    if not about.st_size:
        return Source(path, near=near, written=about.st_mtime, size=about.st_size)
    try:
        kind = sniff.binary(path, named=named)
    except OSError as error:
        return Left(path, _why(error), unreadable=True)
    return Left(path, kind) if kind else Source(path, near=near, written=about.st_mtime, size=about.st_size)


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort rank10 behind rank9."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if place % 2 and len(part) < 18 else (0, part) for place, part in enumerate(parts)]


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file or directory"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error)


def close(source: Source) -> None:
    """Close what was opened for a scan; the standard input is the caller's."""
    if source.stream is not None and source.path != STDIN:
        with contextlib.suppress(OSError):
            source.stream.close()
