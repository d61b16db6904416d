"""Options as `ssh` takes them on its command line, in `ansible_ssh_common_args`."""

from __future__ import annotations

import shlex
from dataclasses import field
from functools import lru_cache
from typing import Final

from runbook.engine.errors import UserError
from runbook.engine.fleet.ssh import config
from runbook.engine.fleet.ssh.config import Setting
from runbook.modules.frozen import frozen

_WORDS: Final = {"p": "Port", "l": "User", "i": "IdentityFile", "J": "ProxyJump", "b": "BindAddress", "c": "Ciphers"}
_FLAGS: Final = {"4": ("AddressFamily", "inet"), "6": ("AddressFamily", "inet6")}
_NOTHING: Final = frozenset("aACGgKkMNnqstTtVvXxYy")  # flags that mean nothing to a connection like ours
_LEFT: Final = frozenset("eEmS")  # options with a value that mean nothing to it


@frozen
class Arguments:
    """What they say."""

    settings: tuple[Setting, ...] = ()
    files: tuple[tuple[str, str], ...] | None = field(default=None)  # in place of the usual files; empty: none at all


def parse(text: str, where: str) -> Arguments:
    """Read options such as `-o ProxyJump=gate -F ssh_config`.

    Args:
        text: as a shell would have it.
        where: whose they are, for messages.

    Raises:
        UserError: one is not known, or does something else than connect.
    """
    try:
        words = list(_split(text))
    except ValueError as error:
        raise UserError(f"ssh_common_args: {error}: {text}", where=where) from error
    settings: list[Setting] = []
    files: tuple[tuple[str, str], ...] | None = None
    while words:
        word = words.pop(0)
        if not word.startswith("-") or word in {"-", "--"}:
            raise UserError(f"ssh_common_args: `{word}` is no option", where=where)
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter in _NOTHING:
                continue
            if letter in _FLAGS:
                settings.append(Setting(_FLAGS[letter][0].lower(), (_FLAGS[letter][1],), where))
                continue
            if letter not in _WORDS and letter not in _LEFT and letter not in {"o", "F"}:
                raise UserError(
                    f"ssh_common_args: -{letter} is not understood",
                    where=where,
                    mend="say it as -o Word=value, or leave it out",
                )
            if not letters and not words:
                raise UserError(f"ssh_common_args: -{letter} wants a value", where=where)
            value, letters = letters or words.pop(0), ""
            if letter == "o":
                settings.append(config.setting(value, where))
            elif letter == "F":
                files = () if value.lower() == "none" else ((value, "~/.ssh"),)
            elif letter in _WORDS:
                settings.append(Setting(_WORDS[letter].lower(), (value,), where))
    return Arguments(tuple(settings), files)


@lru_cache(maxsize=64)  # mostly they are a group's, and to split them takes a third of what it takes to connect
def _split(text: str) -> tuple[str, ...]:
    return tuple(shlex.split(text))
