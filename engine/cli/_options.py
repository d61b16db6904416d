"""What `apply` and `check` share: their options, and from words to a pass."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runbook.engine.cli._people import lasting
from runbook.engine.errors import RunbookInvalid, UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runbook.engine.among import Among, Chosen
    from runbook.engine.fleet.hosts import Hosts
    from runbook.engine.model import Finding
    from runbook.engine.start import Request, Session

Command = Any  # a click callback
STOPPED = 130  # the exit code


def values(wrapped: Command) -> Command:
    """Add -e."""
    return click.option(
        "-e",
        "--extra-vars",
        "extra",
        multiple=True,
        metavar="NAME=VALUE|@FILE",
        help="Set a variable, or those of a YAML file; secrets only by @FILE.",
    )(wrapped)


def signatures(wrapped: Command) -> Command:
    """Add --signatures, for whatever of this process asks the catalogue."""

    def read(_context: click.Context, _option: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
        from runbook.engine.language import signature_files

        if names:
            signature_files.also(names)
        return names

    return click.option(
        "--signatures",
        multiple=True,
        metavar="FILE|DIR",
        expose_value=False,
        callback=read,
        help="More signatures, over those that there are.",
    )(wrapped)


def module_path(wrapped: Command) -> Command:
    """Add --module-path, for whatever of this process loads a runbook or names a module."""

    def take(_context: click.Context, _option: click.Parameter, folders: tuple[str, ...]) -> tuple[str, ...]:
        if folders:
            from runbook.engine.language.own import enlist

            enlist.also(folders)
        return folders

    return click.option(
        "--module-path",
        multiple=True,
        metavar="DIR",
        expose_value=False,
        is_eager=True,
        callback=take,
        help="Steps and probes of your own, beside those of ./runbook_modules. Repeatable.",
    )(wrapped)


def selection(wrapped: Command) -> Command:
    """Add -t and --detector."""
    tagged = click.option("-t", "--tags", multiple=True, metavar="TAG[,TAG]", help="Only what bears one of these tags.")
    named = click.option("--detector", "detectors", multiple=True, metavar="NAME", help="Only these detectors.")
    return tagged(named(wrapped))


def retain(wrapped: Command) -> Command:
    """Add --retain."""
    return lasting("Afterwards forget what the journal has from before, but for what is open.", "--retain", "retain")(
        wrapped
    )


def output(wrapped: Command) -> Command:
    """Add --format, --journal, --log-dir, -v and -q."""
    for option in (
        click.option(
            "--format",
            "form",
            type=click.Choice(["text", "json", "jsonl"]),
            default="text",
            show_default=True,
            help="text for people; json one document; jsonl events as they happen.",
        ),
        click.option(
            "--journal", metavar="FILE", help="The journal; default $RUNBOOK_JOURNAL, /var/lib/runbook or yours."
        ),
        click.option("--log-dir", metavar="DIR", help="Also write a file for each host, with everything about it."),
        click.option("-v", "--verbose", count=True, help="Say more, of every host; -vv shows tracebacks."),
        click.option("-q", "--quiet", is_flag=True, help="Say only what is wrong."),
    ):
        wrapped = option(wrapped)
    return wrapped


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


def perform(name: str, given: Mapping[str, Any], *, operations: bool, commits: bool) -> int:
    """Load the runbooks, run one pass of each, report, and return the exit code."""
    from runbook.engine import start
    from runbook.engine.cli import _fleet

    admitted = admit(name, given, operations=operations, commits=commits)
    if admitted.findings:
        refuse(admitted.findings)
        return 1
    _fleet.warn(admitted.among)
    if given["list_hosts"]:
        click.echo(_fleet.listed(admitted.hosts))
        return 0
    verbosity = -1 if given["quiet"] else given["verbose"]
    with admitted.among.fleet() as hosts:
        if given.get("yes") and commits:
            _foresee([request for request in admitted.requests if len(request.hosts) > 1], hosts)
        sessions = [
            start.Session(request, connect=lambda: contextlib.nullcontext(hosts)) for request in admitted.requests
        ]
        code = conduct(sessions, given["form"], verbosity, health=name == "check", log_dir=given["log_dir"])
    if commits and given.get("retain") is not None and code != STOPPED:
        from runbook.engine.cli.export import forget

        said = forget(given["journal"], given["retain"])
        if said and verbosity >= 0:
            click.echo(said, err=True)
    return code


def conduct(
    sessions: Sequence[Session], form: str, verbosity: int, *, health: bool = False, log_dir: str | None = None
) -> int:
    """Run sessions one after the other, report, and return the exit code."""
    from runbook.engine import start
    from runbook.engine.report.reporter import leave, reporter

    redact = start.redactor(sessions)
    told = reporter(form, sys.stdout, verbosity=verbosity, health=health, redact=redact, log_dir=log_dir)  # type: ignore[arg-type]
    stopped = False
    for session in sessions:
        try:
            with interruptible(session.interrupt):
                stopped = session.run(told) or stopped
        except (KeyboardInterrupt, UserError) as error:
            leave()
            with contextlib.suppress(UserError):  # the journal itself may be what went wrong
                session.close(getattr(error, "exit_code", STOPPED))
            raise
        if stopped:
            break
    report = told.finish(stopped=stopped)
    for session in sessions:
        session.close(report.exit_code)
    return report.exit_code


def _foresee(requests: Sequence[Request], hosts: Hosts) -> None:
    """Say what --yes is about to allow on a fleet: by a pass that changes nothing."""
    from dataclasses import replace

    from runbook.engine import start
    from runbook.engine.calling import Listeners
    from runbook.engine.report import foreseen
    from runbook.engine.report.gather import Gather
    from runbook.engine.report.paint import paint_for

    for request in requests:
        caps = replace(request.settings.caps, approved=False)
        settings = replace(request.settings, caps=caps, check=True, operations=False)
        unqueued = replace(request.runbook, max_unavailable=None)  # what queues is allowed, too
        trial = replace(request, runbook=unqueued, command="check", settings=settings, commits=False)
        session = start.Session(trial, connect=lambda: contextlib.nullcontext(hosts))
        gather = Gather(start.redactor([session]))
        try:
            with interruptible(session.interrupt):
                stopped = session.run(Listeners([gather.add]))
        finally:
            session.close(0)
        if stopped:
            raise KeyboardInterrupt
        for line in foreseen.lines(paint_for(sys.stderr), gather.report()):
            click.echo(line, err=True)


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


class interruptible:  # noqa: N801 -- reads as a word: with interruptible(…)
    """Ctrl-C and TERM begin nothing new; a second one ends at once."""

    def __init__(self, interrupt: Callable[[], int]) -> None:
        self._interrupt = interrupt
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._stop)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _stop(self, number: int, frame: object) -> None:
        del number, frame
        if self._interrupt() > 1:
            raise KeyboardInterrupt
        below = "\n" if sys.stderr.isatty() else ""  # not behind the clock of the step in hand
        click.echo(f"{below}stopping: what is begun is awaited (again: end at once)", err=True)
