"""The values of a drill as its loader reads them: templates filled in, paths that can't lead out of the place."""

from __future__ import annotations

import posixpath
import re
import shlex
from typing import TYPE_CHECKING, Any

from runbook.engine.errors import RenderError
from runbook.engine.language import scope as scopes
from runbook.engine.language import units
from runbook.engine.language.drill_words import SCRATCH
from runbook.engine.language.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runbook.engine.language.values import Reader
    from runbook.engine.model import Path


class Values:
    """Reads a drill's values; what is wrong with one becomes a finding, and its place is taken by a default."""

    def __init__(self, reader: Reader, names: Mapping[str, Any]) -> None:
        self.reader = reader
        self.names = names  # what templates may name

    def filled(self, given: Any, path: Path) -> Any:
        """Return a value with its templates filled in."""
        if isinstance(given, dict):
            return {key: self.filled(each, (*path, key)) for key, each in given.items()}
        if isinstance(given, list):
            return [self.filled(each, (*path, number)) for number, each in enumerate(given)]
        parsed = self.reader.template(given, path)
        if parsed is given:
            return given
        try:
            return scopes.value(parsed, self.names)
        except RenderError as error:
            self.reader.add("RB010", error.what, path, error.mend)
            return ""

    def place(self, given: Any, path: Path) -> str:
        """Return a path in the scratch directory as a whole one."""
        written = str(given)
        whole = posixpath.normpath(posixpath.join(SCRATCH, written))
        if whole != SCRATCH and not whole.startswith(f"{SCRATCH}/"):
            mend = f"a drill touches nothing but its scratch place: write a path below {SCRATCH}, or a relative one"
            self.reader.add("RB011", f"{written} lies outside the scratch place", path, mend)
        return whole

    def seconds(self, given: Any, path: Path, default: float) -> float:
        """Return a duration in seconds."""
        return float(self._quantity(given, path, default, units.duration))

    def bytes(self, given: Any, path: Path, default: int) -> int:
        """Return a size in bytes."""
        return int(self._quantity(given, path, default, units.size))

    def mode(self, given: str | None, path: Path) -> int | None:
        """Return a file's mode."""
        if given is None:
            return None
        if re.fullmatch("0?[0-7]{3,4}", given) is None:
            self.reader.add("RB011", f"{given} is no mode", path, 'write it in quotes, as "0600"')
            return None
        return int(given, 8)

    def _quantity(self, given: Any, path: Path, default: float, read: Any) -> float:
        if given is None:
            return default
        if isinstance(given, int | float):
            return float(given)
        try:
            return float(read(given))
        except ValueError as error:
            self.reader.add("RB011", str(error), path)
            return default

    def words(self, given: Any, path: Path) -> tuple[str, ...]:
        """Return a command's words; a text is split as a shell would, and no shell reads it."""
        if isinstance(given, list):
            return tuple(str(word) for word in given)
        try:
            found = tuple(shlex.split(str(given)))
        except ValueError as error:
            self.reader.add("RB011", f"this is no command: {error}", path)
            return ("true",)
        if not found:
            self.reader.add("RB011", "the command is empty", path)
        return found or ("true",)

    def known(self, name: str, known: Iterable[str], what: str, path: Path, *, key: bool = False) -> None:
        """See that something of that name is there."""
        names = {str(each) for each in known}
        if name in names:
            return
        near = nearest(str(name), names)
        listed = f"there are {', '.join(sorted(names))}" if names else "there are none"
        mend = f"did you mean {near}?" if near else listed
        self.reader.add("RB012", f"there is no {what} `{name}`", path, mend, key=key)


def texts(given: Any) -> tuple[str, ...]:
    """Return a text or a list of texts as texts."""
    if given is None:
        return ()
    return tuple(str(each) for each in given) if isinstance(given, list) else (str(given),)
