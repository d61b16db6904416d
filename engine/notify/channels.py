"""Channels as the configuration names them: the addresses behind a name, and how often each may be used.

An address is what apprise takes (`mailto://…`, `slack://…`, `json://…`); it holds passwords, and is shown to nobody.
"""

from __future__ import annotations

import os
import re
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from runbook.engine.errors import UserError
from runbook.engine.language import units
from runbook.engine.language.nearest import nearest
from runbook.engine.model import Limit
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runbook.engine.configuration import Configuration

MISSING: Final = "apprise is not installed: pip install 'runbook[notify]'"
_KEYS: Final = ("channels", "default", "limit", "repeat", "timeout", "cured")
_LIMIT: Final = re.compile(r"(\d{1,6}) per (\S+)")
_FROM: Final = ("url", "env", "file")
_SERVER: Final = re.compile(r"localhost|[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
_SHORTEST: Final = 4  # characters of a part of an address that is hidden


@frozen
class Channels:
    """All channels, and the rules for them. Times in seconds."""

    by_name: Mapping[str, Any] = field(
        default_factory=dict
    )  # as the configuration has them: addresses may be elsewhere
    default: tuple[str, ...] = ()  # for a step that names none
    limit: Limit = field(default_factory=lambda: Limit(20, 3600.0))  # messages of one channel
    repeat: float = 4 * 3600.0  # before the same step tells of the same fault again
    timeout: float = 15.0  # for one message
    cured: bool = True  # tell those who were told of a fault when it is over
    file: str = ""  # where they stand, for messages

    def unknown(self, names: Iterable[str]) -> tuple[str, str] | None:
        """Return the first name that is no channel, and how to mend it."""
        for name in names:
            if name not in self.by_name:
                near = nearest(name, self.by_name)
                known = f"there are {', '.join(sorted(self.by_name))}" if self.by_name else _none(self.file)
                return name, f"did you mean `{near}`?" if near else known
        return None

    def addresses(self, name: str) -> list[str]:
        """Return the addresses behind a name.

        Raises:
            UserError: they are not where the configuration says.
        """
        given = self.by_name[name]
        return [found for each in (given if isinstance(given, list) else [given]) for found in _addresses(name, each)]


def channels(configuration: Configuration) -> Channels:
    """Return the channels of a configuration.

    Raises:
        UserError: something in [notify] means nothing.
    """
    table, where = configuration.notify, " or ".join(configuration.files)
    for key in table:
        if key not in _KEYS:
            near = nearest(key, _KEYS)
            mend = f"did you mean `{near}`?" if near else f"there are {', '.join(_KEYS)}"
            raise UserError(f"[notify] has no `{key}`", where=where, mend=mend)
    named = table.get("channels", {})
    if not isinstance(named, dict):
        raise UserError("`channels` is a table", where=where, mend='write [notify.channels] and NAME = "ADDRESS" below')
    for name, given in named.items():
        _check(name, given, where)
    usual = table.get("default", list(named))
    made = Channels(
        named,
        default=tuple(map(str, usual if isinstance(usual, list) else [usual])),
        limit=_limit(table.get("limit", "20 per 1h"), where),
        repeat=_seconds(table.get("repeat", "4h"), "repeat", where),
        timeout=_seconds(table.get("timeout", "15s"), "timeout", where),
        cured=table.get("cured", True) is not False,
        file=where,
    )
    wrong = made.unknown(made.default)
    if wrong is not None:
        raise UserError(f"[notify] `default` names `{wrong[0]}`, which is no channel", where=where, mend=wrong[1])
    return made


def hidden(text: str, addresses: Iterable[str]) -> str:
    """Return a text without what could be secret in addresses: all of them, but how they begin and a server's name."""
    parts: set[str] = set()
    for address in addresses:
        scheme, _, rest = address.partition("://")
        name = re.split(r"[/?:]", rest.rpartition("@")[2], maxsplit=1)[0]
        shown = {scheme, name if _SERVER.fullmatch(name) else ""}  # many services have a key in its place
        pieces = {rest, *re.split(r"[/?&=:@,]+", rest)}
        parts |= {made for piece in pieces - shown for made in (piece, unquote(piece)) if len(made) >= _SHORTEST}
    for part in sorted(parts, key=len, reverse=True):
        text = text.replace(part, "***")
    return text


def _addresses(name: str, given: Any) -> list[str]:
    if isinstance(given, str):
        return [given]
    if "url" in given:
        return [given["url"]]
    if "env" in given:
        found = os.environ.get(given["env"], "")
        if not found:
            raise UserError(f"the environment has no {given['env']}", where=f"the channel {name}")
        return found.split()
    try:
        found = Path(given["file"]).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise UserError(f"{given['file']} can't be read: {reason.lower()}", where=f"the channel {name}") from error
    return [line.strip() for line in found.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def _check(name: str, given: Any, where: str) -> None:
    for each in given if isinstance(given, list) and given else [given]:
        if isinstance(each, str) and "://" in each:
            continue
        pair = next(iter(each.items())) if isinstance(each, dict) and len(each) == 1 else ("", None)
        if pair[0] in _FROM and isinstance(pair[1], str):
            continue
        mend = 'write it as "mailto://…", or as {env = "NAME"} or {file = "PATH"}'
        raise UserError(f"the channel `{name}` has no address", where=where, mend=mend)  # what it has may be a secret


def _limit(given: Any, where: str) -> Limit:
    found = _LIMIT.fullmatch(given) if isinstance(given, str) else None
    try:
        if found is not None and int(found[1]) >= 1:
            return Limit(int(found[1]), units.duration(found[2]))
    except ValueError:
        pass  # said below
    raise UserError(f"[notify] `limit` is no limit: {given}", where=where, mend='write it as "20 per 1h"')


def _seconds(given: Any, key: str, where: str) -> float:
    try:
        return units.duration(given)
    except (ValueError, AttributeError) as error:
        raise UserError(f"[notify] `{key}` is no duration: {given}", where=where, mend='write it as "30s"') from error


def _none(file: str) -> str:
    return f"name it in [notify.channels] of {file or 'runbook.toml or ~/.config/runbook/config.toml'}"
