"""Where the files of the catalogue are, and what stands in them: entries as they are written, each with its place."""

from __future__ import annotations

import os
import pathlib
import re
from typing import TYPE_CHECKING, Any

from runbook.engine.errors import UserError
from runbook.engine.language import source
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from runbook.engine.language.source import Source
    from runbook.engine.model import Path

SUFFIXES = (".yaml", ".yml")
SITE = pathlib.Path("/etc/runbook/signatures")
VARIABLE = "RUNBOOK_SIGNATURES"  # files and directories, parted as in PATH
KEYS = frozenset({"signatures", "xid"})
_SAMPLES = re.compile(r"^    (?:match|near_miss):.*\n(?:(?: {5,}|    -(?= )| *$).*\n)*", re.MULTILINE)
_MIDDLE = 50  # the precedence of a bundled file that names none


@frozen
class Part:
    """One file of the catalogue."""

    source: Source
    bundled: bool

    @property
    def entries(self) -> list[dict[str, Any]]:
        """Its signatures, as they are written."""
        return [item for item in _listed(self.source.data, "signatures") if isinstance(item, dict)]

    @property
    def codes(self) -> dict[int, dict[str, Any]]:
        """What it says of Xid codes."""
        given = self.source.data.get("xid") if isinstance(self.source.data, dict) else None
        items = given.items() if isinstance(given, dict) else ()
        return {int(code): item for code, item in items if is_code(code) and isinstance(item, dict)}

    @property
    def precedence(self) -> int:
        """Its place among the bundled files; those with a lower number name a line first."""
        given = self.source.data.get("precedence") if isinstance(self.source.data, dict) else None
        return given if isinstance(given, int) else _MIDDLE


def bundled() -> list[pathlib.Path]:
    """Return the files that come with runbook."""
    return _below(folder())


def folder() -> pathlib.Path:
    """Return the directory of the files that come with runbook."""
    from importlib.resources import files

    return pathlib.Path(str(files("runbook") / "runbooks" / "signatures"))


def users(extra: Sequence[str] = ()) -> list[pathlib.Path]:
    """Return the user's files: the host's, the person's, those of $RUNBOOK_SIGNATURES, those named; later ones win.

    Raises:
        UserError: a named one is not there, or a directory that was named holds none.
    """
    found = [*_below(SITE), *_below(own_folder())]
    for name in (*filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)), *extra):
        path = pathlib.Path(name)
        try:
            below = _below(path) if path.is_dir() else [path]
            there = path.exists()
        except (OSError, ValueError) as error:
            raise UserError(f"this can't be a file of signatures: {error}", where=name[:80]) from error
        if not there:
            raise UserError("there is no such file or directory", where=name, mend="give a file of signatures")
        if not below:
            raise UserError("there are no signatures in this directory", where=name, mend="they are *.yaml files")
        found += below
    return list(dict.fromkeys(found))


def also(names: Sequence[str]) -> None:
    """Read these files and directories too, in this process and in what it starts."""
    os.environ[VARIABLE] = os.pathsep.join([*filter(None, [os.environ.get(VARIABLE)]), *names])


def own_folder() -> pathlib.Path:
    """Return the directory of the person's own signatures."""
    given = os.environ.get("XDG_CONFIG_HOME", "")
    config = pathlib.Path(given) if given.startswith("/") else pathlib.Path("~/.config").expanduser()
    return config / "runbook" / "signatures"


def stamp(paths: Iterable[pathlib.Path]) -> tuple[tuple[str, int, int], ...]:
    """Return what changes when one of the files does."""
    found = []
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            found.append((str(path), 0, 0))
            continue
        found.append((str(path), status.st_mtime_ns, status.st_size))
    return tuple(found)


def read(path: pathlib.Path) -> Part:
    """Read one of the user's files; what is wrong with it stands in its source's problems."""
    return Part(untrapped(source.read(path)), bundled=False)


def read_bundled(path: pathlib.Path, *, samples: bool) -> Part:
    """Read a file that comes with runbook, without the samples if nobody asks for them: they are half of it."""
    text = path.read_text(encoding="utf-8")
    return Part(untrapped(source.parse(text if samples else _SAMPLES.sub("", text), str(path))), bundled=True)


def is_signatures(data: Any) -> bool:
    """Tell a file of signatures from a runbook by its keys."""
    return isinstance(data, dict) and not KEYS.isdisjoint(data) and "name" not in data


def is_code(key: object) -> bool:
    """Whether a key is an Xid code, which may be written without quotes."""
    return isinstance(key, str) and re.fullmatch("[0-9]{1,4}", key) is not None


def untrapped(read: Source) -> Source:
    """Take back what was said of keys that look like something else: Xid codes, and `off`."""
    given = read.data.get("xid") if isinstance(read.data, dict) else None
    keys: list[Path] = [("xid", key) for key in given if is_code(key)] if isinstance(given, dict) else []
    listed = enumerate(_listed(read.data, "signatures"))
    keys += [("signatures", number, "off") for number, item in listed if isinstance(item, dict) and "off" in item]
    if read.problems and keys:
        meant = {read.span(path, key=True) for path in keys}
        read.problems = [found for found in read.problems if not (found.code == "RB003" and found.span in meant)]
    return read


def _below(path: pathlib.Path) -> list[pathlib.Path]:
    try:
        return sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and not file.name.startswith("."))
    except OSError:
        return []


def _listed(data: Any, key: str) -> Iterator[Any]:
    given = data.get(key) if isinstance(data, dict) else None
    yield from given if isinstance(given, list) else ()
