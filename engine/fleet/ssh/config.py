"""ssh_config as OpenSSH reads it: Host, Match, Include, tokens; the first value that is found for a word counts."""

from __future__ import annotations

import fnmatch
import getpass
import glob
import os
import pathlib
import re
import shlex
import subprocess
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from runbook.engine.errors import UserError
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

SYSTEM: Final = "/etc/ssh/ssh_config"
_WORD = re.compile(r"\s*([A-Za-z]+)\s*(?:=|\s)\s*(.*)")
_RAW: Final = frozenset({"proxycommand", "localcommand", "remotecommand", "knownhostscommand"})
_MANY: Final = frozenset({"identityfile", "certificatefile"})
_DEEPEST: Final = 16  # files that include one another
_PATIENCE: Final = 10.0  # seconds for `Match exec`
_TOKEN = re.compile(r"%(.)")
_VARIABLE = re.compile(r"\$\{(\w+)\}")


@frozen
class Setting:
    """One line of a file."""

    word: str  # in small letters
    values: tuple[str, ...]
    where: str  # file:line


Found = dict[str, list[Setting]]


def lookup(
    host: str, given: Sequence[Setting] = (), files: Sequence[tuple[str, str]] | None = None
) -> Mapping[str, list[Setting]]:
    """Return what is set for a host, by word in small letters; several settings only for those that add up.

    Args:
        host: as it would be given to `ssh`.
        given: what comes before the files, such as `-o` options.
        files: paths, and the directories that their Includes are relative to; None = the user's and the system's.

    Raises:
        UserError: a file can't be read or understood.
    """
    reader = _Reader(host, given)
    usual = [("~/.ssh/config", "~/.ssh"), (SYSTEM, "/etc/ssh")]
    for path, beside in usual if files is None else files:
        reader.read(os.path.expanduser(path), os.path.expanduser(beside), must=files is not None)  # noqa: PTH111
    if reader.wants_final:
        reader.final = True
        for path, beside in usual if files is None else files:
            reader.read(os.path.expanduser(path), os.path.expanduser(beside), must=files is not None)  # noqa: PTH111
    return reader.found


