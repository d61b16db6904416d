"""What `apply` and `check` share: their options, and from words to a pass."""

from __future__ import annotations

import contextlib
import signal
import sys
from typing import TYPE_CHECKING, Any

import click

from runbook.engine.cli import _admitting
from runbook.engine.cli._people import lasting
from runbook.engine.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runbook.engine.fleet.hosts import Hosts
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


def perform(name: str, given: Mapping[str, Any], *, operations: bool, commits: bool) -> int:
    """Load the runbooks, run one pass of each, report, and return the exit code."""
    from runbook.engine import start
    from runbook.engine.cli import _fleet

    admitted = _admitting.admit(name, given, operations=operations, commits=commits)
    if admitted.findings:
        _admitting.refuse(admitted.findings)
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
