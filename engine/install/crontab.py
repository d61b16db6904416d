"""A line for cron: in a file of its own for root, between marks in the crontab of anybody else."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.errors import UserError
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FOLDER: Final = Path("/etc/cron.d")
_BEGIN: Final = "# runbook install: begin"
_END: Final = "# runbook install: end"
_HEAD: Final = re.compile(
    rf"^{_BEGIN} (?P<name>\S+) lines=(?P<lines>\d+) digest=(?P<digest>[0-9a-f]{{16}}) (?P<about>\{{.*\}})$"
)
_LONGEST: Final = 900  # characters of a command: cron takes 999, and says nothing of what it cuts off


@frozen
class Line:
    """What is written for cron."""

    name: str
    when: str  # five fields
    argv: tuple[str, ...]
    runbooks: tuple[str, ...]  # their names
    files: tuple[str, ...]  # as `uninstall` may be given them
    journal: str
    environment: Mapping[str, str]
    directory: str = ""
    output: str = ""  # a file; empty: cron mails it
    mailto: str = ""
    user: str = "root"  # whom a file of /etc/cron.d has to name


@frozen
class Block:
    """What stands between our marks."""

    name: str
    about: Mapping[str, Any]  # runbooks, files, journal
    lines: tuple[str, ...]
    changed: bool  # by hand, since it was written


def when(every: float | str, name: str) -> tuple[str, str]:
    """Return when cron runs it, and what is to be told of that: a minute is its shortest interval.

    Runs of an interval longer than a minute begin at a minute made from the name: not all hosts of a fleet at once.
    """
    if isinstance(every, str):
        return every, ""
    minutes = max(1, round(every / 60))
    note = "" if every >= 60 else f"cron looks once a minute, not every {every:g} s: a unit does"
    if minutes < 60:
        step = max(each for each in range(1, 31) if 60 % each == 0 and each <= minutes)
        offset = zlib.crc32(name.encode()) % step
        field = "*" if step == 1 else f"*/{step}" if offset == 0 else f"{offset}-59/{step}"
        return f"{field} * * * *", note
    hours = max(each for each in (1, 2, 3, 4, 6, 8, 12, 24) if each <= minutes // 60)
    minute = zlib.crc32(name.encode()) % 60
    return f"{minute} {'*' if hours == 1 else '0' if hours == 24 else f'*/{hours}'} * * *", note


def check(fields: str) -> str:
    """Return a schedule as cron has it.

    Raises:
        UserError: it is none.
    """
    from runbook.engine.language import cron

    try:
        return cron.parse(fields.strip())
    except ValueError as error:
        raise UserError(str(error), where="--schedule", mend="write it as '*/5 * * * *'") from error


def text(line: Line, mailto_before: str | None = None) -> str:
    """Return the lines, with their marks.

    Args:
        line: what is written.
        mailto_before: who gets the mail of the lines around it; None: a file of its own.

    Raises:
        UserError: cron would cut it off, or can't have it.
    """
    own = mailto_before is None
    command = _command(line, path=not own)
    if len(command) > _LONGEST or "\n" in command:
        mend = "give it fewer options, or install a unit"
        raise UserError(f"cron takes no command of {len(command)} characters", where=line.name, mend=mend)
    lines = []
    if own:
        lines += ["SHELL=/bin/sh", *(f"{name}={value}" for name, value in line.environment.items())]
    if own or line.mailto:
        lines.append(f'MAILTO="{line.mailto}"')
    lines.append(" ".join(filter(None, [line.when, line.user if own else "", command])))
    if line.mailto and not own:
        lines.append(f'MAILTO="{mailto_before}"')
    about = json.dumps({"runbooks": line.runbooks, "files": line.files, "journal": line.journal})
    head = f"{_BEGIN} {line.name} lines={len(lines)} digest={_digest(lines)} {about}"
    return "\n".join([head, *lines, _END, ""])


def blocks(found: str) -> list[Block]:
    """Return what is between our marks in a crontab."""
    return [block for block, _, _ in _blocks(found.splitlines())]


def without(found: str, name: str) -> tuple[str, list[str]]:
    """Return a crontab without our lines of that name, and those that somebody wrote between our marks, which stay."""
    lines = found.splitlines(keepends=True)
    kept: list[str] = []
    at = 0
    strange: list[str] = []
    for block, begin, end in _blocks(found.splitlines()):
        if block.name == name:
            kept += lines[at:begin]
            others = [line for line in lines[begin + 1 : end] if block.changed and not _looks_ours(line)]
            others = [line for line in others if not line.startswith(_END)]
            kept += others
            strange += others
            at = end
    return "".join([*kept, *lines[at:]]), [line.rstrip("\n") for line in strange]


def mailto(found: str) -> str:
    """Return who gets the mail of a line at the end of a crontab; cron's own rule is whose crontab it is."""
    import getpass

    said = re.findall(r"^\s*MAILTO\s*=\s*(.*?)\s*$", found, re.MULTILINE)
    return said[-1].strip("\"'") if said else getpass.getuser()


