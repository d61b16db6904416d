"""The configuration's defaults for options: `[defaults]` for every command that has them, `[defaults.apply]` for one.

An option's own word on the command line goes before them, and so does `$RUNBOOK_JOURNAL`.
"""

from __future__ import annotations

import os
from typing import Any

import click

from runbook.engine.errors import UserError


def of(command: click.Command, name: str, every: click.Group, ctx: click.Context) -> dict[str, Any]:
    """Return the values of a command's options by the names of its parameters.

    Raises:
        UserError: the configuration names an option that the command, or every command, lacks, or gives one a value
            that it can't have.
    """
    from runbook.engine import configuration

    found = configuration.read()
    if not found.defaults:
        return {}
    own = _options(command)
    values: dict[str, Any] = {}
    for key, value in found.defaults.items():
        if isinstance(value, dict):
            if key not in every.list_commands(ctx):
                raise _unknown(f"there is no command `{key}`", key, every.list_commands(ctx), found.files)
        elif key in own:
            values[own[key]] = _fitting(command, own[key], value, f"{' or '.join(found.files)}: [defaults] {key}", ctx)
        elif not _anywhere(key, every, ctx):
            raise _unknown(f"no command has an option `--{key}`", key, own, found.files)
    mine = found.defaults.get(name)
    for key, value in (mine if isinstance(mine, dict) else {}).items():
        if key not in own:
            raise _unknown(f"`runbook {name}` has no option `--{key}`", key, own, found.files)
        values[own[key]] = _fitting(
            command, own[key], value, f"{' or '.join(found.files)}: [defaults.{name}] {key}", ctx
        )
    if os.environ.get("RUNBOOK_JOURNAL"):
        values.pop("journal", None)
    return values


def _fitting(command: click.Command, name: str, value: Any, where: str, ctx: click.Context) -> Any:
    """Return a value that its option can have; click would blame the command line for another."""
    parameter = next(each for each in command.params if each.name == name)
    if parameter.multiple and isinstance(value, str):
        value = [value]  # one of an option that may be given several times
    try:
        parameter.type_cast_value(ctx, value)
    except click.BadParameter as error:
        from runbook.engine.language.nearest import nearest

        near = nearest(str(value), parameter.type.choices) if isinstance(parameter.type, click.Choice) else None
        mend = f'did you mean "{near}"?' if near else f"`runbook {command.name} --help` tells what it takes"
        what = error.message.rstrip(".").replace("is not a valid integer range", "is not a whole number")
        raise UserError(what, where=where, mend=mend) from error
    return value


def _options(command: click.Command) -> dict[str, str]:
    """Return a command's long options without their dashes, and the parameter behind each."""
    return {
        word.removeprefix("--"): str(parameter.name)
        for parameter in command.params
        for word in parameter.opts
        if word.startswith("--")
    }


def _anywhere(key: str, every: click.Group, ctx: click.Context) -> bool:
    commands = (every.get_command(ctx, each) for each in every.list_commands(ctx))
    return any(key in _options(each) for each in commands if each is not None)


def _unknown(what: str, key: str, known: Any, files: tuple[str, ...]) -> UserError:
    from runbook.engine.language.nearest import nearest

    near = nearest(key, known)
    mend = f"did you mean `{near}`?" if near else "see `runbook COMMAND --help` for what there is"
    return UserError(what, where=f"{' or '.join(files)}: [defaults]", mend=mend)
