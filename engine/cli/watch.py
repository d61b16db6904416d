"""`runbook watch`: the same for ever."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from runbook.engine.cli import _admitting, _fleet, _names, _reading, _watching
from runbook.engine.cli import _options as options
from runbook.engine.errors import UserError
from runbook.engine.model import Impact, Mode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


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
    from runbook.engine.watching.audience import Hidden
    from runbook.engine.watching.watch import Options, Watch

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

    hidden = Hidden()
    with (
        _watching.log(given, hidden) as log,
        _watching.measuring(given["metrics"], given["journal"]) as metrics,
        _watching.forgetting(given["journal"], given["retain"]) as forget,
    ):
        watch = Watch(
            partial(_reading.load, given, shard),
            chosen,
            log,
            gather=partial(_reading.gather, given),
            observers=[] if metrics is None else [metrics.observer],
            gauges=metrics,
            alerts=_watching.alerts(given["alerts"]),
            hidden=hidden,
            forget=forget,
        )
        return watch.go()


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
