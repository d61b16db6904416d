"""From words to runs: the runbooks that a command line names, linted, with their hosts; and what is refused of it."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runbook.engine.errors import RunbookInvalid, UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runbook.engine.among import Among, Chosen
    from runbook.engine.model import Finding
    from runbook.engine.start import Request


@dataclass
class Admitted:
    """What a command line comes to: the runbooks that may run, on which hosts, and what is wrong with others."""

    among: Among
    requests: list[Request] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    hosts: dict[str, tuple[str, ...]] = field(default_factory=dict)  # by runbook


def admit(
    name: str, given: Mapping[str, Any], *, operations: bool, commits: bool, among: Among | None = None
) -> Admitted:
    """Load the runbooks and the inventory that a command line names.

    Args:
        name: the command.
        given: its words.
        operations: carry them out.
        commits: write into the journal.
        among: the inventory, where that is read already, for some of the runbooks that a command line names.

    Raises:
        UserError: nothing can be run at all.
    """
    from runbook.engine import intake
    from runbook.engine.among import Among
    from runbook.engine.cli import _fleet
    from runbook.engine.language import load

    extra = intake.extra_vars(given["extra"])
    folders = {os.path.dirname(load.locate(path)) for path in given["runbooks"]} if given["inventories"] else set()  # noqa: PTH120
    found = Admitted(among or Among(_fleet.reach(given), folders.pop() if len(folders) == 1 else None))
    outside = found.among.names()
    loaded = []
    for path in given["runbooks"]:
        try:
            loaded.append(intake.load(load.locate(path), extra, outside))
        except RunbookInvalid as invalid:
            found.findings.extend(invalid.findings)
    if found.findings:
        return found
    if among is None:
        _known(given["extra"], {name: value for name, value in extra.items() if name not in outside}, loaded)
    for runbook in loaded:
        _fleet.astray(runbook, given, found.among)
        chosen = found.among.choose(runbook)
        found.hosts[runbook.name] = chosen.names
        found.requests.append(
            _request(
                name,
                runbook,
                given,
                operations=operations,
                commits=commits,
                secrets=extra,
                chosen=chosen,
                hidden=found.among.hidden(),
            )
        )
    return found


def seconds(text: str, where: str) -> float:
    """Return the seconds of a duration.

    Raises:
        UserError: it is none.
    """
    from runbook.engine.language import units

    try:
        return units.duration(text)
    except ValueError as error:
        raise UserError(str(error), where=where) from error


def refuse(findings: Sequence[Finding]) -> None:
    """Show what is wrong in runbooks, as lint does, on stderr."""
    from runbook.engine.language import source
    from runbook.engine.language.lint.formats import text

    texts = {file: source.read(file).text for file in {finding.span.file for finding in findings}}
    click.echo(text.render(findings, texts, colour=sys.stderr.isatty()), err=True)
    click.echo(
        text.totals(findings, len({finding.span.file for finding in findings}), colour=sys.stderr.isatty()), err=True
    )


def _request(
    name: str,
    runbook: Any,
    given: Mapping[str, Any],
    *,
    operations: bool,
    commits: bool,
    secrets: Mapping[str, Any],
    chosen: Chosen,
    hidden: Sequence[str],
) -> Request:
    from runbook.engine.decide.guards import Caps
    from runbook.engine.model import Impact, Mode
    from runbook.engine.recover.state import Settings
    from runbook.engine.start import Request

    unknown = set(given["detectors"]) - {detector.name for detector in runbook.detectors}
    if unknown:
        from runbook.engine.language.nearest import nearest

        wrong = min(unknown)
        near = nearest(wrong, [detector.name for detector in runbook.detectors])
        raise UserError(f"no detector `{wrong}` in {runbook.file}", mend=f"did you mean `{near}`?" if near else "")
    wait = seconds(str(given.get("wait", "2m")), "--wait")
    deadline = seconds(given["deadline"], "--deadline") if given.get("deadline") else None
    caps = Caps(
        Mode(given.get("max_mode", "auto")), Impact(given.get("max_impact", "destructive")), bool(given.get("yes"))
    )
    tags = frozenset(tag for text in given["tags"] for tag in text.split(",") if tag)
    if given["tags"]:
        _tagged(tags, runbook)
    settings = Settings(
        caps,
        bool(given.get("check")),
        bool(given.get("now")),
        tags,
        frozenset(given["detectors"]),
        operations,
        health=name == "check",
    )
    about = (chosen.hosts, chosen.size, chosen.users, deadline, hidden)
    return Request(runbook, name, settings, wait, bool(given["diff"]), commits, given["journal"], secrets, *about)


def _known(words: Sequence[str], extra: Mapping[str, Any], runbooks: Sequence[Any]) -> None:
    """Refuse what -e gives and no runbook has, and secrets that every user of the machine could read."""
    from runbook.engine.language.nearest import nearest

    texts = [Path(file).read_text(encoding="utf-8") for runbook in runbooks for file in _files(runbook)]
    secrets = {name for runbook in runbooks for name in runbook.secrets}
    for name in extra:
        if not any(re.search(rf"\b{re.escape(name)}\b", text) for text in texts):
            near = nearest(name, {known for runbook in runbooks for known in runbook.vars} - set(extra))
            mend = f"did you mean `{near}`?" if near else "it would change nothing"
            raise UserError(f"no runbook has a variable `{name}`", where="-e", mend=mend)
    for word in words:
        name, equals, _ = word.partition("=")
        if equals and not word.startswith("@") and name in secrets:
            mend = "write it into a file that only you can read, and give -e @FILE"
            raise UserError(f"the secret `{name}` can't stand on a command line", where="-e", mend=mend)


def _files(runbook: Any) -> set[str]:
    return {file for file in (runbook.file, *(detector.origin for detector in runbook.detectors)) if file}


def _tagged(tags: frozenset[str], runbook: Any) -> None:
    """Refuse tags that nothing bears: they would leave everything out, and look healthy."""
    from runbook.engine.language.nearest import nearest

    borne = {tag for detector in runbook.detectors for tag in detector.tags}
    borne |= {tag for operation in runbook.operations for tag in operation.step.tags}
    for tag in sorted(tags - borne) or ([] if tags else [""]):
        near = nearest(tag, borne)
        listed = f"there are {', '.join(sorted(borne))}" if borne else "nothing in it has tags"
        raise UserError(f"nothing in {runbook.file} bears the tag `{tag}`", where="--tags",
                        mend=f"did you mean `{near}`?" if near else listed)  # fmt: skip
