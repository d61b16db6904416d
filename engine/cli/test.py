"""`runbook test`: the cases beside runbooks, played with a virtual clock."""

from __future__ import annotations

import os
import sys
import time
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runbook.engine.cli import _options as options
from runbook.engine.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.model import Finding
    from runbook.engine.rehearse.suite import Coverage, Result


@click.command("test", short_help="Play the cases of NAME.test.yaml with a virtual clock.")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("-k", "chosen", metavar="PATTERN", default="*", help="Only cases whose name matches, as in -k '*gpu*'.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="text for people; json one document.")  # fmt: skip
@click.option("--junit", metavar="FILE", help="Write the results there as JUnit's XML too.")
@click.option("--coverage", is_flag=True, help="Tell which detectors and rungs no case reaches.")
@click.option("--fail-under", type=click.FloatRange(0, 100), metavar="PERCENT",
              help="Exit 1 where less than this of a runbook is reached.")  # fmt: skip
@click.option("-v", "--verbose", count=True, help="Show what happened in each case.")
@click.option("-q", "--quiet", is_flag=True, help="Show only what failed.")
@options.module_path
def command(
    paths: tuple[str, ...],
    chosen: str,
    form: str,
    junit: str | None,
    fail_under: float | None,
    verbose: int,
    *,
    coverage: bool,
    quiet: bool,
) -> int:
    """Play cases: files NAME.test.yaml, the directories they are in, or runbooks that have one beside them.

    Files NAME.case.yaml beside steps and probes of your own (`runbook_modules/steps/NAME.py`) are judged, too: what the
    host answers in, actions or records out; the module runs in a process of its own.

    No host is asked and nothing is changed: a case says what looks see, how steps end and what people do, over time;
    the same engine decides as in `apply` and `watch`. Default: the current directory.

    \b
    Examples:
        runbook test runbooks/
        runbook test llm-deploy.yaml -k '*disk*' -v
        runbook test runbook_modules/
        runbook test --junit report.xml --coverage --fail-under 80
    """
    from runbook.engine.report import rehearsal
    from runbook.engine.report.paint import paint_for

    files = list(dict.fromkeys(file for name in paths or (".",) for file in _files(name)))
    if not files:
        raise UserError("there are no cases here", where=", ".join(paths) or ".",
                        mend="write NAME.test.yaml beside NAME.yaml; `runbook doc test` shows how")  # fmt: skip
    began = time.perf_counter()
    paint = paint_for(sys.stdout)
    results, covered = _run(files, chosen, lambda part: _show(paint, part, form, -1 if quiet else verbose))
    seconds = time.perf_counter() - began
    if not results:
        raise UserError(f"no case is named like {chosen!r}", where="-k", mend="quote it, and use * for the rest")
    if junit is not None:
        Path(junit).write_text(rehearsal.junit(results, seconds), encoding="utf-8")
    wants = coverage or fail_under is not None
    if form == "json":
        from runbook.engine.report.document import encode

        click.echo(encode(rehearsal.document(results, covered if wants else (), seconds), indent=2))
    else:
        for each in covered if wants else ():
            click.echo("\n".join(paint.fit(line) for line in rehearsal.coverage_lines(paint, each)))
        click.echo(paint.fit(rehearsal.total(paint, results, len(files), seconds)))
    under = [each for each in covered if fail_under is not None and 100 * each.share < fail_under]
    return int(bool(under) or any(not result.ok for result in results))


def _run(files: list[Path], chosen: str, show: object) -> tuple[list[Result], list[Coverage]]:
    from runbook.engine.language import cases
    from runbook.engine.language.own.cases import is_cases
    from runbook.engine.rehearse import own
    from runbook.engine.rehearse import suite as suites

    results: list[Result] = []
    covered: list[Coverage] = []
    findings: list[Finding] = []
    suites_of = []
    for file in [file for file in files if is_cases(file.name)]:
        part = own.run(_shown(file), lambda name: fnmatchcase(name, chosen) or name == chosen)
        results += part
        if callable(show):
            show((str(_shown(file)), part))
    for file in [file for file in files if not is_cases(file.name)]:
        suite, found, _ = cases.examine(_shown(file))
        findings += found
        if suite is not None:
            suites_of.append(suite)
    if findings:
        from runbook.engine.errors import RunbookInvalid

        raise RunbookInvalid(findings)
    for suite in suites_of:
        part = suites.run(suite, lambda case: fnmatchcase(case.name, chosen) or case.name == chosen)
        results += part
        covered.append(suites.coverage(suite.runbook, part))
        if callable(show):
            show((suite.file, part))
    return results, covered


def _show(paint: object, part: tuple[str, list[Result]], form: str, verbosity: int) -> None:
    from runbook.engine.report import rehearsal
    from runbook.engine.report.paint import Paint
    from runbook.engine.report.words import printable

    assert isinstance(paint, Paint)
    file, results = part
    if form == "json" or not results:
        return
    shown = rehearsal.lines(paint, results, verbosity)
    if shown:
        click.echo("\n".join(paint.fit(line) for line in [paint(printable(file), "bold"), *shown]))


def _files(name: str) -> Iterator[Path]:
    """Yield the files of cases that a path means."""
    from runbook.engine.language import cases, load
    from runbook.engine.language.own import cases as own

    path = Path(name)
    if path.is_dir():
        for root, folders, files in os.walk(path):
            folders[:] = sorted(each for each in folders if not each.startswith(".") and each != "node_modules")
            yield from (Path(root, each) for each in sorted(files) if cases.is_cases(each) or own.is_cases(each))
        return
    if (cases.is_cases(path.name) or own.is_cases(path.name)) and path.exists():
        yield path
        return
    if path.suffix == ".py" and path.exists():
        beside_it = next((each for suffix in own.SUFFIXES if (each := path.with_suffix(suffix)).exists()), None)
        if beside_it is None:
            raise UserError("this module has no cases beside it", where=name, mend=f"write {path.stem}.case.yaml")
        yield beside_it
        return
    if path.suffix == ".py" or cases.is_cases(path.name) or own.is_cases(path.name):
        raise UserError("there is no such file", where=name, mend=_near(path))
    runbook = load.locate(name)
    beside = [runbook.with_name(runbook.stem + suffix) for suffix in cases.SUFFIXES]
    found = next((each for each in beside if each.exists()), None)
    if found is None:
        raise UserError("this runbook has no cases beside it", where=str(runbook), mend=f"write {beside[0].name}")
    yield found


def _near(path: Path) -> str:
    """Say which file of the same kind beside a missing one was meant, or is there."""
    from runbook.engine.language.nearest import nearest

    there = sorted(each.name for each in path.parent.glob(f"*{''.join(path.suffixes)}"))
    near = nearest(path.name, there)
    if near:
        return f"did you mean {path.with_name(near)}?"
    return f"there are {', '.join(there)}" if there else ""


def _shown(path: Path) -> Path:
    """Return a path as short as it can be said from here."""
    try:
        return path.resolve().relative_to(Path.cwd())
    except ValueError:
        return path
