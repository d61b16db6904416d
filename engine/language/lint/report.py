"""A whole run of lint: which files, what was found in each, what was mended, and how it is printed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from runbook.engine.errors import UserError
from runbook.engine.language import load, source
from runbook.engine.language.lint import catalogue, files, fix
from runbook.engine.language.lint.check import check
from runbook.engine.language.lint.outside import Outside
from runbook.engine.language.nearest import nearest
from runbook.engine.language.own import enlist, folders
from runbook.engine.model import Finding, Span

if TYPE_CHECKING:
    from collections.abc import Sequence

Choice = Callable[[Finding], bool]
Examiner = Callable[[Path, str], tuple[list[Finding], str]]  # of a file by its path and shown name: findings, its text


@dataclass
class Report:
    """What a run found."""

    findings: list[Finding] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)  # of each file, by the name that findings show
    fixed: int = 0


def examine(
    names: Sequence[str],
    here: Path,
    chosen: Choice,
    *,
    fix: bool = False,
    inventories: Examiner | None = None,
    outside: Callable[[Path], Outside] | None = None,
) -> Report:
    """Check what was named; what can't be read is a finding too, and nothing in one file hides another.

    Args:
        names: files, directories, bundled runbooks.
        here: the directory from which files are shown.
        chosen: tells which findings are asked for.
        fix: mend what can be mended.
        inventories: checks an inventory, which the language knows nothing of.
        outside: what an inventory adds to a runbook in some directory.
    """
    report = Report()
    paths: list[Path] = []
    for name in names:
        _gather(name, here, paths, report)
    for path in files.unique(paths):
        name = files.shown(path, here)
        if inventories is not None and files.is_inventory(path):
            findings, report.texts[name] = inventories(path, name)
            report.findings += [found for found in findings if chosen(found)]
        else:
            added = Outside() if outside is None else outside(path.absolute().parent)
            _examine_file(path, name, chosen, report, added, mend=fix)
    report.findings = list(dict.fromkeys(report.findings))
    return report


def choice(select: str, ignore: str) -> Choice:
    """Return the test for the rules that --select and --ignore leave.

    Raises:
        UserError: a code does not exist.
    """
    wanted, unwanted = _codes(select), _codes(ignore)
    return lambda finding: (not wanted or finding.code in wanted) and finding.code not in unwanted


def exit_code(findings: Sequence[Finding], *, strict: bool) -> int:
    """Return 1 where something has to be mended."""
    return int(any(strict or finding.level == "error" for finding in findings))


def rendered(report: Report, form: str, code: int, *, colour: bool) -> str:
    """Return the report in one of the four formats."""
    if form == "json":
        from runbook.engine.language.lint.formats import json

        return json.render(report.findings, list(report.texts), code, report.fixed)
    if form == "sarif":
        from runbook.engine.language.lint.formats import sarif

        return sarif.render(report.findings, report.texts)
    if form == "github":
        from runbook.engine.language.lint.formats import github

        return github.render(report.findings)
    from runbook.engine.language.lint.formats import text

    blocks = text.render(report.findings, report.texts, colour=colour)
    last = text.totals(report.findings, len(report.texts), report.fixed, colour=colour)
    return f"{blocks}\n{last}" if blocks else last


def _gather(name: str, here: Path, paths: list[Path], report: Report) -> None:
    try:
        path = Path(name)
        if path.is_dir():
            own = [each for folder in folders.below(path) for each in _own(folder, report)]
            closed: list[OSError] = []
            found = [Path(files.shown(file, here)) for file in files.below(path, closed.append)]
            for error in closed:
                _say(report, str(error.filename), f"this directory can't be listed: {error.strerror}")
            found = found or list(files.inventories_below(path))
            if not found and not closed and not own:
                hint = "name a file: a runbook has `detectors:` or `operations:` at its top"
                _say(report, name, "there is no runbook below this directory", hint)
            paths += found
        elif path.suffix == ".py" and path.parent.name in {"steps", "probes"} and path.exists():
            _own(path.parent.parent, report, path)
        elif path.exists() or path.is_symlink():
            paths.append(path)
        else:
            paths.append(load.locate(name))
    except UserError as error:
        _say(report, name, error.what, error.mend)
    except (OSError, ValueError) as error:
        _say(report, name, f"this can't be a file: {getattr(error, 'strerror', None) or error}")


def _own(folder: Path, report: Report, only: Path | None = None) -> list[str]:
    """Check a folder of users' modules, or one file in it; return the files that were looked at."""
    found, texts = enlist.findings(str(folder))
    wanted = [file for file in texts if only is None or Path(file).absolute() == only.absolute()]
    report.texts.update({file: texts[file] for file in wanted})
    report.findings += [each for each in found if each.span.file in wanted]
    return wanted


def _say(report: Report, name: str, message: str, hint: str = "") -> None:
    """Add a finding about something that is no text."""
    shown = name or "."
    report.texts.setdefault(shown, "")
    report.findings.append(Finding("RB001", source.RULES["RB001"], "error", message, Span(shown, 1, 1, 1, 1), hint))


def _examine_file(path: Path, name: str, chosen: Choice, report: Report, outside: Outside, *, mend: bool) -> None:
    if files.are_cases(name):
        from runbook.engine.language import cases

        _, findings, read = cases.examine(path)
        report.texts[name] = read.text
        report.findings += [_renamed(found, str(path), name) for found in findings if chosen(found)]
        return
    if files.are_own_cases(name):
        from runbook.engine.language.own import cases as own_cases

        listed = own_cases.examine(path)
        report.texts[name] = listed.source.text
        report.findings += [_renamed(found, str(path), name) for found in listed.findings if chosen(found)]
        return
    if files.is_drill(name):
        from runbook.engine.language import drills

        _, findings, read = drills.examine(path)
        report.texts[name] = read.text
        report.findings += [_renamed(found, str(path), name) for found in findings if chosen(found)]
        return
    enlist.forget()  # another file's modules are not this one's
    examined = load.examine(path)
    findings = [found for found in check(examined, outside.names, outside.hosts) if chosen(found)]
    if mend and any(found.fixes for found in findings):

        def again(draft: Path) -> list[Finding]:
            return [found for found in check(load.examine(draft), outside.names, outside.hosts) if chosen(found)]

        report.fixed += fix.mend(path, examined.source.text, again)
        examined = load.examine(path)
        findings = [found for found in check(examined, outside.names, outside.hosts) if chosen(found)]
    report.texts[name] = examined.source.text
    for used in examined.used:
        report.texts.setdefault(used.file, used.text)
    report.findings += [_renamed(found, str(path), name) for found in findings]


def _renamed(finding: Finding, path: str, name: str) -> Finding:
    return replace(finding, span=replace(finding.span, file=name)) if finding.span.file == path != name else finding


def _codes(given: str) -> frozenset[str]:
    codes = frozenset(code.upper() for code in re.split(r"[,\s]+", given) if code)
    for code in sorted(codes):
        if code not in catalogue.codes():
            near = nearest(code, catalogue.codes())
            hint = f"did you mean {near}?" if near else "`runbook lint --explain all` lists the rules"
            raise UserError(f"there is no rule `{code[:40]}`", mend=hint)
    return codes
