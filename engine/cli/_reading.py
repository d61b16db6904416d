"""What `runbook watch` watches: read at the start, and read anew whenever something of it may have changed."""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook.engine.cli import _admitting, _fleet, _watching
from runbook.engine.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from runbook.engine.among import Among
    from runbook.engine.start import Request
    from runbook.engine.watching.loaded import Loaded


def gather(given: Mapping[str, Any]) -> Among:
    """Read the inventory anew; its programs may take long.

    Raises:
        UserError: it can't be used.
    """
    from runbook.engine.among import Among
    from runbook.engine.language.load import locate

    folders = set()
    for path in _watching.present(given["runbooks"]) if given["inventories"] else ():
        with contextlib.suppress(UserError):  # what is wrong with a runbook is told when it is read
            folders.add(os.path.dirname(locate(path)))  # noqa: PTH120
    return Among(_fleet.reach(given), folders.pop() if len(folders) == 1 else None)


def load(
    given: Mapping[str, Any],
    shard: Callable[[str], bool] | None,
    before: Loaded | None = None,
    among: Among | None = None,
) -> Loaded:
    """Read everything anew; at the start, where nothing was before, whatever is wrong ends the command.

    Args:
        given: the words of the command line.
        shard: which hosts belong to the part that is watched, by their names; None = all.
        before: what was read until now; None = this is the start.
        among: the inventory, read anew.

    Raises:
        UserError: nothing of it can be used.
    """
    from runbook.engine.language import signatures
    from runbook.engine.watching.loaded import Loaded

    files, gone = _files(given["runbooks"], before)
    found = Loaded(among or _first(given, files), problems=gone)
    with signatures.read_anew(well=lambda: not found.problems and bool(found.files)):
        _read(files, given, shard, before, found)
    return found


def _read(
    files: Sequence[str],
    given: Mapping[str, Any],
    shard: Callable[[str], bool] | None,
    before: Loaded | None,
    found: Loaded,
) -> None:
    """Read all runbooks into what was found."""
    from runbook.engine.language.own import enlist
    from runbook.engine.watching.loaded import told
    from runbook.engine.watching.reloading import marks, of_inventory

    names: dict[str, str] = {}
    origins: list[str] = []
    signed = _signatures()
    beside = [*signed, *(each for source in given["inventories"] for each in of_inventory(source))]
    for path in sorted(files, key=lambda path: before is not None and path not in before.requests):
        try:
            request, secrets, read = _one(path, given, found.among)
            name = request.runbook.name
            if name in names:
                mend = "a journal knows a runbook by its name: rename one"
                raise UserError(f"`{name}` is the name of {names[name]}, too", where=path, mend=mend)  # noqa: TRY301
        except Exception as error:
            if before is None and not isinstance(error, UserError | OSError):
                raise
            found.problems[path] = told(error)
            continue
        names[name] = path
        if shard is not None:
            request = replace(request, hosts=tuple(host for host in request.hosts if shard(host.name)))
            if not request.hosts:
                continue  # none of its hosts is in this part
        own = {file: text for file, text in read.items() if file not in signed}
        found.requests[path] = _watching.adjusted(request, given)
        found.digests[path] = _digest(request, {**own, **signed}, secrets)
        origins += [*_origins(request), *own]
        beside += [os.path.expanduser(each.file) for each in request.runbook.secrets.values() if each.file]  # noqa: PTH111
    if before is None:
        _watching.ends(found.requests.values(), given)
    found.warnings = [*_watching.exposed(origins), *_outgrown(found.requests.values())]
    found.modules = marks(enlist.places(), ".py")
    found.files = tuple(dict.fromkeys([*given["runbooks"], *files, *origins, *beside, *found.modules]))


def _files(words: Sequence[str], before: Loaded | None) -> tuple[list[str], dict[str, str]]:
    """Return the runbooks that are meant, and of those that are not to be found any more what is wrong."""
    from runbook.engine.watching.loaded import told

    found: list[str] = []
    gone: dict[str, str] = {}
    for word in words:
        try:
            found += _watching.files((word,))
        except (UserError, OSError) as error:
            if before is None:
                raise
            known = [path for path in before.requests if Path(word) in {Path(path), Path(path).parent}]
            gone |= dict.fromkeys(known or [word], told(error))
    return list(dict.fromkeys(found)), gone


def _first(given: Mapping[str, Any], files: list[str]) -> Among:
    """Read the inventory and all runbooks at once: what is wrong is shown as lint shows it."""
    admitted = _admitting.admit("watch", {**given, "runbooks": files}, operations=True, commits=True)
    if admitted.findings:
        _admitting.refuse(admitted.findings)
        raise SystemExit(1)
    _fleet.warn(admitted.among)
    return admitted.among


def _one(path: str, given: Mapping[str, Any], among: Among) -> tuple[Request, Mapping[str, str], Mapping[str, bytes]]:
    """Read a runbook; return it with its secrets, and what it was read from."""
    from runbook.engine import intake, start
    from runbook.engine.language import source

    with source.recorded() as read:
        alone = {**given, "runbooks": [path]}
        admitted = _admitting.admit("watch", alone, operations=True, commits=True, among=among)
    if admitted.findings:
        first = admitted.findings[0]
        raise UserError(first.message, where=str(first.span), mend=first.hint or "")
    (request,) = admitted.requests
    secrets = intake.secrets_of(request.runbook, request.secrets)  # what is missing is told now, and not by each run
    start.channels_of(request.runbook)
    return request, secrets, read


def _origins(request: Request) -> list[str]:
    files = (request.runbook.file, *(detector.origin for detector in request.runbook.detectors))
    return [file for file in files if file]


def _outgrown(requests: Iterable[Request]) -> list[str]:
    """Say what the systemd unit that this watch runs in leaves no room for."""
    from runbook.engine.install.outgrown import outgrown

    unit = _watching.unit()
    said = outgrown(list(requests), unit) if unit else ""
    return [said] if said else []


def _digest(request: Request, read: Mapping[str, bytes], secrets: Mapping[str, str]) -> str:
    """Return what is another where what a runbook was read from, or what is known of its hosts, is another."""
    found = hashlib.sha256()
    for name, text in sorted(read.items()):
        found.update(repr((name, hashlib.sha256(text).digest())).encode())
    for host in request.hosts:
        found.update(repr((host.name, sorted(host.groups), sorted(host.written.items()))).encode())
    found.update(repr((request.size, sorted(request.users.items()), sorted(secrets.items()))).encode())
    return found.hexdigest()


def _signatures() -> dict[str, bytes]:
    """Return the texts of the user's files of signatures."""
    from runbook.engine.language import signature_files

    found = {}
    for path in signature_files.users():
        with contextlib.suppress(OSError):  # whoever needs it says what is wrong
            found[str(path)] = path.read_bytes()
    return found
