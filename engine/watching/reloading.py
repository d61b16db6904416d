"""Whether files have changed since they were read: runbooks, what they use, inventories."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

EVERY: Final = 1.0  # seconds between two looks at them
_MOST: Final = 2000  # files of one directory that are looked at
_BESIDE: Final = ("group_vars", "host_vars")

_COARSE: Final = 0.05  # seconds by which a file's times may lag behind the clock, at most

Mark = tuple[int, ...]  # what tells one state of a file from another; () = it can't be seen


class Files:
    """Files and directories, and what they were like.

    Args:
        paths: which; of a directory everything below it.
        began: when somebody began to read them, in seconds since the epoch: what changed since then may have been
            read as it was, and counts as changed.

    Example:
        >>> files = Files(["llm-deploy.yaml", "inventory/"])  # doctest: +SKIP
        >>> files.changed(now)                                # doctest: +SKIP
        False
    """

    def __init__(self, paths: Iterable[str], began: float = math.inf) -> None:
        self._paths = tuple(dict.fromkeys(paths))
        self._looked = 0.0
        self._marks: dict[str, Mark | None] = {
            path: None if _changed(mark) >= began - _COARSE else mark for path, mark in self._seen().items()
        }

    def over(self, paths: Iterable[str], began: float) -> Files:
        """Return what goes on from here with other files: of those that both have, it knows what they were like."""
        found = Files(paths, began)
        found._marks.update((path, mark) for path, mark in self._marks.items() if path in found._marks)
        return found

    def changed(self, now: float) -> bool:
        """Tell whether something is not as it was when this was asked last; looks once in a second."""
        if now - self._looked < EVERY:
            return False
        self._looked = now
        marks = self._seen()
        changed = marks != self._marks
        self._marks = {**marks}
        return changed

    def _seen(self) -> dict[str, Mark]:
        found: dict[str, Mark] = {}
        for path in self._paths:
            if os.path.isdir(path):  # noqa: PTH112 -- asked each second
                found[path] = ()
                for name in _below(path):
                    found[name] = _mark(name)
            else:
                found[path] = _mark(path)
        return found


def of_inventory(source: str) -> list[str]:
    """Return what an inventory's source is read from; nothing where it is a list of hosts."""
    if "," in source and not os.path.exists(source):  # noqa: PTH110
        return []
    folder = source if os.path.isdir(source) else os.path.dirname(os.path.abspath(source))  # noqa: PTH100, PTH112, PTH120
    return [source, *(os.path.join(folder, name) for name in _BESIDE)]  # noqa: PTH118


def marks(folders: Iterable[str], suffix: str) -> dict[str, Mark]:
    """Return what files below directories are like, by their paths."""
    return {path: _mark(path) for folder in folders for path in _below(folder) if path.endswith(suffix)}


def _below(folder: str) -> list[str]:
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__pycache__" and not name.startswith("."))
        found += [os.path.join(place, name) for name in sorted(names)]  # noqa: PTH118
        if len(found) > _MOST:
            break
    return found[:_MOST]


def _changed(mark: Mark) -> float:
    """Return when what bears a mark was changed, in seconds since the epoch."""
    return mark[-1] / 1e9 if mark else 0.0


def _mark(path: str) -> Mark:
    try:
        about = os.stat(path)  # noqa: PTH116 -- asked each second
    except OSError:
        return ()
    return (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)
