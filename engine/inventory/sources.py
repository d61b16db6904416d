"""From what stands behind `-i` to its files, in Ansible's order: lists of hosts, files, programs, directories."""

from __future__ import annotations

import os
import re
import tomllib
from typing import TYPE_CHECKING, Any, Final, Protocol

from runbook.engine.errors import UserError
from runbook.engine.inventory import addresses, dynamic, ini_file, program, yaml_file

if TYPE_CHECKING:
    from runbook.engine.inventory.draft import Draft
    from runbook.engine.inventory.files import Files


class Parser(Protocol):
    """Reads the data of a YAML text."""

    def parsed(self, text: str, path: str, *, opened: bool) -> Any:
        """Return the data."""


MAX_DEPTH: Final = 40
PATIENCE: Final = 60.0  # seconds for an inventory program
YAML_ENDINGS: Final = (".yaml", ".yml", ".json")
_IGNORED = re.compile(r"^\.|^(?:host_vars|group_vars|vars_plugins)$|"
                      r"(?:\.(?:pyc|pyo|swp|bak|rpm|md|txt|rst|orig|cfg|retry)|~)$")  # fmt: skip
_LOOKS_YAML = re.compile(r"(?:\s|#[^\n]*\n|---[^\n]*\n)*(?:[\w.-]+|\"[^\"\n]+\"):(?:\s|\Z)")
_NOTHING = re.compile(
    r"(?:\s|#[^\n]*(?:\n|\Z)|;[^\n]*(?:\n|\Z)|---[ \t]*(?:#[^\n]*)?(?:\n|\Z)|\.\.\.[ \t]*(?:\n|\Z))*\Z"
)


def patience() -> float:
    """Return how many seconds an inventory program may take.

    Raises:
        UserError: `$RUNBOOK_INVENTORY_TIMEOUT` is no number.
    """
    given = os.environ.get("RUNBOOK_INVENTORY_TIMEOUT", "")
    try:
        return float(given) if given else PATIENCE
    except ValueError:
        raise UserError(f"`{given[:40]}` is no number of seconds", where="$RUNBOOK_INVENTORY_TIMEOUT") from None


def path_of(source: str) -> str:
    """Return what a source means: `~` and `$VARIABLES` are filled in; a list of hosts stays as it is."""
    return source if is_list(source) else os.path.expanduser(os.path.expandvars(source))  # noqa: PTH111


def is_list(source: str) -> bool:
    """Tell whether a source is a list of hosts, such as `web1,web2` or `web1,`."""
    return "," in source and not os.path.exists(source)  # noqa: PTH110


def fill(draft: Draft, source: str, files: Files, seconds: float) -> None:
    """Add what one `-i` names.

    Raises:
        UserError: it is not there, or no inventory.
    """
    if is_list(source):
        draft.source = source
        _names(draft, source)
    elif os.path.isdir(source):  # noqa: PTH112
        _directory(draft, source, files, seconds, ())
    else:
        _file(draft, source, files, seconds)


def _directory(draft: Draft, path: str, files: Files, seconds: float, above: tuple[tuple[int, int], ...]) -> None:
    try:
        about = os.stat(path)  # noqa: PTH116
        names = sorted(os.listdir(path))  # noqa: PTH208
    except OSError as error:
        raise UserError(f"this can't be listed: {(error.strerror or '').lower()}", where=path) from None
    here = about.st_dev, about.st_ino
    if here in above:
        raise UserError("this directory contains itself, by a link", where=path, mend="delete the link")
    if len(above) >= MAX_DEPTH:
        raise UserError(
            f"directories of inventories are nested deeper than {MAX_DEPTH}", where=path, mend="flatten them"
        )
    for name in names:
        if _IGNORED.search(name):
            continue
        each = os.path.join(path, name)  # noqa: PTH118
        if os.path.isdir(each):  # noqa: PTH112
            _directory(draft, each, files, seconds, (*above, here))
        else:
            _file(draft, each, files, seconds)


def _file(draft: Draft, path: str, files: Files, seconds: float) -> None:
    draft.source = path
    if os.path.isfile(path) and os.access(path, os.X_OK):  # noqa: PTH113
        try:
            dynamic.fill(draft, os.path.abspath(path), seconds)  # noqa: PTH100
        except program.NoProgram as error:
            with open(path, "rb") as file:  # noqa: PTH123
                if file.read(2) == b"#!":
                    raise UserError(error.what, where=path, mend=error.mend) from None
        else:
            return
    text, opened = files.text(path)
    parsed(draft, files, text, path, os.path.splitext(path)[1], opened=opened)  # noqa: PTH122


def parsed(draft: Draft, files: Parser, text: str, path: str, ending: str, *, opened: bool) -> None:
    """Add what the text of an inventory says, by the ending of its name.

    Raises:
        UserError: it is no inventory; says the line.
    """
    if ending == ".toml":
        _toml(draft, text, path)
    elif _NOTHING.match(text):
        draft.warnings.append(f"{path}: there is nothing in this inventory")
    elif ending in YAML_ENDINGS or (not ending and is_yaml(text)):
        yaml_file.fill(draft, files.parsed(text, path, opened=opened), path)
    else:
        ini_file.fill(draft, text, path, opened=opened)


def is_yaml(text: str) -> bool:
    """Tell a YAML inventory from an INI one where the name does not: its first line is a key alone, or a brace."""
    return _LOOKS_YAML.match(text) is not None or text.lstrip().startswith("{")


def _names(draft: Draft, source: str) -> None:
    for each in source.split(","):
        if not (name := each.strip()):
            continue
        try:
            host, port = addresses.parse(name)
            if "[" in host:
                host, port = name, None
        except addresses.Unfit:
            host, port = name, None
        if host not in draft.hosts:
            draft.add_host(host, "ungrouped", port)


def _toml(draft: Draft, text: str, path: str) -> None:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"this is no TOML: {error}", where=path) from None
    for group in data.values():
        if isinstance(group, dict) and isinstance(group.get("children"), list):
            group["children"] = dict.fromkeys(group["children"])
    yaml_file.fill(draft, data, path)
