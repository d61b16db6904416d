"""Paths with wildcards, as in a shell: `*`, `?`, `[a-z]` within a name, `**` for any depth of directories.

Links to directories are followed where they are written out or matched by a name, never by `**`: a loop of links ends.
"""

import fnmatch
import os
import re
from functools import lru_cache
from typing import Iterator, List, Optional, Pattern, Set

from runbook.modules.declare import Unclear

MOST = 100_000  # paths that one pattern may match
_WILD = re.compile(r"[*?\[]")


def wild(path: str) -> bool:
    """Tell whether a path holds wildcards."""
    return _WILD.search(path) is not None


def expand(pattern: str, listed: Optional[Set[str]] = None) -> List[str]:
    """Return the paths that a pattern matches, sorted; a path without wildcards stands for itself, if it is there.

    Args:
        pattern: the path with wildcards.
        listed: takes in the directories that the answer depends on.

    Raises:
        Unclear: a directory on the way can't be read, or far too many paths match.
    """
    parts = [part for part in pattern.split("/") if part]
    found: List[str] = []
    listed = set() if listed is None else listed
    for path in _below("/" if pattern.startswith("/") else "", parts, listed):
        found.append(path)
        if len(found) > MOST:
            raise Unclear(f"{pattern} matches more than {MOST} paths")
    return sorted(set(found))


def _below(folder: str, parts: List[str], listed: Set[str]) -> Iterator[str]:
    if not parts:
        yield folder
        return
    part, rest = parts[0], parts[1:]
    if part == "**":
        yield from _below(folder, rest, listed)
        listed.add(folder)
        for name in _names(folder):
            path = os.path.join(folder, name)
            if not name.startswith(".") and os.path.isdir(path) and not os.path.islink(path):
                yield from _below(path, parts, listed)
            elif not rest and not name.startswith("."):
                yield path
    elif not wild(part):
        path = os.path.join(folder, part)
        if not rest:
            listed.add(folder)
        if rest or os.path.lexists(path):
            yield from _below(path, rest, listed)
    else:
        listed.add(folder)
        matches = _compiled(part)
        for name in _names(folder):
            hidden = name.startswith(".") and not part.startswith(".")
            if matches.match(name) and not hidden:
                path = os.path.join(folder, name)
                if not rest or os.path.isdir(path):
                    yield from _below(path, rest, listed)


def _names(folder: str) -> List[str]:
    try:
        return sorted(os.listdir(folder or "."))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise Unclear(f"{folder} can't be read: {error.strerror}") from error


@lru_cache(maxsize=256)
def _compiled(part: str) -> Pattern[str]:
    return re.compile(fnmatch.translate(part))