def read() -> str:
    """Return the user's crontab.

    Raises:
        UserError: there is no cron here, or it does not let this user have one.
    """
    done = _crontab("-l")
    if done.returncode and "no crontab for" not in done.stderr:
        raise UserError(
            f"crontab -l: {done.stderr.strip() or f'exit code {done.returncode}'}", mend="see /etc/cron.allow"
        )
    return "" if done.returncode else done.stdout


def replace(read_before: str, new: str) -> None:
    """Put a crontab in the place of the one that was read.

    Raises:
        UserError: somebody has changed it since.
    """
    if read() != read_before:
        raise UserError("somebody edits the crontab at this moment", mend="run this again; nothing was changed")
    done = _crontab("-", text=new) if new else _crontab("-r")
    if done.returncode:
        raise UserError(f"crontab refuses it: {done.stderr.strip()}", mend="nothing was changed")


def running() -> bool:
    """Tell whether a cron daemon runs."""
    for comm in Path("/proc").glob("[0-9]*/comm"):
        try:
            name = comm.read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            continue
        if name in {"cron", "crond", "fcron", "dcron", "bcron", "busybox-crond"}:
            return True
    return False


def _crontab(*words: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    program = shutil.which("crontab")
    if program is None:
        raise UserError("there is no crontab on this machine", mend="install cron (Debian: apt-get install cron)")
    return subprocess.run([program, *words], input=text, capture_output=True, text=True, check=False)  # noqa: S603


def _command(line: Line, *, path: bool) -> str:
    """Return a line of sh; `%` would end it for cron."""
    words = [shlex.quote(word) for word in line.argv]
    if path:
        words = [f"{name}={shlex.quote(value)}" for name, value in line.environment.items()] + words
    if line.directory:
        words = ["cd", shlex.quote(line.directory), "&&", *words]
    if line.output:
        words += [">>", shlex.quote(line.output), "2>&1"]
    return " ".join(words).replace("%", "\\%")


def _digest(lines: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _blocks(lines: Sequence[str]) -> list[tuple[Block, int, int]]:
    """Return our blocks, each with where it begins, and where what follows it does."""
    found = []
    for begin, line in enumerate(lines):
        head = _HEAD.match(line)
        if head is None:
            continue
        rest = lines[begin + 1 :]
        until = next((number for number, each in enumerate(rest) if each.startswith("# runbook install: ")), len(rest))
        closed = until < len(rest) and rest[until] == _END
        inner = tuple(rest[:until]) if closed else tuple(rest[: min(until, int(head["lines"]))])
        changed = not closed or len(inner) != int(head["lines"]) or _digest(inner) != head["digest"]
        end = begin + 1 + len(inner) + closed
        found.append((Block(head["name"], _about(head["about"]), inner, changed), begin, end))
    return found


def _about(text: str) -> Mapping[str, Any]:
    try:
        return dict(json.loads(text))
    except ValueError:
        return {}  # somebody wrote in it


def _looks_ours(line: str) -> bool:
    return " watch --once " in line or line.startswith("MAILTO=")


def own_file(name: str) -> Path:
    """Return the file of a service of root's; run-parts' rules allow no dot in it."""
    return FOLDER / name.replace(".", "-")


def allowed() -> bool:
    """Tell whether root has a place for files of cron."""
    return FOLDER.is_dir() and os.access(FOLDER, os.W_OK)
