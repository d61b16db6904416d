"""An inventory that a program prints: `--list`, and `--host NAME` where it has no `_meta`."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from runbook.engine.errors import UserError
from runbook.engine.inventory import program, yaml11
from runbook.engine.inventory.texts import Unsafe

if TYPE_CHECKING:
    from runbook.engine.inventory.draft import Draft

_SECTIONS = ("hosts", "vars", "children")


def fill(draft: Draft, path: str, patience: float) -> None:
    """Add what a program says.

    Args:
        draft: takes it.
        path: the program's, absolute.
        patience: seconds for all its runs together.

    Raises:
        NoProgram: it can't be executed at all.
        UserError: it fails, takes too long, or prints something else than an inventory.
    """
    deadline = time.monotonic() + patience
    listed = _asked(draft, [path, "--list"], deadline, patience)
    where = f"{path} --list"
    hosts: dict[str, None] = {}
    try:
        for name, data in listed.items():
            if name != "_meta":
                hosts.update(dict.fromkeys(_group(draft, name, data)))
        known = _known(listed, where)
        for host in hosts:
            given = _asked(draft, [path, "--host", host], deadline, patience) if known is None else _of(known, host)
            draft.set_host(host, given, path, {})
    except UserError as error:
        raise UserError(error.what, where=error.where or where, mend=error.mend) from None


def _known(listed: dict[str, Any], where: str) -> dict[str, Any] | None:
    """Return `_meta.hostvars`; None where there is no `_meta`."""
    if "_meta" not in listed:
        return None
    meta = listed["_meta"]
    known = meta.get("hostvars") if isinstance(meta, dict) else meta
    if not isinstance(known, dict):
        raise UserError("`_meta` holds `hostvars`, an object of hosts", where=where,
                        mend='print {"_meta": {"hostvars": {HOST: {…}}}, …}')  # fmt: skip
    return known


def _of(known: dict[str, Any], host: str) -> dict[str, Any]:
    given = known.get(host, {})
    if not isinstance(given, dict):
        raise UserError(f"the vars of `{host}` are a JSON object", mend=f'print {{"{host}": {{…}}}} below hostvars')
    return given


def _asked(draft: Draft, command: list[str], deadline: float, patience: float) -> dict[str, Any]:
    where = " ".join(command)
    try:
        said = program.run(command, deadline)
    except program.NoProgram:
        raise
    except UserError as error:
        what = f"{error.what} of {patience:g} s" if "its time" in error.what else error.what
        raise UserError(what, where=where, mend=error.mend) from None
    words = " / ".join(line.strip() for line in said.words.splitlines()[-3:] if line.strip())[:300]
    if said.code:
        ended = f"exited {said.code}" if said.code > 0 else f"was ended by signal {-said.code}"
        raise UserError(f"this inventory program {ended}" + (f": {words}" if words else ""), where=where,
                        mend=f"run it by hand: {where}")  # fmt: skip
    if words:
        draft.warnings.append(f"{where}: {words}")
    if "--host" in command and not said.out.strip():
        return {}
    try:
        data = yaml11.revived(json.loads(said.out), command[0])
    except RecursionError:
        raise UserError("what this program printed is nested too deeply", where=where) from None
    except ValueError as error:
        raise UserError(f"what this program printed is no JSON: {str(error)[:120]}" + (f" ({words})" if words else ""),
                        where=where, mend=f"look at what it prints: {where}") from None  # fmt: skip
    if not isinstance(data, dict):
        raise UserError("what this program printed is no JSON object", where=where,
                        mend='it prints {"GROUP": {"hosts": […]}, "_meta": {"hostvars": {…}}}')  # fmt: skip
    return data


def _group(draft: Draft, name: str, data: Any) -> list[str]:
    """Add a group; return the hosts that it names."""
    if not name:
        raise UserError("a group has no name")
    draft.add_group(name)
    if not isinstance(data, dict):
        data = {"hosts": data}
    elif not any(each in data for each in _SECTIONS):
        data = {"hosts": [name], "vars": _unsafe(data)}
    hosts, given, children = data.get("hosts", []), data.get("vars", {}), data.get("children", [])
    if not isinstance(hosts, list) or not all(isinstance(each, str) and each for each in hosts):
        raise UserError(f"`hosts` of the group `{name}` is a list of names")
    if not isinstance(given, dict):
        raise UserError(f"`vars` of the group `{name}` is an object")
    if not isinstance(children, (list, dict)) or not all(isinstance(each, str) and each for each in children):
        raise UserError(f"`children` of the group `{name}` is a list of names")
    for host in hosts:
        draft.add_host(host, name)
    for key, value in given.items():
        draft.set_group(name, key, value, draft.source)
    for child in children:
        draft.add_group(child)
        draft.add_child(name, child)
    return hosts


def _unsafe(data: Any) -> Any:
    """Return data whose texts are no templates: vars that stand where none are expected."""
    if isinstance(data, str):
        return Unsafe(data)
    if isinstance(data, list):
        return [_unsafe(each) for each in data]
    return {key: _unsafe(each) for key, each in data.items()} if isinstance(data, dict) else data
