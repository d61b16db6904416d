"""Which files `runbook lint` looks at: those that were named, and the runbooks below directories."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from runbook.engine.language.own import folders as own_folders

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_KEYS = re.compile(
    rb"^(?:detectors|operations|recoveries|pools|use|writable|finally|max_unavailable|fault_tolerance)[ \t]*:",
    re.MULTILINE,
)
_SIGNATURES = re.compile(
    rb"^(?:signatures[ \t]*:\s*(?:#[^\n]*\n\s*)*-[ \t]+\{?[ \t]*id[ \t]*:|xid[ \t]*:\s*['\"]?[0-9]+['\"]?[ \t]*:)",
    re.MULTILINE,
)
_CASES = re.compile(rb"^cases[ \t]*:", re.MULTILINE)
_FAULTS = re.compile(rb"^faults[ \t]*:", re.MULTILINE)
_NAME = re.compile(rb"^name[ \t]*:", re.MULTILINE)
_INVENTORIES = frozenset({".yaml", ".yml", ".json", ".ini", ""})
_VARS = frozenset({"group_vars", "host_vars"})
_BLANK = rb"(?:[ \t]*(?:#[^\n]*)?\n)*"
_GROUPS = re.compile(
    rb"^(?:[\w.-]+[ \t]*:[ \t]*(?:#[^\n]*)?\n" + _BLANK + rb"[ \t]+(?:hosts|children|vars)[ \t]*:"
    rb"|[\w.-]+[ \t]*:[ \t]*\{[ \t]*\"?(?:hosts|children|vars)\"?[ \t]*:"
    rb"|[ \t]*\{\s*\"[\w.-]+\"\s*:\s*\{\s*\"(?:hosts|children|vars)\"\s*:)",
    re.MULTILINE,
)
_SECTION = re.compile(rb"^\[[^\]\s]+\][ \t]*(?:#[^\n]*)?$", re.MULTILINE)
_ENOUGH = 1 << 20


def below(folder: Path, closed: Callable[[OSError], None]) -> Iterator[Path]:
    """Yield the runbooks and their cases below a directory, sorted; hidden directories are passed over.

    Links are followed once.

    Args:
        folder: where to begin.
        closed: told of each directory that can't be listed.
    """
    seen: set[tuple[int, int]] = set()
    for root, folders, files in os.walk(folder, onerror=closed, followlinks=True):
        try:
            status = Path(root).stat()
        except OSError:
            folders.clear()
            continue
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "node_modules")
        for name in sorted(files):
            path = Path(root, name)
            if _is_yaml(name) and path.is_file() and _is_runbook(path):
                yield path


def _is_yaml(name: str) -> bool:
    return name.endswith((".yaml", ".yml")) and not name.startswith(".")


def _is_runbook(path: Path) -> bool:
    """Tell a runbook, or a file of signatures, from an inventory or a chart; a file that can't be read may be one."""
    try:
        with path.open("rb") as file:
            start = file.read(_ENOUGH)
    except OSError:
        return True
    if are_cases(path.name):
        return _CASES.search(start) is not None
    if are_own_cases(path.name):
        return path.parent.name in {f"{noun}s" for noun in own_folders.NOUNS}
    if is_drill(path.name):
        return _FAULTS.search(start) is not None
    if _KEYS.search(start) or _SIGNATURES.search(start):
        return True
    return b"runbook.schema.json" in start[:4096] and _NAME.search(start) is not None


def inventories_below(folder: Path) -> list[Path]:
    """Return the inventories in a directory, and the files of their vars; programs are left alone."""
    found = []
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths = [Path(root, name) for name in sorted(names) if not name.startswith(".") and not name.endswith("~")]
        found += [path for path in paths if path.suffix in _INVENTORIES and path.is_file() and is_inventory(path)]
    return found


def is_inventory(path: Path) -> bool:
    """Tell an inventory, or a file of its vars, by its name, or by groups where a runbook has detectors."""
    if path.suffix == ".ini" or any(folder.name in _VARS for folder in path.parents):
        return True
    if path.suffix not in {".yaml", ".yml", ".json", ""} or are_cases(path.name) or is_drill(path.name):
        return False
    if not path.is_file():
        return False  # what stands in a pipe can be read but once
    try:
        with path.open("rb") as file:
            start = file.read(_ENOUGH)
    except OSError:
        return False
    if path.suffix:
        return not _KEYS.search(start) and _GROUPS.search(start) is not None
    return start[:2] != b"#!" and (_SECTION.search(start) is not None or _GROUPS.search(start) is not None)


def are_cases(name: str) -> bool:
    """Tell a file of a runbook's cases by its name; what reads it is imported only then."""
    if ".test." not in name:
        return False
    from runbook.engine.language.cases import is_cases

    return is_cases(name)


def are_own_cases(name: str) -> bool:
    """Tell a file of a module's cases by its name."""
    if ".case." not in name:
        return False
    from runbook.engine.language.own.cases import is_cases

    return is_cases(name)


def is_drill(name: str) -> bool:
    """Tell a file of faults by its name."""
    if ".drill." not in name:
        return False
    from runbook.engine.language import drills

    return drills.is_drill(name)


def shown(path: Path, here: Path) -> str:
    """Return a path as short as it can be said from here."""
    try:
        return str(path.relative_to(here))
    except ValueError:
        return str(path)


def unique(paths: Iterable[Path]) -> list[Path]:
    """Return each file once, however many names lead to it, in the order of their first name."""
    found: dict[str, Path] = {}
    for path in paths:
        found.setdefault(os.path.realpath(path), path)
    return list(found.values())
