"""The list of what a copy holds: a line about the copy, then a line for each thing, as JSON."""

import base64
import json
import os
import stat
from typing import Any, Dict, Iterable, Iterator, Tuple

from runbook.modules.actions import Kept
from runbook.modules.declare import Refused
from runbook.modules.frozen import fields, frozen

NAME = "manifest.jsonl"
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FIELDS = {field.name: field for field in fields(Kept)}


@frozen
class About:
    """What a copy says of itself."""

    id: str
    kind: str  # snapshot, or undo: what a restore found there
    name: str
    roots: Tuple[str, ...]
    at: float  # when it was begun, in seconds since the epoch
    count: int  # things
    size: int  # bytes of contents


def private(seen: os.stat_result, path: str) -> None:
    """Refuse a place that others could write to."""
    if seen.st_uid != os.geteuid() or seen.st_mode & 0o022:
        who = f"owner {seen.st_uid}, mode {stat.S_IMODE(seen.st_mode):04o}"
        raise Refused(f"{path}: others may write there ({who}); only user {os.geteuid()} may where snapshots are")


def lines(copy: int, path: str) -> Iterator[Dict[str, Any]]:
    """Yield the lines of the manifest in a directory that is held open."""
    with os.fdopen(os.open(NAME, _READ, dir_fd=copy), "rb") as manifest:
        private(os.fstat(manifest.fileno()), f"{path}/{NAME}")
        for line in manifest:
            found = json.loads(line)
            if not isinstance(found, dict):
                raise TypeError("a line that is no mapping")
            yield found


def written(about: About, things: Iterable[Kept]) -> Iterator[bytes]:
    """Yield the lines of a manifest, to be written."""
    said = {field.name: getattr(about, field.name) for field in fields(about)}
    yield json.dumps({"copy": 1, **said}).encode() + b"\n"
    for thing in things:
        told = {name: getattr(thing, name) for name in _FIELDS}
        yield (
            json.dumps({name: value for name, value in told.items() if value != _FIELDS[name].default}).encode() + b"\n"
        )


def about_of(identity: str, line: Dict[str, Any]) -> About:
    """Return what a copy says of itself."""
    if line["copy"] != 1:
        raise ValueError(f"a newer version made it (format {line['copy']})")
    given = {**line, "id": identity, "roots": tuple(line["roots"])}
    del given["copy"]
    return About(**given)


def thing_of(line: Dict[str, Any]) -> Kept:
    """Return a thing from its line."""
    for name in ("times", "seen"):
        if name in line:
            line[name] = tuple(line[name])
    line["attributes"] = tuple((name, value) for name, value in line.get("attributes", ()))
    for _, value in line["attributes"]:
        base64.b64decode(value, validate=True)
    return Kept(**line)
