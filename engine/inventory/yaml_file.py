"""A YAML inventory (or TOML, of the same shape): groups with `hosts`, `vars` and `children`."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.errors import UserError
from runbook.engine.inventory import addresses
from runbook.engine.language.nearest import nearest

if TYPE_CHECKING:
    from runbook.engine.inventory.draft import Draft

SECTIONS: Final = ("vars", "children", "hosts")
_RUNBOOKS: Final = frozenset({"detectors", "operations"})
_NO_PLACES: Final[Mapping[Any, Any]] = {}


def fill(draft: Draft, data: Any, file: str) -> None:
    """Add what a YAML inventory says.

    Raises:
        UserError: it has another shape, or a pattern in it can't be expanded.
    """
    if not isinstance(data, Mapping):
        raise UserError("this is no inventory: a YAML inventory is a mapping of groups", where=file,
                        mend="begin with `all:`, and `hosts:` below it")  # fmt: skip
    if data.get("plugin"):
        raise plugin(str(data["plugin"]), file)
    if not _RUNBOOKS.isdisjoint(data) and not any(isinstance(each, Mapping) for each in data.values()):
        raise UserError("this is a runbook, and no inventory", where=file, mend="name it without -i")
    for name, group in data.items():
        _group(draft, name, group, _Place(file, data, name))


def plugin(name: str, file: str) -> UserError:
    """Return the error for the configuration of an inventory plugin, which only Ansible can run."""
    command = f"exec ansible-inventory -i {shlex.quote(os.path.abspath(file))} --list"  # noqa: PTH100 -- links stay
    mend = f"have Ansible run it: name an executable file instead, of two lines: `#!/bin/sh` and `{command}`"
    return UserError(
        f"this configures Ansible's inventory plugin `{name[:60]}`: runbook runs none", where=file, mend=mend
    )


class _Place:
    """Where a key of a mapping stands, said only when it is asked for."""

    __slots__ = ("file", "key", "parent")

    def __init__(self, file: str, parent: Any, key: Any) -> None:
        self.file, self.parent, self.key = file, parent, key

    def __str__(self) -> str:
        place = getattr(self.parent, "places", _NO_PLACES).get(self.key)
        return f"{self.file}:{place[0][0]}:{place[0][1]}" if place else self.file


def _group(draft: Draft, name: Any, data: Any, place: _Place) -> bool:
    if data is not None and not isinstance(data, Mapping):
        draft.warnings.append(f"{place}: `{name}` is no group and is passed over: a group is a mapping")
        return False
    if not isinstance(name, str) or not name:
        raise UserError(f"the group's name `{name}` is not text", where=str(place), mend="write it in quotes")
    draft.add_group(name)
    if data is None:
        return True
    sections = {key: _section(name, key, value, _Place(place.file, data, key)) for key, value in data.items()}
    for key, section in sections.items():
        if section is None:
            continue
        here = _Place(place.file, data, key)
        if not isinstance(section, Mapping) or key not in SECTIONS:
            _passed_over(draft, name, key, section, here)
        elif key == "vars":
            for var, value in section.items():
                draft.set_group(name, var, value, str(_Place(place.file, section, var)))
        elif key == "children":
            for child, below in section.items():
                at = _Place(place.file, section, child)
                _group(draft, child, below, at)
                _child(draft, name, child, at)
        else:
            for pattern, given in section.items():
                _hosts(draft, name, pattern, given, _Place(place.file, section, pattern))
    return True


def _child(draft: Draft, name: str, child: str, at: _Place) -> None:
    if child in draft.hosts and child not in draft.groups:
        draft.add_host(child, name)
        return
    if child not in draft.groups:
        raise UserError(f"`{child}` is no group", where=str(at), mend="a group is a mapping, or empty")
    try:
        draft.add_child(name, child)
    except UserError as error:
        raise UserError(error.what, where=str(at), mend=error.mend) from None


def _section(name: str, key: Any, value: Any, here: _Place) -> Any:
    if key not in SECTIONS:
        return value
    if isinstance(value, str):
        return {value: None}
    if value is not None and not isinstance(value, Mapping):
        kind = "a list" if isinstance(value, list) else f"`{value}`"
        mend = "write each as a key: `NAME:`" if key != "vars" else "write `NAME: VALUE` below it"
        raise UserError(f"`{key}` of the group `{name}` is a mapping, not {kind}", where=str(here), mend=mend)
    return value


def _hosts(draft: Draft, group: str, pattern: Any, given: Any, here: _Place) -> None:
    if not isinstance(pattern, str):
        raise UserError(
            f"the host's name `{str(pattern)[:80]}` is not text", where=str(here), mend="write it in quotes"
        )
    if given and not isinstance(given, Mapping):
        raise UserError(f"the vars of `{pattern[:80]}` are a mapping, not `{str(given)[:60]}`", where=str(here),
                        mend=f"write `{pattern[:80]}:` alone, and `NAME: VALUE` below it")  # fmt: skip
    try:
        names, port = addresses.expand(pattern)
    except addresses.Unfit as error:
        raise UserError(str(error), where=str(here), mend="ranges are [1:9], [01:64:2] or [a:f]") from None
    if not names:
        draft.warnings.append(f"{here}: `{pattern[:80]}` stands for no host: its range ends before it begins")
    places = getattr(given, "places", _NO_PLACES)
    for name in names:
        draft.add_host(name, group, port)
        if given:
            draft.set_host(name, given, here.file, places)


def _passed_over(draft: Draft, name: str, key: Any, value: Any, here: _Place) -> None:
    near = nearest(str(key), SECTIONS)
    mend = f"did you mean {near}?" if near else "a group has hosts, vars and children"
    kind = "" if isinstance(value, Mapping) else ", and is no mapping"
    draft.warnings.append(f"{here}: `{key}` in the group `{name}` is passed over{kind}: {mend}")
