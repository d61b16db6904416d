# ruff: noqa: PTH208, PTH118, PTH122 -- texts: a link is refused later, and not resolved before
"""Folders of users' modules: `steps/NAME.py`, `probes/NAME.py`, and whatever these import beside them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runbook.engine.language.own.read import Noun, Read

NAME: Final = "runbook_modules"
NOUNS: Final[tuple[Noun, ...]] = ("step", "probe")  # what follows is imported only where there is such a folder
MODULE: Final = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")


class Folder:
    """One folder. Its names cost a listing; its files are read when they are asked for, if it can be trusted."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._sources: Mapping[str, bytes] | None = None
        self._read: dict[tuple[Noun, str], Read] = {}

    def names(self) -> dict[tuple[Noun, str], str]:
        """Return the modules by noun and name, with the file of each."""
        found: dict[tuple[Noun, str], str] = {}
        for noun in NOUNS:
            try:
                files = sorted(os.listdir(os.path.join(self.path, f"{noun}s")))
            except OSError:
                continue
            for file in files:
                stem, suffix = os.path.splitext(file)
                if suffix == ".py" and not stem.startswith(("_", ".")):
                    found[noun, stem] = os.path.join(self.path, f"{noun}s", file)
        return found

    def sources(self) -> Mapping[str, bytes]:
        """Return all its Python files by their relative paths.

        Raises:
            Untrusted: others can write there.
        """
        if self._sources is None:
            from runbook.engine.language.own import trust

            self._sources = trust.sources(self.path)
        return self._sources

    def module(self, noun: Noun, name: str) -> Read:
        """Return what a module's file says.

        Raises:
            Untrusted: others can write there.
        """
        if (noun, name) not in self._read:
            from runbook.engine.language.own import trust
            from runbook.engine.language.own.read import read

            file = shown(os.path.join(self.path, f"{noun}s", f"{name}.py"))
            content = self.sources().get(f"{noun}s/{name}.py")
            if content is None:
                raise trust.Untrusted(f"{file} is no file, or went away")
            self._read[noun, name] = read(noun, name, file, content)
        return self._read[noun, name]


def shown(path: str) -> str:
    """Return a path as short as it can be said from here."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except (ValueError, OSError):
        return path


def below(folder: Path) -> Iterator[Path]:
    """Yield the folders of modules at and below a directory; hidden ones are passed over."""
    if folder.name == NAME or any((folder / f"{noun}s").is_dir() for noun in NOUNS if folder.name != "modules"):
        yield folder
        return
    for root, folders, _ in os.walk(folder):
        folders[:] = sorted(each for each in folders if not each.startswith(".") and each != "node_modules")
        if NAME in folders:
            folders.remove(NAME)
            yield Path(root, NAME)
