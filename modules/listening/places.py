"""Which directories have to be watched, and for which names in them, to hear of a path or a pattern."""

import fnmatch
import os
import re
from typing import Iterator, List, NamedTuple, Sequence, Set

from runbook.modules.globs import wild

MOST = 256  # directories for one detector
_LINKS = 8  # on the way from a path to what it means
_ANY = "~"  # any name


class Name(NamedTuple):
    """Names in a directory that matter."""

    folder: str
    name: str  # `=` and the name itself, or `~` and a regular expression
    file: str = ""  # what is meant, where that is written out: the name itself, without what rotation makes of it


class TooMany(Exception):
    """There are more directories than are watched."""


def places(path: str, *, rotated: bool = False) -> List[Name]:
    """Return the directories to watch, those that are there, and the names in them.

    Raises:
        TooMany: there are too many directories.
    """
    path = os.path.normpath(os.path.expanduser(path))
    parts = [part for part in path.split("/") if part]
    if not parts:
        return [Name("/", _ANY)]
    if wild(path) and os.path.lexists(path):
        return list(_literal(path, rotated=rotated))
    found: List[Name] = []
    folders: Set[str] = set()
    for name in _walk("/", parts, rotated, _LINKS):
        found.append(name)
        folders.add(name.folder)
        if len(folders) > MOST:
            raise TooMany
    return found


def _literal(path: str, *, rotated: bool) -> Iterator[Name]:
    folder, name = os.path.split(path)
    yield Name(folder, _names(name, rotated=rotated), name)


def _walk(folder: str, parts: Sequence[str], rotated: bool, links: int) -> Iterator[Name]:
    part, rest = parts[0], parts[1:]
    if part == "**":
        yield Name(folder, _ANY)
        if rest:
            yield from _walk(folder, rest, rotated, links)
        for path in _folders(folder):
            yield from _walk(path, parts, rotated, links)
    elif wild(part):
        yield Name(folder, _ANY + fnmatch.translate(part))
        if rest:
            matches = re.compile(fnmatch.translate(part)).match
            for name in _listed(folder):
                path = os.path.join(folder, name)
                if matches(name) and os.path.isdir(path):
                    yield from _walk(path, rest, rotated, links)
    else:
        yield from _named(folder, part, rest, rotated, links)


def _named(
    folder: str,
    part: str,
    rest: Sequence[str],
    rotated: bool,
    links: int,
) -> Iterator[Name]:
    """Go on below a name that is written out: it is watched itself where it ends, is a link, or is not there."""
    path = os.path.join(folder, part)
    target = _link(path)
    if not rest:
        yield Name(folder, _names(part, rotated=rotated), part)
    elif target or not os.path.isdir(path):
        yield Name(folder, _names(part))
    if target and links:
        parts = [*(one for one in target.split("/") if one and one != "."), *rest]
        start = "/" if target.startswith("/") else folder
        while parts and parts[0] == "..":
            start, parts = os.path.dirname(os.path.realpath(start)), parts[1:]
        if parts:
            yield from _walk(start, parts, rotated, links - 1)
    elif rest and os.path.isdir(path):
        yield from _walk(path, rest, rotated, links)


def _names(name: str, *, rotated: bool = False) -> str:
    if not rotated:
        return f"={name}"
    stem, dot, suffix = name.rpartition(".")
    own = re.escape(name)
    # x.log.1, x.log-20260131, x.log.old; and x.1.log, x-20260131.log
    before = rf"|{re.escape(stem)}[.\-_].*{re.escape(dot + suffix)}(?:\..*)?" if stem else ""
    return f"{_ANY}(?s:{own}(?:[.\\-_].*)?{before})\\Z"


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _listed(folder: str) -> List[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []  # told where it is watched


def _folders(folder: str) -> List[str]:
    """Return the directories in a directory that `**` goes into."""
    try:
        with os.scandir(folder) as entries:
            return [one.path for one in entries if not one.name.startswith(".") and one.is_dir(follow_symlinks=False)]
    except OSError:
        return []
