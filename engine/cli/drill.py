"""`runbook drill`: the real faults of a runbook, injected in a scratch place, seen and healed by the real engine."""

from __future__ import annotations

import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runbook.engine.cli import _names
from runbook.engine.cli import _options as options
from runbook.engine.errors import RunbookInvalid, UserError

if TYPE_CHECKING:
    from runbook.engine.drill.verdict import Verdict
    from runbook.engine.language.drill_words import Drill, Fault
    from runbook.engine.report.paint import Paint

CLEAR = "\r\x1b[K"  # the line that says what is going on
FAILED = 2  # the exit code where a fault was not seen, or not healed


@click.command("drill", short_help="Inject real faults in a scratch place; show they are healed.")
@click.argument("runbook", metavar="RUNBOOK", shell_complete=_names.runbooks)
@options.signatures
@options.module_path
@click.option("--only", "chosen", multiple=True, metavar="PATTERN",
              help="Only faults, or those of detectors, of this name; * stands for anything.")  # fmt: skip
@click.option("--list", "listed", is_flag=True, help="List the faults, and the detectors that have none; do nothing.")
@click.option("--dry-run", "dry", is_flag=True, help="Tell what would be made and injected; do nothing.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="text for people; json one document.")  # fmt: skip
@click.option("-v", "--verbose", count=True, help="Show the steps that were taken, and what else fired.")
def command(runbook: str, chosen: tuple[str, ...], form: str, verbose: int, *, listed: bool, dry: bool) -> int:
    """Drill a runbook: NAME.drill.yaml beside NAME.yaml says which faults, and what must come of each.

    Each fault is injected in a fresh scratch place, in which this machine can be read and nothing of it written: its
    processes, network, GPUs and kernel log are its own. The engine looks, heals and verifies as in `apply`, with a
    journal of its own. Whatever was started ends with the drill. Needs root, or namespaces that users may make.

    \b
    Exit codes: 0 every fault was seen and healed, 1 usage or an invalid drill,
    2 one was not seen, not healed or could not be shown, 130 stopped.

    \b
    Examples:
        runbook drill quickstart
        runbook drill llm-deploy.yaml --only '*disk*' -v
        runbook drill gpu-health --list
    """
    from runbook.engine.report import drilled
    from runbook.engine.report.paint import paint_for

    drill = _load(runbook)
    faults = [fault for fault in drill.faults if _wanted(fault, chosen)]
    if not faults:
        names = ", ".join(fault.name for fault in drill.faults)
        raise UserError(f"no fault is named like {chosen[0]!r}", where="--only", mend=f"there are: {names}")
    paint = paint_for(sys.stdout)
    if listed or dry:
        shown = drilled.listing(drill, faults, detailed=dry)
        _say(drilled.encoded(shown) if form == "json" else drilled.listed(paint, shown))
        return 0
    found = _perform(drill, faults, paint, form, verbose)
    failed = FAILED * any(not each.good for each in found)
    if form == "json":
        _say(drilled.encoded(drilled.document(drill, found, failed)))
    else:
        _say(drilled.ending(paint, drill, found))
    return failed


def _perform(drill: Drill, faults: list[Fault], paint: Paint, form: str, verbose: int) -> list[Verdict]:
    from runbook.engine.drill import stage
    from runbook.engine.report import drilled
    from runbook.engine.report.paint import on_terminal

    table = drilled.Table(paint, faults)
    if form == "text":
        _say(table.head())
    found: list[Verdict] = []
    watched = form == "text" and on_terminal(sys.stdout)
    for fault in faults:
        if watched:
            click.echo(table.now(fault), nl=False)
        found.append(stage.perform(drill, fault))
        if form == "text":
            _say((CLEAR if watched else "") + "\n".join(table.row(found[-1], detailed=bool(verbose))))
    return found


def _say(text: str) -> None:
    if text:
        click.echo(text)


def _wanted(fault: Fault, chosen: tuple[str, ...]) -> bool:
    names = (fault.name, fault.about)
    return not chosen or any(name == one or fnmatchcase(name, one) for name in names for one in chosen)


def _load(name: str) -> Drill:
    """Return the drill of a runbook, or of the file itself."""
    from runbook.engine import intake
    from runbook.engine.language import drills, load

    path = Path(name)
    if not (drills.is_drill(path.name) and path.exists()):
        runbook = load.locate(name)
        beside = [runbook.with_name(runbook.stem + suffix) for suffix in drills.SUFFIXES]
        found = next((each for each in beside if each.exists()), None)
        if found is None:
            raise UserError("this runbook has no drill beside it", where=str(runbook),
                            mend=f"write {beside[0].name}; `runbook schema drill` says what stands in it")  # fmt: skip
        path = found
    drill, findings, _ = drills.examine(path)
    if drill is None:
        raise RunbookInvalid(findings)
    intake.load(Path(drill.runbook.file), {})  # what does not lint is not run
    return drill
