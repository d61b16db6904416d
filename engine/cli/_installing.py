"""What `install` and `uninstall` do: show, ask, write, start; stop, take away."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import click

from runbook.engine.cli import _admitting, _cron, _ending, _showing, _watching
from runbook.engine.errors import UserError
from runbook.engine.report.words import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runbook.engine.install.ground import Watched
    from runbook.engine.install.plan import Asked
    from runbook.engine.install.systemctl import Systemd

WORDS: Final = "runbook.install.words"  # in click's context
_WRITTEN: Final = frozenset({"journal", "log"})  # options that name what a watch writes
SYSTEM, USER = "system", "user"


def words(order: Sequence[click.Parameter], found: Mapping[str, Any], passed: Iterable[str | None]) -> list[Any]:
    """Return the options that a command line gives, as words for the service.

    Args:
        order: the parameters in the order in which they stand.
        found: their values, as they were given.
        passed: the names of those that are passed on.
    """
    from runbook.engine.install.words import Word

    names, said = set(passed), []
    for parameter in dict.fromkeys(order):
        if parameter.name not in names or not isinstance(parameter, click.Option):
            continue
        flag = max(parameter.opts, key=len)
        value = found[parameter.name or ""]
        writes, kind = parameter.name in _WRITTEN, parameter.metavar or ""
        if parameter.is_flag:
            said.append(Word(flag))
        elif parameter.count:
            said += [Word(flag)] * value
        else:
            given = value if isinstance(value, list | tuple) else [value]
            said += [Word(flag, str(each), kind, writes) for each in given]
    return said


def install(ctx: click.Context, given: Mapping[str, Any]) -> int:
    """Write a unit, or a line for cron, and start what it says."""
    from runbook.engine.install import plan
    from runbook.engine.install.systemctl import Systemd

    system = given["scope"] != USER if given["scope"] else os.geteuid() == 0
    systemd = Systemd(system=system)
    version = 0 if given["cron"] else systemd.version(running=not given["check"])
    asked = _asked(ctx, given, version)
    for word in asked.words:
        if (word.value or "").endswith("@prompt"):
            mend = "name a file that only you can read: --vault-password-file FILE"
            raise UserError("a service has nobody to ask for a password", where=f"{word.flag} {word.value}", mend=mend)
    watched = _watched(given, asked, system=system)
    if watched is None:
        return 1
    problems = list(plan.problems(asked, watched))
    for problem in problems:
        click.echo(_ending.message(problem), err=True)
    if problems:
        return 1
    if given["cron"]:
        return _cron.install(given, asked, watched)
    return _unit(given, asked, watched, systemd)


def _asked(ctx: click.Context, given: Mapping[str, Any], version: int) -> Asked:
    from runbook.engine.install import words as command
    from runbook.engine.install.plan import Asked
    from runbook.engine.language import use

    return Asked(
        given["called"],
        tuple(command.argument(name, use.bundled()) for name in given["runbooks"]),
        tuple(ctx.meta[WORDS]),
        given["journal"],
        os.path.abspath(given["env_file"]) if given["env_file"] else "",  # noqa: PTH100
        _admitting.seconds(given["grace"], "--grace"),
        version,
        given["cron"],
    )


def _watched(given: Mapping[str, Any], asked: Asked, *, system: bool) -> Watched | None:
    """Return what is to be watched, once it lints; None where it does not, which is shown."""
    from runbook.engine import configuration
    from runbook.engine.install import plan, words
    from runbook.engine.install.ground import Watched

    words_of_watch = {
        **given,
        "runbooks": _watching.files(given["runbooks"]),
        "diff": False,
        "check": False,
        "yes": False,
    }
    admitted = _admitting.admit("watch", words_of_watch, operations=True, commits=True)
    if admitted.findings:
        _admitting.refuse(admitted.findings)
        return None
    reads = words.paths(asked.words, written=False)
    named = [*given["inventories"], *given["vault_files"], *(each.rpartition("@")[2] for each in given["vault_ids"])]
    programs = [path for path in named if os.path.isfile(path) and os.access(path, os.X_OK)]  # noqa: PTH113
    return Watched(
        tuple(admitted.requests),
        tuple(dict.fromkeys([*words.code(), *asked.arguments, *reads])),
        plan.written(asked, system=system),
        tuple(programs),
        tuple(map(os.path.abspath, configuration.read().files)),
        system,
    )


def _unit(given: Mapping[str, Any], asked: Asked, watched: Watched, systemd: Systemd) -> int:
    from runbook.engine.install import plan, unit, units

    service = plan.service(asked, watched)
    text = unit.text(service)
    before = units.before(systemd, service.name)
    _showing.shown(f"{systemd.folder}/{service.name}.service", text, before)
    for note in _notes(asked, watched, service.environment or {}, systemd):
        click.echo(f"note: {printable(note)}")
    if given["check"]:
        return 0
    _showing.agreed("Write and start it?" if text != before else "Start it anew?", yes=given["yes"])
    units.write(systemd, service.name, text)
    units.start(systemd, service.name)
    scope = " --user" if systemd.scope else ""
    click.echo(
        f"{service.name} watches; log: journalctl{scope} -fu {service.name}; state: `runbook status`; "
        f"away with it: runbook uninstall {service.name}"
    )
    return 0


def _notes(asked: Asked, watched: Watched, environment: Mapping[str, str], systemd: Systemd) -> Iterable[str]:
    """Yield what is worth knowing beforehand."""
    from runbook.engine.install import ground, refusals, words
    from runbook.engine.install.sandbox import beneath
    from runbook.engine.install.systemctl import lingers

    known = refusals.variables(asked.environment_file) if asked.environment_file else ()
    left = words.left(environment, known)
    if left:
        yield f"the service does not have {', '.join(left)} of this shell; --env-file FILE gives it variables"
    for path in refusals.sources(each.runbook for each in watched.requests):
        if any(beneath(path, top) for top in ground.TMPS):
            yield f"{path} lies in /tmp: it will be gone some day, and the watch with it"
    for each in watched.requests:
        if not each.hosts:  # hosts of an inventory have programs of their own
            yield from refusals.lacking(each.runbook, environment.get("PATH", words.PATH))
    if not systemd.system and not lingers():
        yield "your systemd ends when you log out; `loginctl enable-linger` keeps it running"


def listing() -> list[tuple[str, str, str, str]]:
    """Return what is installed: name, what it is, how it does, what it watches."""
    from runbook.engine.install import units
    from runbook.engine.install.systemctl import Systemd

    found = []
    for system in (True, False):
        systemd = Systemd(system=system)
        for each in units.installed(systemd):
            state = systemd.show(f"{each.name}.service", "ActiveState").get("ActiveState", "") or "not known"
            said = f"{state}, changed by hand" if each.changed else state
            found.append((each.name, f"{SYSTEM if system else USER} unit", said, ", ".join(each.runbooks)))
    for name, block, place in _cron.installed():
        found.append(
            (
                name,
                "cron",
                f"{place.shown}, changed by hand" if block.changed else place.shown,
                ", ".join(block.about.get("runbooks", ())),
            )
        )
    return found


def show() -> int:
    """Print what is installed."""
    rows = listing()
    if not rows:
        click.echo("nothing is installed; `runbook install RUNBOOK` does it")
        return 0
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        cells = [row[column].ljust(widths[column]) for column in range(3)]
        click.echo(printable("  ".join([*cells, row[3]]).rstrip()))
    return 0
