"""`group_vars/` and `host_vars/`: which files hold the vars of a group or host."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.errors import UserError
from runbook.engine.inventory import vault

if TYPE_CHECKING:
    from runbook.engine.inventory.files import Files

ENDINGS: Final = ("", ".yml", ".yaml", ".json")  # the first that is there counts, as in Ansible
MAX_DEPTH: Final = 40
GROUPS: Final = "group_vars"
HOSTS: Final = "host_vars"


class Folder:
    """The vars files beside one inventory source, or beside a runbook."""

    def __init__(self, base: str, files: Files) -> None:
        self._base = base
        self._files = files
        self._listed = {each: self._names(each) for each in (GROUPS, HOSTS)}
        self._read: dict[tuple[str, str], Mapping[Any, Any]] = {}
        self.origins: dict[tuple[str, str, Any], str] = {}

    def of(self, kind: str, name: str) -> Mapping[Any, Any]:
        """Return the vars that the files of a group or host hold.

        Raises:
            UserError: a file can't be read, or holds no vars.
        """
        if not self._listed[kind] or name.startswith("/"):
            return {}
        key = kind, name
        if key not in self._read:
            self._read[key] = self._merged(key, self._found(kind, name))
        return self._read[key]

    def _names(self, kind: str) -> frozenset[str]:
        place = os.path.join(self._base, kind)  # noqa: PTH118 -- text, as all here
        try:
            return frozenset(os.listdir(place))  # noqa: PTH208
        except FileNotFoundError:
            return frozenset()
        except NotADirectoryError:
            self._files.draft.warnings.append(f"{place}: this is no directory, and passed over")
            return frozenset()
        except OSError as error:
            raise UserError(f"this can't be listed: {(error.strerror or '').lower()}", where=place) from None

    def _found(self, kind: str, name: str) -> list[str]:
        base = os.path.join(self._base, kind, name)  # noqa: PTH118
        for ending in ENDINGS:
            if "/" not in name and name + ending not in self._listed[kind]:
                continue
            path = base + ending
            if os.path.isdir(path):  # noqa: PTH112
                return _below(path, ())
            if os.path.exists(path):  # noqa: PTH110
                return [path]
        return []

    def _merged(self, key: tuple[str, str], paths: list[str]) -> Mapping[Any, Any]:
        found: dict[Any, Any] = {}
        for path in paths:
            try:
                data = self._files.data(path)
            except vault.Locked as error:
                self._files.draft.warnings.append(f"{path}: its vars are missing: {error.what}")
                continue
            if not data:
                continue
            if not isinstance(data, Mapping):
                raise UserError("a file of vars is a mapping", where=path, mend="write `NAME: VALUE` lines")
            found.update(data)
            places = getattr(data, "places", {})
            for name in data:
                place = places.get(name)
                self.origins[(*key, name)] = f"{path}:{place[0][0]}" if place else path
        return found


def _below(folder: str, above: tuple[tuple[int, int], ...]) -> list[str]:
    """Return the files of vars in a directory and those below it, in Ansible's order."""
    found: list[str] = []
    about = os.stat(folder)  # noqa: PTH116
    here = about.st_dev, about.st_ino
    if here in above or len(above) >= MAX_DEPTH:
        why = "contains itself, by a link" if here in above else f"lies deeper than {MAX_DEPTH} others"
        raise UserError(f"this directory {why}", where=folder, mend="delete the link, or flatten them")
    for name in sorted(os.listdir(folder)):  # noqa: PTH208
        if name.startswith(".") or name.endswith("~"):
            continue
        path = os.path.join(folder, name)  # noqa: PTH118
        ending = os.path.splitext(name)[1]  # noqa: PTH122
        if os.path.isdir(path) and not ending:  # noqa: PTH112
            found += _below(path, (*above, here))
        elif os.path.isfile(path) and ending in ENDINGS:  # noqa: PTH113
            found.append(path)
    return found
