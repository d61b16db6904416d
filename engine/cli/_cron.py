"""What `install --cron` and `uninstall` do with cron."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runbook.engine.cli import _installing
from runbook.engine.errors import UserError
from runbook.engine.install import crontab

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runbook.engine.install.ground import Watched
    from runbook.engine.install.plan import Asked


def install(given: Mapping[str, Any], asked: Asked, watched: Watched) -> int:
    """Show the line, ask, and write it."""
    from runbook.engine.install import plan, words
    from runbook.engine.install.crontab import Line
    from runbook.engine.report.words import printable

    service = plan.service(asked, watched)
    fastest = min((each.runbook.every for each in watched.requests), key=lambda every: every if isinstance(every, float) else 60.0)
    fields, note = (crontab.check(given["schedule"]), "") if given["schedule"] else crontab.when(fastest, service.name)
    output = "" if given["mailto"] else f"{Path(service.journal).parent}/{service.name}.log"
    quiet = () if {"--quiet", "--verbose"} & {word.flag for word in asked.words} else ("--quiet",)
    program = words.program()
    line = Line(
        service.name,
        fields,
        (*program, "watch", "--once", *quiet, *words.given(asked.words), "--", *asked.arguments),
        service.journal,
        {"PATH": words.PATH, **(service.environment or {})},
        service.directory,
        output,
        given["mailto"],
        "root",
    )
    mine = _own_file(watched)
    if mine:
        path = crontab.own_file(service.name)
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        if before and not crontab.blocks(before):
            raise UserError("`runbook install` did not write this file", where=str(path), mend="call yours --name NAME")
        text = crontab.text(line)
        _installing.shown(str(path), text, before)
    else:
        table = crontab.read()
        rest, _ = crontab.without(table, service.name)
        text = crontab.text(line, crontab.mailto(rest))
        before = "".join(f"{each}\n" for block in crontab.blocks(table) if block.name == service.name for each in block.lines)
        _installing.shown("your crontab", text, "")
    for each in filter(None, [note, "" if crontab.running() else "no cron daemon runs here: start it"]):
        click.echo(f"note: {printable(each)}")
    if given["check"]:
        return 0
    _installing.agreed("Write it?", yes=given["yes"])
    if output:
        Path(output).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if mine:
        write(path, text)
    else:
        crontab.replace(table, joined(rest, text))
    click.echo(
        f"{service.name}: cron runs it at `{fields}`; "
        + (f"output: {output}" if output else f"output is mailed to {given['mailto']}")
        + f"; away with it: runbook uninstall {service.name}"
    )
    return 0
