"""What `install --cron` and `uninstall` do with cron."""

from __future__ import annotations

import contextlib
import getpass
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runbook.engine.cli import _showing
from runbook.engine.errors import UserError
from runbook.engine.install import crontab
from runbook.engine.report.words import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runbook.engine.install.crontab import Line
    from runbook.engine.install.ground import Watched
    from runbook.engine.install.plan import Asked


def install(given: Mapping[str, Any], asked: Asked, watched: Watched) -> int:
    """Show the line, ask, and write it."""
    from runbook.engine.install import plan, refusals, words
    from runbook.engine.install.crontab import Line

    service = plan.service(asked, watched)
    first = min(
        (each.runbook for each in watched.requests), key=lambda one: one.every if isinstance(one.every, float) else 60
    )
    scheduled = (crontab.check(given["schedule"]), "") if given["schedule"] else crontab.when(first.every, service.name)
    fields, note = scheduled[0], f"`{first.name}`: {scheduled[1]}" if scheduled[1] else ""
    path = (service.environment or {}).get("PATH", words.PATH)
    lacking = [text for each in watched.requests if not each.hosts for text in refusals.lacking(each.runbook, path)]
    quiet = () if {"--quiet", "--verbose"} & {word.flag for word in asked.words} else ("--quiet",)
    line = Line(
        service.name,
        fields,
        (*words.program(), "watch", "--once", *quiet, *words.given(asked.words), "--", *asked.arguments),
        service.runbooks,
        service.files,
        service.journal,
        {"PATH": words.PATH, **(service.environment or {})},
        service.directory,
        "" if given["mailto"] else str(Path(service.journal).with_name(f"{service.name}.log")),
        given["mailto"],
        getpass.getuser(),
    )
    place = _File(service.name) if os.geteuid() == 0 and crontab.allowed() else _Table(service.name)
    text = place.text(line)
    _showing.shown(place.shown, text, place.before)
    for each in filter(None, [note, *lacking, "" if crontab.running() else "no cron daemon runs here: start it"]):
        click.echo(f"note: {printable(each)}")
    if given["check"]:
        return 0
    _showing.agreed("Write it?", yes=given["yes"])
    if line.output:
        Path(line.output).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    place.write(text)
    told = f"log: {line.output}" if line.output else f"what is wrong is mailed to {line.mailto}"
    click.echo(f"cron runs {service.name} at `{fields}`; {told}; away with it: runbook uninstall {service.name}")
    return 0


class _File:
    """A file of our own, for root."""

    machines = True

    def __init__(self, name: str) -> None:
        self._path = crontab.own_file(name)
        self.shown = str(self._path)
        self.before = self._path.read_text(encoding="utf-8") if self._path.exists() else ""
        if self.before and not crontab.blocks(self.before):
            raise UserError(
                "`runbook install` did not write this file", where=self.shown, mend="call yours --name NAME"
            )

    def text(self, line: Line) -> str:
        """Return what is written for a line."""
        return crontab.text(line)

    def write(self, text: str) -> None:
        """Put it in its place, all at once: cron reads it when it likes."""
        fresh = self._path.with_name(f".{self._path.name}")  # cron passes over names with a dot
        fresh.write_text(text, encoding="utf-8")
        fresh.chmod(0o644)
        fresh.replace(self._path)

    def remove(self) -> list[str]:
        """Take it away; return what somebody wrote into it, which stays."""
        kept, strange = crontab.without(self.before, crontab.blocks(self.before)[0].name)
        if strange:
            self.write(kept)
        else:
            self._path.unlink()
        return strange


class _Table:
    """The crontab of the user, with whatever else is in it."""

    shown = "your crontab"
    machines = False

    def __init__(self, name: str) -> None:
        self._name = name
        self._whole = crontab.read()
        self._rest, self._strange = crontab.without(self._whole, name)
        own = self._whole.splitlines(keepends=True)
        rest = self._rest.splitlines(keepends=True)
        self.before = "".join(own[len(rest) :]) if self._whole.startswith(self._rest) else ""

    def text(self, line: Line) -> str:
        """Return what is written for a line: it stands at the end."""
        return crontab.text(line, crontab.mailto(self._rest))

    def write(self, text: str) -> None:
        """Put it behind what is there."""
        joint = "" if not self._rest or self._rest.endswith("\n") else "\n"
        crontab.replace(self._whole, self._rest + joint + text)

    def remove(self) -> list[str]:
        """Take our lines away; return what somebody wrote between them, which stays."""
        crontab.replace(self._whole, self._rest)
        return self._strange


Place = _File | _Table


def installed() -> list[tuple[str, crontab.Block, Place]]:
    """Return what cron runs of ours: its name, what stands there, and where."""
    found: list[tuple[str, crontab.Block, Place]] = []
    for path in sorted(crontab.FOLDER.glob("*")):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            found += [(block.name, block, _File(path.name)) for block in crontab.blocks(path.read_text("utf-8"))[:1]]
    with contextlib.suppress(UserError):  # no cron here
        found += [(block.name, block, _Table(block.name)) for block in crontab.blocks(crontab.read())]
    return found
