"""Which logs a path or a pattern of paths means."""

import os
import stat
from typing import Callable, List, Set

from runbook.modules.declare import Unclear
from runbook.modules.globs import expand, wild

_NULL = os.makedev(1, 3)  # where a log is linked to that nobody wants

Listing = Callable[[str, Set[str]], List[str]]  # takes in the directories that the answer depends on


def listed(pattern: str, folders: Set[str]) -> List[str]:
    """Return the logs that a pattern means; one that is not there yet is meant too.

    Raises:
        Unclear: it is something that is not read, or can't be listed.
    """
    pattern = os.path.normpath(os.path.expanduser(pattern))
    folders.add(os.path.dirname(pattern))
    if wild(pattern) and not os.path.lexists(pattern):
        folders.discard(os.path.dirname(pattern))
        return expand(pattern, folders)
    refusal = _refusal(pattern)
    if refusal:
        raise Unclear(refusal)
    return [pattern]


def irregular(path: str) -> bool:
    """Tell whether at a path lies what lines may go through unread: a pipe, a socket, a device but /dev/null."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return False
    if stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode):
        return False
    return not stat.S_ISCHR(found.st_mode) or found.st_rdev != _NULL


def _refusal(path: str) -> str:
    try:
        mode = os.stat(path).st_mode  # asked for once: a log may come and go between two questions
    except (OSError, ValueError):
        return ""
    if stat.S_ISREG(mode):
        return ""
    return f"{path} is a directory: write {path}/*" if stat.S_ISDIR(mode) else f"{path} is no file, so it is not read"