def expand(text: str, tokens: Mapping[str, str], where: str) -> str:
    """Return a value with its `%` tokens, `${VARIABLES}` and `~/` filled in.

    Raises:
        UserError: a token or variable is not known.
    """

    def token(match: re.Match[str]) -> str:
        if match[1] == "%":
            return "%"
        if match[1] not in tokens:
            raise UserError(f"`%{match[1]}` is not known here", where=where, mend=f"known are %{' %'.join(tokens)} %%")
        return tokens[match[1]]

    def variable(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise UserError(f"the environment has no {match[1]}", where=where)
        return os.environ[match[1]]

    found = _VARIABLE.sub(variable, _TOKEN.sub(token, text))
    return os.path.expanduser(found) if found.startswith("~") else found  # noqa: PTH111


def hosts(patterns: str, name: str) -> bool:
    """Tell whether a list of patterns (`*.lan,!db*`) names a host; capitals don't count."""
    return _named(patterns.lower().split(","), name.lower())


def matches(pattern: str, name: str) -> bool:
    """Tell whether one pattern of `*` and `?` fits."""
    return fnmatch.fnmatchcase(name, pattern.replace("[", "[[]"))


def _named(patterns: Sequence[str], name: str) -> bool:
    """Tell whether patterns fit, as `Host` has them; what is barred is barred wherever it stands."""
    found = False
    for pattern in patterns:
        barred = pattern.startswith("!")
        if matches(pattern[barred:], name):
            if barred:
                return False
            found = True
    return found


class _Reader:
    """Goes through files for one host."""

    def __init__(self, host: str, given: Sequence[Setting]) -> None:
        self.host = host
        self.found: Found = {}
        self.final = self.wants_final = False
        for setting in given:
            self._take(setting)

    def read(self, path: str, beside: str, *, must: bool, within: bool = True, deep: int = 0) -> None:
        """Take what a file says; one that is included where nothing matches (not `within`) says nothing at all."""
        active = within
        if deep > _DEEPEST:
            raise UserError("more than 16 files include one another", where=path)
        for setting in _parsed(path, must):
            if setting.word == "host":
                active = within and _named(setting.values, self.host)
            elif setting.word == "match":
                active = within and self._matched(setting)
            elif setting.word == "include":
                for each in setting.values:
                    for file in _included(each, beside):
                        self.read(file, beside, must=False, within=active, deep=deep + 1)
            elif active:
                self._take(setting)

    def _take(self, setting: Setting) -> None:
        if setting.word not in self.found:
            self.found[setting.word] = [setting]
        elif setting.word in _MANY and all(setting.values != other.values for other in self.found[setting.word]):
            self.found[setting.word].append(setting)

    def _first(self, word: str, otherwise: str) -> str:
        return self.found[word][0].values[0] if word in self.found and self.found[word][0].values else otherwise

    def _tokens(self) -> dict[str, str]:
        return tokens(
            self.host,
            self._first("hostname", self.host).replace("%h", self.host),
            self._first("port", "22"),
            self._first("user", getpass.getuser()),
        )

    def _matched(self, setting: Setting) -> bool:
        words = list(setting.values)
        holds = True
        while words:
            kind = words.pop(0).lower()
            negated, kind = kind.startswith("!"), kind.lstrip("!")
            kind, _, value = kind.partition("=")
            if kind in {"all", "canonical", "final"}:
                self.wants_final |= kind == "final"
                answer = kind == "all" or (kind == "final" and self.final)
            else:
                if not value:
                    if not words:
                        raise UserError(f"`Match {kind}` names nothing", where=setting.where)
                    value = words.pop(0)
                answer = self._holds(kind, value, setting.where) if holds else False
            holds = holds and answer is not negated
        return holds

    def _holds(self, kind: str, value: str, where: str) -> bool:
        if kind == "host":
            return hosts(value, self._first("hostname", self.host).replace("%h", self.host))
        if kind == "originalhost":
            return hosts(value, self.host)
        if kind == "user":
            return _named(value.split(","), self._first("user", getpass.getuser()))
        if kind == "localuser":
            return _named(value.split(","), getpass.getuser())
        if kind == "exec":
            return _succeeds(expand(value, self._tokens(), where), where)
        raise UserError(
            f"`Match {kind}` is not understood",
            where=where,
            mend="known are all, final, host, originalhost, user, localuser and exec",
        )


def tokens(alias: str, address: str, port: str, user: str) -> dict[str, str]:
    """Return what the `%` tokens stand for."""
    import socket

    here = socket.gethostname()
    return {
        "h": address,
        "n": alias,
        "k": alias,
        "p": port,
        "r": user,
        "u": getpass.getuser(),
        "i": str(os.getuid()),
        "d": str(pathlib.Path.home()),
        "L": here.partition(".")[0],
        "l": here,
    }


def _succeeds(command: str, where: str) -> bool:
    try:
        done = subprocess.run(  # noqa: S603 -- the user's own configuration
            ["/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(f"`Match exec` did not end within {_PATIENCE:g} s: {command}", where=where) from error
    return done.returncode == 0


def _included(path: str, beside: str) -> Iterator[str]:
    full = os.path.expanduser(_VARIABLE.sub(lambda found: os.environ.get(found[1], ""), path))  # noqa: PTH111
    yield from sorted(glob.glob(os.path.join(beside, full)))  # noqa: PTH118, PTH207 -- a text, of which it makes a text


def _parsed(path: str, must: bool) -> Sequence[Setting]:
    try:
        seen = os.stat(path)  # noqa: PTH116
    except FileNotFoundError:
        if must:
            raise UserError("no such ssh_config", where=path, mend="mend the path behind -F") from None
        return ()
    except OSError as error:
        raise UserError(f"the ssh_config can't be read: {error.strerror}", where=path) from error
    return _settings(path, (seen.st_mtime_ns, seen.st_size, seen.st_ino))


@lru_cache(maxsize=64)
def _settings(path: str, _version: tuple[int, int, int]) -> Sequence[Setting]:
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise UserError(f"the ssh_config can't be read: {error.strerror}", where=path) from error
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            found.append(setting(line, f"{path}:{number}"))
    return found


def setting(line: str, where: str) -> Setting:
    """Read a line such as `Port 22` or `Port=22`.

    Raises:
        UserError: it is none.
    """
    match = _WORD.fullmatch(line.strip())
    if match is None:
        raise UserError(f"a word and a value are wanted: `{line.strip()}`", where=where)
    word, rest = match[1].lower(), match[2].strip()
    if word in _RAW:
        return Setting(word, (rest,), where)
    lexer = shlex.shlex(rest, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.commenters = "#"
    lexer.escape = ""
    try:
        return Setting(word, tuple(lexer), where)
    except ValueError as error:
        raise UserError(f"a quote is not closed: `{line.strip()}`", where=where) from error
