"""`runbook watch`: the same for ever."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runbook.engine.cli import _admitting, _fleet, _names, _watching
from runbook.engine.cli import _options as options
from runbook.engine.errors import UserError
from runbook.engine.model import Impact, Mode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runbook.engine.start import Request
    from runbook.engine.watching.roster import Loaded


@click.command("watch", short_help="For ever: look on a schedule and when something happens, and heal.")
@click.argument("runbooks", nargs=-1, required=True, metavar="RUNBOOK|DIR...", shell_complete=_names.runbooks)
@options.values
@options.signatures
@_fleet.hosts
@options.selection
@click.option("--once", is_flag=True, help="One pass, as `apply` makes it, for cron.")
@click.option("--max-duration", metavar="DURATION", help="End in good order after this long.")
@click.option("--until-done", is_flag=True, help="End when all that is looked at has ended, such as Slurm jobs.")
@click.option("--show-job-counts", "counts", is_flag=True,
              help="Say how many jobs are completed, running, pending, failed, blocked when it changes.")  # fmt: skip
@click.option("--every", metavar="DURATION", help="Look so often, whatever the runbooks say.")
@click.option("--grace", default="30s", metavar="DURATION", show_default=True,
              help="When it is told to stop, how long steps that are begun may take.")  # fmt: skip
@click.option("--jitter", metavar="DURATION",
              help="How much later looks may be; default a tenth of `every`, at most 5s.")  # fmt: skip
@click.option("--shard", default="", metavar="K/N", help="Watch the K-th of N parts of the hosts.")
@click.option("--max-mode", type=click.Choice([mode.value for mode in Mode]), default=Mode.AUTO.value,
              help="Do at most this by itself.")  # fmt: skip
@click.option("--max-impact", type=click.Choice([impact.value for impact in Impact]),
              default=Impact.DESTRUCTIVE.value, help="Take no step of more impact.")  # fmt: skip
@click.option("--metrics", metavar="[HOST:]PORT", help="Serve Prometheus' metrics there; HOST is 127.0.0.1.")
@click.option("--alerts", metavar="[HOST:]PORT", help="Hear Alertmanager's webhooks there, for `alert` detectors.")
@click.option("--log", metavar="FILE", help="Write there and not to stdout; opened anew when it was rotated.")
@click.option("--format", "form", type=click.Choice(["text", "jsonl"]), default="text", show_default=True,
              help="text for people; jsonl a JSON object a line.")  # fmt: skip
@click.option("--journal", metavar="FILE", help="The journal; default $RUNBOOK_JOURNAL, /var/lib/runbook or yours.")
@options.retain
@click.option("-v", "--verbose", count=True, help="Say more; -vv shows tracebacks.")
@click.option("-q", "--quiet", is_flag=True, help="Say only what is wrong.")
@options.module_path
def command(**given: Any) -> int:
    """Look at hosts for ever, as often as `every` says and when something happens; recover, verify, tell.

    RUNBOOK is a path, the name of a bundled one, or a directory of them. What changes is read anew, as on SIGHUP;
    SIGTERM and Ctrl-C end it in good order.

    \b
    Exit codes: 0 stopped with everything well, 1 usage or an invalid runbook, 3 only waiting,
    2 stopped while a fault was left, 4 another watch took over.
    """
    for option, name in (("--until-done", "until_done"), ("--show-job-counts", "counts"), ("--every", "every")):
        if given["once"] and given[name]:
            raise UserError("one pass is all that --once makes", where=option, mend="leave one of the two out")
    if given["once"]:
        shown = {**given, "runbooks": _watching.files(given["runbooks"]), "log_dir": None, "diff": False}
        return options.perform("watch", shown, operations=True, commits=True)
    return _watch({**given, "diff": False})


def _watch(given: Mapping[str, Any]) -> int:
    from runbook.engine.watching.watch import Hidden, Options, Watch

    if given["list_hosts"]:
        admitted = _admitting.admit(
            "watch", {**given, "runbooks": _watching.files(given["runbooks"])}, operations=True, commits=True
        )
        click.echo(_fleet.listed(admitted.hosts))
        return 0
    shard = _shard(given["shard"])
    if shard is not None and not given["inventories"]:
        raise UserError("a part of the hosts needs an inventory", where="--shard", mend="give one: -i inventory.yaml")
    chosen = Options(
        grace=_admitting.seconds(given["grace"], "--grace"),
        longest=None if given["max_duration"] is None else _admitting.seconds(given["max_duration"], "--max-duration"),
        jitter=None if given["jitter"] is None else _admitting.seconds(given["jitter"], "--jitter"),
        shard=given["shard"],
        stop=_watching.stop_command(),
        telling=_watching.telling(given),
    )

    def load(before: Loaded | None) -> Loaded:
        return _load(given, shard, before)

    hidden = Hidden()
    with (
        _watching.log(given, hidden) as log,
        _watching.measuring(given["metrics"], given["journal"]) as metrics,
        _watching.forgetting(given["journal"], given["retain"]) as forget,
    ):
        watch = Watch(
            load,
            chosen,
            log,
            observers=[] if metrics is None else [metrics.observer],
            gauges=metrics,
            alerts=_watching.alerts(given["alerts"]),
            hidden=hidden,
            forget=forget,
        )
        return watch.go()


def _load(given: Mapping[str, Any], shard: Callable[[str], bool] | None, before: Loaded | None) -> Loaded:
    """Read everything anew; at the start, where nothing was before, whatever is wrong ends the command."""
    from runbook.engine import intake, start
    from runbook.engine.among import Among
    from runbook.engine.install.outgrown import outgrown
    from runbook.engine.language import load
    from runbook.engine.watching.reloading import of_inventory
    from runbook.engine.watching.roster import Loaded

    files = _watching.files(given["runbooks"])
    if before is None:
        admitted = _admitting.admit("watch", {**given, "runbooks": files}, operations=True, commits=True)
        if admitted.findings:
            _admitting.refuse(admitted.findings)
            raise SystemExit(1)
        _fleet.warn(admitted.among)
        among = admitted.among
    else:
        folders = {os.path.dirname(load.locate(path)) for path in files} if given["inventories"] else set()  # noqa: PTH120
        among = Among(_fleet.reach(given), folders.pop() if len(folders) == 1 else None)
    found = Loaded(among)
    names: dict[str, str] = {}
    for path in sorted(files, key=lambda path: before is not None and path not in before.requests):
        try:
            alone = {**given, "runbooks": [path]}
            admitted = _admitting.admit("watch", alone, operations=True, commits=True, among=among)
            if admitted.findings:
                first = admitted.findings[0]
                raise UserError(first.message, where=str(first.span), mend=first.hint or "")  # noqa: TRY301
            (request,) = admitted.requests
            intake.secrets_of(request.runbook, request.secrets)  # what can't be read is told now, and not by each run
            start.channels_of(request.runbook)
            if request.runbook.name in names:
                what = f"`{request.runbook.name}` is the name of {names[request.runbook.name]}, too"
                raise UserError(what, where=path, mend="a journal knows a runbook by its name: rename one")  # noqa: TRY301
        except (UserError, OSError) as error:
            found.problems[path] = error.line if isinstance(error, UserError) else str(error)
            continue
        names[request.runbook.name] = path
        request = _watching.adjusted(_part(request, shard), given)
        if shard is not None and not request.hosts:
            continue  # none of its hosts is in this part
        found.requests[path] = request
        found.digests[path] = _digest(request)
    if before is None:
        _watching.ends(found.requests.values(), given)
    sources = [each for source in given["inventories"] for each in of_inventory(source)]
    origins = [file for request in found.requests.values() for file in _origins(request)]
    unit = _watching.unit()
    said = outgrown(list(found.requests.values()), unit) if unit else ""
    found.warnings = [*_watching.exposed(origins), *([said] if said else [])]
    found.files = tuple(dict.fromkeys([*given["runbooks"], *files, *origins, *sources]))
    return found


def _part(request: Request, shard: Callable[[str], bool] | None) -> Request:
    from dataclasses import replace

    if shard is None:
        return request
    return replace(request, hosts=tuple(host for host in request.hosts if shard(host.name)))


def _origins(request: Request) -> list[str]:
    files = (request.runbook.file, *(detector.origin for detector in request.runbook.detectors))
    return [file for file in files if file]


def _digest(request: Request) -> str:
    """Return what is another where a runbook, or what an inventory says of its hosts, is another."""
    found = hashlib.sha256()
    for file in dict.fromkeys(_origins(request)):
        found.update(Path(file).read_bytes())
    for host in request.hosts:
        found.update(repr((host.name, sorted(host.groups), sorted(host.written.items()))).encode())
    found.update(repr((request.size, sorted(request.users.items()))).encode())
    return found.hexdigest()


def _shard(text: str) -> Callable[[str], bool] | None:
    """Return which hosts belong to a part, by their names alone."""
    if not text:
        return None
    part, slash, parts = text.partition("/")
    if not slash or not part.isdigit() or not parts.isdigit() or not 1 <= int(part) <= int(parts):
        raise UserError(f"`{text}` is no part", where="--shard", mend="write 1/3 for the first of three")

    def ours(name: str) -> bool:
        number = int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:8], "big")
        return number % int(parts) == int(part) - 1

    return ours
