"""What is given to a run: a runbook that lints, variables, secrets."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook.engine.errors import RenderError, RunbookInvalid, UserError
from runbook.engine.language import expression, lint, render, source
from runbook.engine.language import load as loading
from runbook.engine.language.signature_files import is_signatures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runbook.engine.model import Runbook


def load(path: Path, extra: Mapping[str, Any], outside: frozenset[str] = frozenset()) -> Runbook:
    """Load a runbook and lint it; `outside` are the names that an inventory defines.

    Raises:
        RunbookInvalid: it does not load, or has findings that are errors.
    """
    examined = loading.examine(path, extra_vars=extra)
    errors = [finding for finding in lint.check(examined, outside) if finding.level == "error"]
    if is_signatures(examined.source.data):
        mend = "name its entries in a runbook, as in `log: {signatures: [cuda.*]}`; `runbook lint` checks the file"
        raise UserError("this is a file of signatures, not a runbook", where=str(path), mend=mend)
    if errors or examined.runbook is None:
        raise RunbookInvalid(errors)
    return _named(examined.runbook)


def _named(runbook: Runbook) -> Runbook:
    """Fill the vars into a runbook's name: what one deployment did is not the other's, in the journal and for guards.

    Raises:
        UserError: it is made of something else than vars, or is no name.
    """
    if "{{" not in runbook.name:
        return runbook
    where = f"{runbook.file}: name"
    try:
        template = expression.parse(runbook.name, template=True)
        unknown = template.names - runbook.vars.keys()
        if unknown:
            what = f"`name: {runbook.name}` is made of {', '.join(sorted(unknown))}, and only vars are known here"
            raise UserError(what, where=where, mend="use a var, or none")
        name = " ".join(str(template.evaluate(render.Scope(runbook))).split())
    except (RenderError, ValueError) as error:
        raise UserError(f"`name: {runbook.name}`: {error}", where=where) from error
    if not name or not name.isprintable():
        raise UserError(f"`name: {runbook.name}` comes to {name!r}, which is no name", where=where)
    return replace(runbook, name=name)


def extra_vars(words: Sequence[str]) -> dict[str, Any]:
    """Return the variables of -e: NAME=VALUE, or a YAML file of them behind @.

    Raises:
        UserError: a word is neither, or the file holds something else.
    """
    found: dict[str, Any] = {}
    for word in words:
        if word.startswith("@"):
            read = source.read(word[1:])
            if read.problems:
                raise RunbookInvalid(read.problems)
            if not isinstance(read.data, dict):
                raise UserError("expected a mapping of variables", where=word[1:], mend="write NAME: VALUE lines")
            found.update(read.data)
            continue
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            raise UserError(f"`{word}` sets no variable", where="-e", mend="write NAME=VALUE, or @FILE")
        parsed = source.parse(value, "-e").data if value else ""
        found[name] = value if parsed is None else parsed
    return found


def secrets_of(runbook: Runbook, given: Mapping[str, Any]) -> dict[str, str]:
    """Return a runbook's secrets by name: those that are given, the others from where the runbook says.

    Raises:
        UserError: some can't be read; all of them are named.
    """
    found, problems = {}, []
    for name, secret in runbook.secrets.items():
        try:
            found[name] = str(given[name]) if name in given else _secret(secret)
        except UserError as error:
            problems.append(error)
    if len(problems) > 1:
        what = "; ".join(f"{problem.where}: {problem.what}" for problem in problems)
        mends = [problem.mend for problem in problems if problem.mend]
        raise UserError(what, where=f"{len(problems)} secrets are missing", mend="; ".join(mends))
    if problems:
        raise problems[0]
    return found


def _secret(secret: Any) -> str:
    """Read a secret from where the runbook says."""
    where = f"secrets.{secret.name}"
    if secret.env is not None:
        value = os.environ.get(secret.env)
        if not value:
            raise UserError(f"the environment has no {secret.env}", where=where, mend=f"export {secret.env}=…")
        return value
    if secret.keyring is not None:
        from runbook.engine import keyring

        return keyring.read(secret.keyring, where)
    try:
        value = Path(secret.file).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"can't be read from {secret.file}: {error}", where=where) from error
    if not value:
        raise UserError(f"{secret.file} is empty", where=where)
    return value
