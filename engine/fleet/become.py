"""`become`: how a command is run as another user of a host, by sudo."""

from __future__ import annotations

import re

from runbook.engine.errors import UserError
from runbook.modules.frozen import frozen

ROOT = "root"
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*[$]?|#[0-9]+")
# an interpreter that was named must lie where neither its file nor a directory above it is another user's to change
SAFE = (
    'w=$PATH; PATH=/usr/bin:/bin; d=$(readlink -f "$q"); while :; do '
    'if test -z "$(find "$d" -prune "(" -user 0 -o -user "$(id -u)" ")" "(" -perm -1000 -o -not -perm -002 ")")"; then '
    'echo "runbook: $q is not run as $(id -un): others can change $d" >&2; exit 126; fi; '
    'test "$d" = / && break; d=$(dirname "$d"); done; PATH=$w;'
)


@frozen
class Become:
    """As whom an agent runs."""

    user: str = ROOT
    password: str | None = None  # of the login user, as sudo asks for it; None: it must not ask

    def __repr__(self) -> str:
        """Say who, and never the password."""
        return f"Become({self.user!r})"


def argv(become: Become) -> list[str]:
    """Return what stands before a command; a password is read from standard input, never from an argument.

    Raises:
        UserError: there can't be such a user.
    """
    if not _USER.fullmatch(become.user):
        raise UserError(f"become_user: {become.user!r} is no name of a user", mend="give a name, or #UID")
    asked = ["-n"] if become.password is None else ["-S", "-p", ""]
    return ["env", "LC_MESSAGES=C", "sudo", "-H", *asked, "-u", become.user, "--"]


def before(become: Become) -> bytes:
    """Return what sudo reads from standard input before the command does.

    Raises:
        UserError: the password can't be given in one line.
    """
    if become.password is None:
        return b""
    if "\n" in become.password or "\0" in become.password:
        raise UserError("the become password has a line break or a NUL in it", mend="give the password alone")
    return become.password.encode() + b"\n"
