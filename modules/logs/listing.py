"""Which logs a path or a pattern of paths means."""

import os
import stat
from typing import Callable, List, Set

from runbook.modules.declare import Unclear
from runbook.modules.globs import expand, wild

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


def _refusal(path: str) -> str:
    try:
        mode = os.stat(path).st_mode  # asked for once: a log may come and go between two questions
    except (OSError, ValueError):
        return ""
    if stat.S_ISREG(mode):
        return ""
    return f"{path} is a directory: write {path}/*" if stat.S_ISDIR(mode) else f"{path} is no file, so it is not read"
