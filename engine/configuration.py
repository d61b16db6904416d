"""The configuration file: defaults for options, the channels by which people are told, who may send alerts.

`runbook.toml` in the working directory goes before `~/.config/runbook/config.toml`, name by name, so that both may
have channels; `$RUNBOOK_CONFIG` names a file in the place of both.
"""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.errors import UserError
from runbook.modules.frozen import field, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME: Final = "runbook.toml"
_TABLES: Final = ("defaults", "notify", "alerts")
_CHANNELS: Final = "channels"


@frozen
class Configuration:
    """What the files say, put together."""

    defaults: Mapping[str, Any] = field(default_factory=dict)
    notify: Mapping[str, Any] = field(default_factory=dict)
    alerts: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[str, ...] = ()  # those that were read, the one that goes before first


def read(environment: Mapping[str, str] | None = None) -> Configuration:
    """Read what there is.

    Raises:
        UserError: a file is no TOML, holds what means nothing, or the one that `$RUNBOOK_CONFIG` names is not there.
    """
    found = [(path, table) for path in _places(os.environ if environment is None else environment)
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
    files = tuple(path for path, _ in found)
    return Configuration(merged["defaults"], merged["notify"], merged["alerts"], files)


def user_file(environment: Mapping[str, str]) -> str:
    """Return where a user's own file is."""
    home = environment.get("XDG_CONFIG_HOME") or f"{environment.get('HOME') or os.path.expanduser('~')}/.config"
    return f"{home}/runbook/config.toml"


def _places(environment: Mapping[str, str]) -> list[str]:
    named = environment.get("RUNBOOK_CONFIG")
    if not named:
        return [NAME, user_file(environment)]
    if not os.path.exists(named):
        raise UserError("the configuration is not there", where=f"$RUNBOOK_CONFIG: {named}")
    return [named]


def _table(path: str) -> dict[str, dict[str, Any]] | None:
    """Return a file's tables; None where there is none, or somebody else could have written it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe is not waited for
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    except OSError as error:
        _unread(path, (error.strerror or str(error)).lower())
        return None
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            if not stat.S_ISCHR(about.st_mode):  # whoever wants none names /dev/null
                _unread(path, "it is no file")
            os.close(descriptor)
            return None
        distrust = _distrust(path, about)
        with open(descriptor, "rb") as file:
            if distrust:
                _unread(path, distrust)
                return None
            import tomllib

            table = tomllib.load(file)
    except ValueError as error:
        raise UserError(f"this is no TOML: {error}", where=path) from error
    return _checked(path, table)


def _distrust(path: str, about: os.stat_result) -> str:
    """Say why a file is not believed: who writes in it may have commands run; empty when nobody else does."""
    me = os.geteuid()
    if about.st_uid not in {0, me}:
        return f"it belongs to uid {about.st_uid}; when it is yours: chown {me} {path}"
    if about.st_mode & stat.S_IWOTH:
        return f"all may write; mend it: chmod go-w {path}"
    if about.st_mode & stat.S_IWGRP:
        from runbook.engine.language.own.trust import written_by_others

        if written_by_others(about):
            return f"group {about.st_gid} may write; mend it: chmod go-w {path}"
    return ""


def _unread(path: str, why: str) -> None:
    sys.stderr.write(f"warning: {path} is not read: {why}\n")


def _checked(path: str, table: dict[str, Any]) -> dict[str, dict[str, Any]]:
    from runbook.engine.language.nearest import nearest

    for name, values in table.items():
        if name not in _TABLES:
            near = nearest(name, _TABLES)
            mend = f"did you mean [{near}]?" if near else f"there are {', '.join(f'[{each}]' for each in _TABLES)}"
            raise UserError(f"`{name}` means nothing here", where=path, mend=mend)
        if not isinstance(values, dict):
            raise UserError(f"`{name}` is a table", where=path, mend=f"write [{name}] and its keys below")
    return table
