"""The token that whoever sends alerts has to show, from where the configuration says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from runbook.engine import keyring
from runbook.engine.errors import UserError
from runbook.engine.language.nearest import nearest

if TYPE_CHECKING:
    from runbook.engine.configuration import Configuration

SHORTEST: Final = 16  # characters of a token; a shorter one can be tried out
_WHERE: Final = "[alerts] token"
_MEND: Final = 'write token = {file = "PATH"}, {env = "NAME"} or {keyring = "SERVICE/USER"} below [alerts]'


def token(configuration: Configuration) -> str | None:
    """Return the token; None where the configuration names none.

    Raises:
        UserError: [alerts] means nothing, or the token can't be read.
    """
    table = dict(configuration.alerts)
    given = table.pop("token", None)
    where = " or ".join(configuration.files)
    for key in table:
        near = nearest(key, ("token",))
        raise UserError(f"[alerts] has no `{key}`", where=where, mend=f"did you mean `{near}`?" if near else _MEND)
    if given is None:
        return None
    kind, name = next(iter(given.items())) if isinstance(given, dict) and len(given) == 1 else ("", None)
    if kind not in {"file", "env", "keyring"} or not isinstance(name, str):
        raise UserError("`token` is not said to be anywhere", where=where, mend=_MEND)  # it may be the secret itself
    found = _read(kind, name)
    if len(found) < SHORTEST or not (found.isascii() and found.isprintable()):
        mend = "make one: openssl rand -hex 32"
        raise UserError(f"the token is no text of {SHORTEST} ASCII characters or more", where=_WHERE, mend=mend)
    return found


def _read(kind: str, name: str) -> str:
    if kind == "env":
        return os.environ.get(name, "").strip()
    if kind == "keyring":
        return keyring.read(name, _WHERE).strip()
    try:
        return Path(name).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise UserError(f"{name} can't be read: {reason.lower()}", where=_WHERE) from error
