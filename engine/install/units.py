"""The units that `runbook install` wrote: found, written, started, and taken away again."""

from __future__ import annotations

import os
import shlex
import tempfile
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from runbook.engine.errors import UserError
from runbook.engine.install import unit
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runbook.engine.install.systemctl import Systemd

_SUFFIX: Final = ".service"
_MODE: Final = 0o644


@frozen
class Installed:
    """One that is there."""

    name: str
    path: str
    runbooks: tuple[str, ...]
    files: tuple[str, ...]
    journal: str
    changed: bool  # by hand, since it was written


def installed(systemd: Systemd) -> list[Installed]:
    """Return those of a systemd, sorted."""
    return sorted(_installed(systemd.folder), key=lambda each: each.name)


def before(systemd: Systemd, name: str) -> str:
    """Return the text of the unit that is there already; empty where none is.

    Raises:
        UserError: somebody else wrote it.
    """
    path = systemd.folder / f"{name}{_SUFFIX}"
    text = _read(path)
    if text and not unit.ours(text):
        raise UserError("`runbook install` did not write this unit", where=str(path), mend="call yours --name NAME")
    if not text and systemd.show(f"{name}{_SUFFIX}", "LoadState").get("LoadState") == "loaded":
        raise UserError(f"there is a unit {name} already, which is not ours", mend="call yours --name NAME")
    return text


def write(systemd: Systemd, name: str, text: str) -> None:
    """Put a unit in its place, all at once, and have it read.

    Raises:
        UserError: it can't be written, or systemd can't read it.
    """
    path = systemd.folder / f"{name}{_SUFFIX}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, fresh = tempfile.mkstemp(dir=path.parent, prefix=f".{name}.")
    except OSError as error:
        mend = "become root, or install it for yourself alone: --scope user" if systemd.system else ""
        raise UserError(f"can't be written: {error.strerror}", where=str(path), mend=mend) from error
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fchmod(descriptor, _MODE)
            os.fsync(descriptor)
        os.replace(fresh, path)  # noqa: PTH105 -- both are texts to systemd
    except OSError as error:
        with suppress(OSError):
            os.unlink(fresh)  # noqa: PTH108
        raise UserError(f"can't be written: {error.strerror}", where=str(path)) from error
    systemd.do("daemon-reload")


def start(systemd: Systemd, name: str) -> None:
    """Start a unit now and at every boot; one that runs is started anew.

    Raises:
        UserError: it does not come up; says where it is told why.
    """
    full = f"{name}{_SUFFIX}"
    systemd.do("enable", "--quiet", full)
    begun = time.time()
    try:
        systemd.do("restart", full)
    except UserError as error:
        said = systemd.log(full, since=begun)
        scope = "".join(f"{each} " for each in systemd.scope)
        mend = "\n".join(
            [*said, f"systemd goes on trying: journalctl {scope}-u {name} -e; or: runbook uninstall {name}"]
        )
        raise UserError(f"{full} did not start", mend=mend) from error


def remove(systemd: Systemd, found: Installed) -> str:
    """Stop a unit and take away what was written; return where a person's own changes are left, if there are any.

    Raises:
        UserError: it can't be stopped, or not be deleted.
    """
    full = f"{found.name}{_SUFFIX}"
    systemd.do("disable", "--quiet", "--now", full)
    try:
        os.unlink(found.path)  # noqa: PTH108
    except FileNotFoundError:
        pass
    except OSError as error:
        raise UserError(f"can't be deleted: {error.strerror}", where=found.path) from error
    systemd.do("daemon-reload")
    with suppress(UserError):  # it had not failed
        systemd.do("reset-failed", full)
    beside = f"{found.path}.d"
    return beside if os.path.isdir(beside) else ""  # noqa: PTH112


def _installed(folder: Path) -> Iterator[Installed]:
    for path in folder.glob(f"*{_SUFFIX}"):
        text = "" if path.is_symlink() else _read(path)
        if unit.ours(text):
            said = unit.told(text)
            yield Installed(
                path.name.removesuffix(_SUFFIX),
                str(path),
                tuple(filter(None, said.get("Runbooks", "").replace("%%", "%").split(", "))),
                tuple(_words(said.get("Files", ""))),
                said.get("Journal", "").replace("%%", "%"),
                unit.changed(text),
            )


def _words(given: str) -> list[str]:
    """Return the words of a command line that `unit.command` made."""
    try:
        return [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(given)]
    except ValueError:
        return []  # somebody wrote in it


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"can't be read: {error}", where=str(path)) from error
