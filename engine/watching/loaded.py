"""What a watch's command line names, as it was read last."""

from __future__ import annotations

import os
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runbook.engine.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runbook.engine.among import Among
    from runbook.engine.inventory.inventory import Host
    from runbook.engine.start import Request


@dataclass
class Loaded:
    """What the command line names, read anew."""

    among: Among
    requests: dict[str, Request] = field(default_factory=dict)  # by path: those that may run
    problems: dict[str, str] = field(default_factory=dict)  # by path: what is wrong with the others
    digests: dict[str, str] = field(default_factory=dict)  # by path: another where anything about it is another
    files: Sequence[str] = ()  # what all this was read from
    warnings: Sequence[str] = ()  # what is to be told of it
    modules: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # users' own, by path: what each is like

    def hosts(self, path: str) -> Sequence[Host]:
        """Return the hosts of an inventory that a runbook is watched on."""
        return self.requests[path].hosts if path in self.requests else ()


def scheduled(request: Request) -> Mapping[float | str, tuple[str, ...]]:
    """Return by schedule the detectors that are looked at then."""
    runbook = request.runbook
    found: dict[float | str, list[str]] = {}
    for detector in runbook.detectors:
        found.setdefault(runbook.every if detector.every is None else detector.every, []).append(detector.name)
    return {every: tuple(names) for every, names in found.items()}


def told(error: Exception) -> str:
    """Return what went wrong, and for a bug where."""
    if isinstance(error, UserError):
        return error.line
    if isinstance(error, OSError):
        return str(error)
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({os.path.basename(where.filename)}:{where.lineno})"  # noqa: PTH119
