"""What would not work, or not be safe, once nobody is at the terminal any more: each with its mend."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.errors import UserError
from runbook.engine.install import needs
from runbook.engine.install.ground import files
from runbook.engine.language import params
from runbook.engine.language.own.trust import written_by_others
from runbook.modules.declare import Kind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from runbook.engine.model import Runbook

_VARIABLE: Final = re.compile(r"^\s*([A-Za-z_][A-Za-z0-9_]*)=\S", re.MULTILINE)


def secrets(runbook: Runbook, given: Collection[str], known: Collection[str], *, cron: bool) -> Iterator[UserError]:
    """Yield the secrets that a service could not read.

    Args:
        runbook: the runbook.
        given: the names that `-e @FILE` gives.
        known: the variables that the service has in its environment.
        cron: it is a line of a crontab.
    """
    for name, secret in runbook.secrets.items():
        if name in given:
            continue
        where = f"{runbook.file}: secrets.{name}"
        keep = f"write it into a file that only you can read: `secrets: {{{name}: {{file: /etc/runbook/{name}}}}}`"
        if secret.env is not None and secret.env not in known:
            other = "" if cron else f"; or into an EnvironmentFile: --env-file FILE with the line {secret.env}=…"
            yield UserError(f"a service has no {secret.env} in its environment", where=where, mend=keep + other)
        elif secret.keyring is not None:
            yield UserError("a service has no keyring: nobody unlocks it", where=where, mend=keep)
        elif secret.file is not None and not os.path.isabs(os.path.expanduser(secret.file)):  # noqa: PTH117, PTH111
            full = os.path.abspath(secret.file)  # noqa: PTH100
            yield UserError(
                f"{secret.file} is relative, and a service begins elsewhere", where=where, mend=f"write {full}"
            )


def relative(runbook: Runbook) -> Iterator[UserError]:
    """Yield the programs that are found in this directory alone; lint sees to all other paths."""
    for name, key, program, given in _programs(runbook):
        if "/" in program and not program.startswith("/") and not given.get("cwd"):
            what = f"`{name}: {{{key}: {program}}}` is relative, and a service begins elsewhere"
            mend = f'write the whole path, or "{{{{ runbook.dir }}}}/{program.removeprefix("./")}"'
            yield UserError(what, where=runbook.file, mend=mend)


def lacking(runbook: Runbook, path: str) -> Iterator[str]:
    """Yield, in a sentence each, the programs that a service of this machine would look for in vain.

    Args:
        runbook: the runbook.
        path: the service's PATH.
    """
    for name, key, program, _ in _programs(runbook):
        if program and "/" not in program and "{" not in program and shutil.which(program, path=path) is None:
            yield f"`{name}: {{{key}: {program}}}` would find no {program} in the service's PATH ({path})"


def _programs(runbook: Runbook) -> Iterator[tuple[str, str, str, Mapping[str, Any]]]:
    """Yield the programs that a runbook names: of which module, by which parameter, and beside what."""
    for name, cls, given in needs.calls(runbook):
        known = params.fields(cls)
        for key, value in given.items():
            words = value if isinstance(value, list | tuple) else [value]
            first = next(iter(words), None)
            if key in known and known[key].kind is Kind.ARGV and isinstance(first, str):
                yield name, key, first.split(maxsplit=1)[0] if first.split() else "", given


def untrusted(paths: Iterable[str]) -> Iterator[UserError]:
    """Yield what a service of root would run, or obey, and somebody else can change."""
    for path in paths:
        wrong = next(_others(os.path.realpath(path)), None)
        if wrong is not None:
            what, mend = wrong
            yield UserError(f"root would do for ever what is here, and {what}", where=path, mend=mend)


def variables(file: str) -> frozenset[str]:
    """Return the names that an EnvironmentFile sets.

    Raises:
        UserError: it can't be read.
    """
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"can't be read: {error}", where=f"--env-file {file}") from error
    return frozenset(_VARIABLE.findall(text))


def sources(runbooks: Iterable[Runbook]) -> list[str]:
    """Return the files of runbooks."""
    return list(dict.fromkeys(file for runbook in runbooks for file in files(runbook)))


def _others(path: str) -> Iterator[tuple[str, str]]:
    """Yield who else can change what lies at a real path."""
    own = path
    while True:
        try:
            seen = os.stat(path)  # noqa: PTH116 -- texts
        except OSError:
            return  # said by whoever reads it
        sticky = path != own and seen.st_mode & 0o1000
        if seen.st_uid != 0:
            mend = f"chown root {path}; or let that user install it"
            yield f"{path} belongs to uid {seen.st_uid}", mend
        elif not sticky and written_by_others(seen):
            whom = "everybody" if seen.st_mode & 0o002 else f"group {seen.st_gid}"
            yield f"{whom} can write in {path}", f"chmod go-w {path}"
        if path == "/":
            return
        path = os.path.dirname(path)  # noqa: PTH120
