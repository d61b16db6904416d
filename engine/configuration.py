"""The configuration file: defaults for options, and the channels by which people are told.

`runbook.toml` in the working directory goes before `~/.config/runbook/config.toml`, name by name, so that both may
have channels; `$RUNBOOK_CONFIG` names a file in the place of both.
"""

from __future__ import annotations

import os
import stat
import sys
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.errors import UserError
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME: Final = "runbook.toml"
_TABLES: Final = ("defaults", "notify")
_CHANNELS: Final = "channels"


@frozen
class Configuration:
    """What the files say, put together."""

    defaults: Mapping[str, Any] = field(default_factory=dict)
    notify: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[str, ...] = ()  # those that were read, the one that goes before first


def read(environment: Mapping[str, str] | None = None) -> Configuration:
    """Read what there is.

    Raises:
        UserError: a file is no TOML, holds what means nothing, or the one that `$RUNBOOK_CONFIG` names is not there.
    """
    found = [(str(path), table) for path in _places(os.environ if environment is None else environment)
             if (table := _table(path)) is not None]  # fmt: skip
    merged: dict[str, dict[str, Any]] = {name: {} for name in _TABLES}
    for _, table in reversed(found):
        for name, values in table.items():
            for key, value in values.items():
                under = merged[name].get(key)
                if isinstance(value, dict) and isinstance(under, dict):
                    merged[name][key] = {**under, **value}
                else:
                    merged[name][key] = value
    return Configuration(merged["defaults"], merged["notify"], tuple(path for path, _ in found))


def user_file(environment: Mapping[str, str]) -> Path:
    """Return where a user's own file is."""
    home = environment.get("XDG_CONFIG_HOME") or f"{environment.get('HOME') or Path('~').expanduser()}/.config"
    return Path(home) / "runbook" / "config.toml"


def _places(environment: Mapping[str, str]) -> list[Path]:
    named = environment.get("RUNBOOK_CONFIG")
    if not named:
        return [Path(NAME), user_file(environment)]
    if not Path(named).exists():
        raise UserError("the configuration is not there", where=f"$RUNBOOK_CONFIG: {named}")
    return [Path(named)]


def _table(path: Path) -> dict[str, dict[str, Any]] | None:
    """Return a file's tables; None where there is none, or somebody else could have written it."""
    try:
        with path.open("rb") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):
                return None
            if about.st_uid not in {0, os.geteuid()} or about.st_mode & stat.S_IWOTH:
                whose = (
                    f"it belongs to uid {about.st_uid}" if about.st_uid not in {0, os.geteuid()} else "all may write"
                )
                sys.stderr.write(f"warning: {path} is not read: {whose}\n")
                return None
            import tomllib

            table = tomllib.load(file)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    except ValueError as error:
        raise UserError(f"this is no TOML: {error}", where=str(path)) from error
    return _checked(path, table)


def _checked(path: Path, table: dict[str, Any]) -> dict[str, dict[str, Any]]:
    from runbook.engine.language.nearest import nearest

    for name, values in table.items():
        if name not in _TABLES:
            near = nearest(name, _TABLES)
            mend = f"did you mean [{near}]?" if near else f"there are {', '.join(f'[{each}]' for each in _TABLES)}"
            raise UserError(f"`{name}` means nothing here", where=str(path), mend=mend)
        if not isinstance(values, dict):
            raise UserError(f"`{name}` is a table", where=str(path), mend=f"write [{name}] and its keys below")
    return table
