"""What looks need again and again, made ready by the agent while nothing is asked of it: its children inherit it."""

import contextlib
from typing import Any, Dict, Iterable, Mapping, Set, Tuple

from runbook.modules import catalogue

Key = Tuple[str, str]


class Warming:
    """Looks that were served once, and will be again."""

    def __init__(self) -> None:
        self._waiting: Dict[Key, Mapping[str, Any]] = {}
        self._warm: Set[Key] = set()

    def note(self, specs: Iterable[Mapping[str, Any]]) -> None:
        """Take in what was looked at."""
        for spec in specs:
            key = str(spec.get("id")), str(spec.get("probe"))
            if key not in self._warm:
                self._warm.add(key)
                self._waiting[key] = spec.get("params") or {}

    @property
    def waiting(self) -> bool:
        """There is something to be made ready."""
        return bool(self._waiting)

    def one(self) -> None:
        """Make one of them ready."""
        (_, name), params = self._waiting.popitem()
        with contextlib.suppress(Exception):  # told by the look itself
            warm = getattr(catalogue.probe(name), "warm", None)
            if warm is not None:
                warm(params)
