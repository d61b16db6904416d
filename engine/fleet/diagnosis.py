"""Why no agent came to be on a host: by what was printed instead of one, in words that say how to mend it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHOWN = 200  # characters of what was printed


class _Cause(NamedTuple):
    pattern: re.Pattern[str]
    what: str  # {0}, {1}: the pattern's groups
    mend: str


def _cause(pattern: str, what: str, mend: str) -> _Cause:
    return _Cause(re.compile(pattern, re.IGNORECASE), what, mend)


_NAME_PYTHON = "install Python 3.9 or newer, or name one with `ansible_python_interpreter` in the inventory"
_CAUSES = (
    _cause(
        r"runbook: (\S+): no Python 3\.9 or newer; found: (.*)",
        "{0}, which `ansible_python_interpreter` names, is no Python 3.9 or newer; found: {1}",
        "name another in `ansible_python_interpreter`, or `auto`",
    ),
    _cause(
        r"runbook: (?:(\S+): )?no Python 3\.9 or newer; found: (.*)",
        "no Python 3.9 or newer; found: {1}",
        _NAME_PYTHON,
    ),
    _cause(
        r"runbook: (\S+) is not run as (\S+): others can change (.*)",
        "{0} is not run as {1}: others, such as the login user, can change {2}",
        "name a Python that only root can change with `ansible_python_interpreter`",
    ),
    _cause(
        r"sudo: a password is required|sudo: a terminal is required to read the password|no password was provided",
        "sudo asks for a password",
        "give it with -K (--ask-become-pass), or let sudoers say NOPASSWD for this user",
    ),
    _cause(
        r"sorry, try again|incorrect password attempt",
        "sudo does not take the become password",
        "give the login user's own password; it was sent once",
    ),
    _cause(
        r"is not in the sudoers file|(?:user \S+ is|are) not allowed to (?:execute|run)|may not run sudo",
        "sudoers does not allow it: {line}",
        "allow this user to run /bin/sh as that user in sudoers, or log in as another user",
    ),
    _cause(
        r"you must have a tty to run sudo|a tty is required",
        "sudo wants a terminal (`requiretty` in sudoers), and an agent has none",
        "put `Defaults:USER !requiretty` in sudoers for the login user",
    ),
    _cause(r"sudo: unknown user:? (\S+)", "there is no user {0} to become", "see to `become_user:`"),
    _cause(
        r"sudo: (?:command )?not found|not found.*\bsudo\b|\bsudo\b.*(?:not found|No such file)|unknown command.*sudo",
        "there is no sudo",
        "install sudo, or log in as that user itself",
    ),
    _cause(
        r"sudo: .*(?:effective uid is not 0|setuid bit set|no new privileges).*",
        "sudo can't become anybody: {line}",
        "a container or a mount with `nosuid` or `no_new_privs` keeps it from that; log in as that user itself",
    ),
    _cause(r"^sudo: .*", "{line}", "try `sudo -n true` as the login user on the host"),
    _cause(
        r"account is currently not available|This account is .*disabled|nologin",
        "the login user's shell runs no commands: {line}",
        "log in as another user (`ansible_user`), or give this one a shell with `usermod -s /bin/sh USER`",
    ),
    _cause(
        r"exec format error|cannot execute binary file",
        "its Python is made for another architecture: {line}",
        _NAME_PYTHON,
    ),
    _cause(r"unknown option: -I", "its interpreter is Python 2", _NAME_PYTHON),
    _cause(r"/bin/sh.*(?:not found|No such file)", "there is no /bin/sh: {line}", "the agent is started by it"),
)
_FORCED = (
    "a forced command (`command=` in authorized_keys, ForceCommand in sshd_config), or a login shell that is none, "
    "answers in the place of ours"
)


def known(lines: Sequence[str]) -> tuple[str, str] | None:
    """Return what is wrong and how to mend it, where one of these lines tells."""
    for cause in _CAUSES:
        for line in lines:
            found = cause.pattern.search(line)
            if found is not None:
                what = cause.what.format(*(part or "" for part in found.groups()), line=line.strip()[:_SHOWN])
                return what, cause.mend
    return None


def of(noise: bytes, words: Sequence[str], how: str | None) -> tuple[str, str]:
    """Return what is wrong and how to mend it, of an agent that never began.

    Args:
        noise: what came on its standard output.
        words: the last lines of its standard error.
        how: how it ended, such as `exit code 127`; None while it runs.
    """
    printed = noise.decode("utf-8", "replace").splitlines()
    cause = known([*words, *printed])
    if cause is not None:
        return cause
    ended = f" and ended with {how}" if how else ""
    said = [line.strip() for line in (*printed, *words) if line.strip()]
    if not said:
        return f"nothing that was started there said a word{ended}", _FORCED
    return f"no agent began; it printed `{said[-1][:_SHOWN]}`{ended}", _FORCED
