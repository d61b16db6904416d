"""`runbook run`: one step, ad hoc."""

from __future__ import annotations

import contextlib
import os
import shlex
from typing import Any

import click

from runbook.engine.cli import _fleet, _names
from runbook.engine.cli import _options as options


@click.command("run", short_help="Carry out one step, ad hoc.", context_settings={"ignore_unknown_options": True})
@click.argument("module", metavar="STEP", shell_complete=_names.steps)
@click.argument("words", nargs=-1, metavar="[NAME=VALUE]...")
@_fleet.hosts
@click.option("--check", is_flag=True, help="Change nothing; say what would be done.")
@click.option("--diff", is_flag=True, help="Show the changes to files as unified diffs.")
@click.option("--writable", multiple=True, metavar="DIR", help="A tree in which it may write and delete.")
@click.option("--timeout", metavar="DURATION", help="How long it may take.")
@options.output
@options.module_path
def command(**given: Any) -> int:
    """Carry out one step, here or on the hosts of an inventory, journalled and guarded as in a runbook.

    \b
    Examples:
      runbook run restart_daemon unit=vllm
      runbook run clear_cache path=/data/cache older_than=7d --writable /data/cache --check
      runbook run command -i inventory.yaml -l 'gpu:!maintenance' -b -- systemctl daemon-reload
      runbook run command -i inventory.yaml -l gpu -- du -sh '{{ data }}/cache'

    With -i, `{{ … }}` is filled in with each host's variables.

    \b
    Exit codes: 0 done, 1 usage, 2 it failed, 4 a host could not be reached.
    """
    from runbook.engine import start
    from runbook.engine.among import Among
    from runbook.engine.cli import _arguments
    from runbook.engine.errors import UserError
    from runbook.engine.language import units
    from runbook.engine.model import Operation, Runbook, StepCall
    from runbook.engine.recover.state import Settings

    module = str(given["module"])
    cls = _arguments.step(module)
    try:
        timeout = units.duration(str(given["timeout"])) if given["timeout"] else None
    except ValueError as error:
        raise UserError(str(error), where="--timeout") from error
    params = _arguments.parameters(cls, given["words"], templates=bool(given["inventories"]))
    writable = tuple(os.path.abspath(tree) for tree in given["writable"])  # noqa: PTH100 -- links stay as they are
    lacking = next((str(params[name]) for name in cls.writes if params.get(name)), "")
    if lacking and not writable:
        mend = f"name the tree in which it may: --writable {shlex.quote(lacking)}"
        raise UserError(f"{module} writes to {lacking}, and nothing is writable", mend=mend)
    call = StepCall(module, params, (), timeout=timeout)
    operation = Operation(module, call, (), timeout=timeout)
    if given["inventories"] and not given["limits"]:
        raise UserError("say on which hosts", where="-l", mend="`-l all` is all of them, `-l localhost` this machine")
    hosts = "all" if given["inventories"] and tuple(given["limits"]) != ("localhost",) else "localhost"
    runbook = Runbook("run", "", hosts=hosts, writable=writable, operations=(operation,))
    among = Among(_fleet.reach(given))
    chosen = among.choose(runbook)
    if given["list_hosts"]:
        click.echo(_fleet.listed({module: chosen.names}))
        return 0
    check = bool(given["check"])
    request = start.Request(
        runbook,
        "run",
        Settings(check=check),
        diff=bool(given["diff"]),
        commits=not check,
        journal=given["journal"],
        hosts=chosen.hosts,
        size=chosen.size,
        users=chosen.users,
        hidden=among.hidden(),
    )
    verbosity = -1 if given["quiet"] else 1 + int(given["verbose"])
    with among.fleet() as fleet:
        session = start.Session(request, connect=lambda: contextlib.nullcontext(fleet))
        return options.conduct([session], str(given["form"]), verbosity, log_dir=given["log_dir"])
