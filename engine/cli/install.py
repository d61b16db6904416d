"""`runbook install`: a watch that the machine itself starts, and starts again."""

from __future__ import annotations

from typing import Any, Final

import click

from runbook.engine.cli import _installing, watch
from runbook.engine.errors import UserError

_LEFT_OUT: Final = frozenset({"runbooks", "once", "max_duration", "list_hosts", "ask_become_pass", "ask_vault_pass"})


class _Passing(click.Command):
    """Takes its own options, and those of `runbook watch`, which the service is given."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the words that are passed on as they were given; what the service has configured counts, too."""
        from runbook.engine.cli import _commands, _defaults

        configured = _defaults.of(watch.command, "watch", _commands.runbook, ctx)
        named = {parameter.name for parameter in _PASSED}
        ctx.default_map = {
            **{name: configured[name] for name in configured if name in named},
            **(ctx.default_map or {}),
        }
        found, _, order = self.make_parser(ctx).parse_args(list(args))
        ctx.meta[_installing.WORDS] = _installing.words(order, found, named)
        return super().parse_args(ctx, args)


_PASSED: Final = [parameter for parameter in watch.command.params if parameter.name not in _LEFT_OUT]


@click.command("install", cls=_Passing, short_help="Write the systemd unit, or cron line, of a watch.")
@click.argument("runbooks", nargs=-1, metavar="RUNBOOK|DIR...")
@click.option("--scope", type=click.Choice(["system", "user"]),
              help="Under the machine's systemd, the default of root, or your own.")  # fmt: skip
@click.option("--name", "called", default="", metavar="NAME", help="Call it so; default runbook-NAME of the runbook.")
@click.option("--cron", is_flag=True, help="A line for cron instead, which runs `runbook watch --once`.")
@click.option("--schedule", default="", metavar="'*/5 * * * *'", help="With --cron: when; default as `every` says.")
@click.option("--mailto", default="", metavar="ADDRESS", help="With --cron: who gets its output; default a file.")
@click.option("--env-file", default="", metavar="FILE", help="Variables that the unit is given: an EnvironmentFile.")
@click.option("--check", is_flag=True, help="Only show what would be written.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--list", "listed", is_flag=True, help="Only show what is installed.")
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> int:
    """Watch runbooks from now on and after every boot: write a hardened systemd unit and start it.

    It shows what it will write, and asks. Every option of `runbook watch` is passed on. The unit keeps from the
    runbook's steps what they do not need; `runbook uninstall` takes exactly that away again.

    \b
    Example:
      runbook install serving.yaml
      runbook install llm-deploy -i inventory.yaml --metrics 9464
      runbook install serving.yaml --cron --schedule '*/5 * * * *'
    """
    if given["listed"]:
        return _installing.show()
    if not given["runbooks"]:
        raise click.UsageError("Missing argument 'RUNBOOK|DIR...'", ctx)
    if (given["schedule"] or given["mailto"]) and not given["cron"]:
        raise UserError("--schedule and --mailto are for --cron", mend="a unit looks as often as `every` says")
    if given["env_file"] and given["cron"]:
        raise UserError("--env-file is for a unit", mend="read secrets from files: `secrets: {NAME: {file: …}}`")
    return _installing.install(ctx, given)


command.params += [parameter for parameter in _PASSED if isinstance(parameter, click.Option)]
