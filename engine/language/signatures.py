"""The catalogue of failures: what lines of logs mean, which comes first, and what to do about it.

It is read when somebody asks for it: the files that come with runbook, then the user's, of which later ones win.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.errors import RunbookInvalid, UserError
from runbook.engine.language import signature_files as files
from runbook.engine.language.nearest import nearest
from runbook.engine.language.xid_table import Xid, xid_source, xids
from runbook.engine.model import Severity
from runbook.modules.frozen import frozen
from runbook.modules.logs.patterns import Pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from runbook.engine.language.signature_files import Part

__all__ = ["Catalogue", "Signature", "Xid", "catalogue", "xid_source", "xids"]

SCOPES: Final = ("kernel", "job", "app", "serve", "hub", "build")
SEVERITIES: Final = tuple(severity.value for severity in Severity)
CATEGORIES: Final = (
    *("network", "api", "rate_limit", "authentication", "resource", "database", "validation", "timeout"),
    *("configuration", "hardware", "unknown"),
)
ROLES: Final = ("root", "cascade", "confirmation", "advice")
ACTIONS: Final = ("ignore", "app", "update", "reset", "reboot", "vendor")  # by what they cost, as in modules/xid.py
REQUIRED: Final = ("title", "pattern", "severity", "category", "role")  # of an entry that is not there yet
_XID = re.compile(r"(?<!S)Xid|\(\?P<xid>")
_FLAGS = re.compile(r"\(\?([aimsx]+)\)")
GROUP = re.compile(r"\(\?P<([A-Za-z_]\w*)>")


@frozen
class Signature:
    """One failure that logs tell of."""

    id: str
    title: str  # a few words: the headline of an incident
    scope: str  # kernel, job, app, serve, hub or build
    pattern: tuple[str, ...]  # a line is one where any of these regular expressions is found
    severity: Severity
    category: str
    role: str  # root, cascade, confirmation or advice
    retryable: bool = False
    causes: tuple[str, ...] = ()  # ids, and patterns of ids, of what this one brings about
    meaning: str = ""
    advice: str = ""
    action: str | None = None  # what the GPU calls for, of kernel ones
    lines: int = 1  # over how many lines a match may reach
    event: str = ""  # hits of one event that stand close together are one record
    match: tuple[str, ...] = ()  # lines that are one; only where samples were asked for
    near_miss: tuple[str, ...] = ()  # lines that are none
    files: tuple[str, ...] = ()  # where it is written, then where it is overridden

    @property
    def groups(self) -> tuple[str, ...]:
        """The named groups of its patterns."""
        return tuple(dict.fromkeys(name for pattern in self.pattern for name in GROUP.findall(pattern)))

    @property
    def tells_xid(self) -> bool:
        """Whether its lines bear a code of the NVIDIA driver."""
        return any(_XID.search(pattern) for pattern in self.pattern)


class Catalogue:
    """The signatures, in order of precedence: the first that matches names the line."""

    def __init__(self, signatures: Mapping[str, Signature], users: Sequence[Part] = ()) -> None:
        self.signatures = signatures
        self.users = users

    def chosen(self, globs: Iterable[str]) -> tuple[Signature, ...]:
        """Return the signatures that ids and patterns of ids (`cuda.*`) name, in order of precedence.

        Raises:
            UserError: one names none.
        """
        wanted: set[str] = set()
        for glob in globs:
            found = [name for name in self.signatures if fnmatchcase(name, glob)]
            if not found:
                what, mend = unknown(glob, self.signatures)
                raise UserError(what, mend=mend)
            wanted.update(found)
        return tuple(signature for name, signature in self.signatures.items() if name in wanted)

    def patterns(self, globs: Iterable[str] = ("*",)) -> list[Pattern]:
        """Return what lines are held against; a signature has one for each alternative that has groups, and one more.

        Raises:
            UserError: a glob names no signature.
        """
        return [
            Pattern(found.id, regex, found.role, found.lines, found.event)
            for found in self.chosen(globs)
            for regex in joined(found.pattern)
        ]

    @cached_property
    def xid(self) -> Mapping[int, Xid]:
        """The Xid codes, with what the user's files say of them."""
        table = dict(xids())
        for part in self.users:
            for code, given in part.codes.items():
                known = table.get(code) or Xid(code, "vendor", note="not in the bundled table")
                told = {key: given[key] for key in ("action", "mnemonic", "meaning", "note") if key in given}
                table[code] = replace(known, **told, files=(*known.files, part.source.file))
        return dict(sorted(table.items()))


def catalogue(extra: Sequence[str] = (), *, samples: bool = False) -> Catalogue:
    """Return the catalogue: what comes with runbook, and the user's files over it.

    Args:
        extra: files or directories of signatures beside those in the usual places; they win.
        samples: with the lines that each signature must and must not match.

    Raises:
        RunbookInvalid: one of the user's files is wrong; carries every finding.
        UserError: a file of `extra` is not there.
    """
    if extra or samples:
        return _catalogue(files.stamp(files.users(extra)), samples)
    if not _kept.on or _kept.found is None:
        _kept.found = _catalogue(files.stamp(files.users()), samples=False)
    return _kept.found


@contextlib.contextmanager
def read_anew(*, well: Callable[[], bool]) -> Iterator[None]:
    """Let the catalogue be read from its files; afterwards it stays as it is, whatever becomes of them.

    Args:
        well: tells at the end whether all who need it can use it: else they go on with what there was before.
    """
    before = _kept.found
    _kept.take(None, on=False)
    try:
        yield
    finally:
        _kept.on = True
        if before is not None and _kept.found is None:
            _kept.found = before
        elif before is not None and _kept.found is not None and not well():
            _kept.found = Catalogue({**before.signatures, **_kept.found.signatures}, _kept.found.users)


def unknown(glob: str, ids: Collection[str]) -> tuple[str, str]:
    """Return what is wrong with a name that names nothing, and how to mend it."""
    several = bool(set(glob) & set("*?["))
    near = None if several else nearest(glob, ids)
    if near is None:
        area = nearest(glob.partition(".")[0], {name.partition(".")[0] for name in ids})
        near = f"{area}.*" if area else None
    return (
        f"{'no signature matches' if several else 'there is no signature'} `{glob}`",
        f"did you mean {near}?" if near else "`runbook doc signatures` lists them; files of your own by --signatures",
    )


def joined(patterns: Sequence[str]) -> list[str]:
    """Return alternatives as few regular expressions: those with named groups first, then one of all others.

    In one expression the alternative that begins first would win, and not the one that tells the most.
    """
    telling = [pattern for pattern in patterns if GROUP.search(pattern)]
    plain = [pattern for pattern in patterns if not GROUP.search(pattern)]
    return [*telling, *(plain if len(plain) == 1 else ["|".join(map(_scoped, plain))] if plain else [])]


def merged(known: Mapping[str, Signature], part: Part) -> dict[str, Signature]:
    """Return signatures with those of a file over them; what is new in a user's file comes first."""
    new: dict[str, Signature] = {}
    found = dict(known)
    for entry in part.entries:
        name = entry["id"]
        if entry.get("off") is True:
            found.pop(name, None)
        elif name in found:
            found[name] = _over(found[name], entry, part.source.file)
        else:
            new[name] = _made(entry, part.source.file)
    return {**found, **new} if part.bundled else {**new, **found}


@dataclass
class _Kept:
    """The catalogue of a process that goes on for months."""

    on: bool = False  # it is not read from its files
    found: Catalogue | None = None

    def take(self, found: Catalogue | None, *, on: bool) -> None:
        """Go on with another one."""
        self.found, self.on = found, on


_kept = _Kept()


@lru_cache(maxsize=4)
def _catalogue(users: tuple[tuple[str, int, int], ...], samples: bool) -> Catalogue:
    import pathlib

    signatures = dict(bundled(samples=samples))
    parts = [files.read(pathlib.Path(name)) for name, *_ in users]
    findings = []
    for part in parts:
        from runbook.engine.language.lint import signatures as lint

        wrong = [found for found in lint.check(part.source, signatures) if found.level == "error"]
        findings += wrong
        if not wrong:
            signatures = merged(signatures, part)
    if findings:
        raise RunbookInvalid(findings)
    return Catalogue(signatures, parts)


def bundled_without(path: Path) -> dict[str, Signature]:
    """Return the signatures that come with runbook, without those of a file that may be one of theirs."""
    return {name: found for name, found in bundled(samples=False).items() if str(path) not in found.files}


@lru_cache(maxsize=2)
def bundled(*, samples: bool) -> Mapping[str, Signature]:
    """Return the signatures that come with runbook, in order of precedence."""
    parts = [files.read_bundled(path.resolve(), samples=samples) for path in files.bundled()]
    found: dict[str, Signature] = {}
    for part in sorted(parts, key=lambda part: part.precedence):
        found = merged(found, part)
    return found


def _made(entry: Mapping[str, Any], file: str) -> Signature:
    return Signature(
        id=entry["id"],
        title=entry["title"],
        scope=entry.get("scope", "app"),
        pattern=_several(entry["pattern"]),
        severity=Severity(entry["severity"]),
        category=entry["category"],
        role=entry["role"],
        retryable=entry.get("retryable", False),
        causes=_several(entry.get("causes")),
        meaning=_prose(entry.get("meaning")),
        advice=_prose(entry.get("advice")),
        action=entry.get("action"),
        lines=entry.get("lines", 1),
        event=entry.get("event", ""),
        match=_several(entry.get("match")),
        near_miss=_several(entry.get("near_miss")),
        files=(file,),
    )


def _over(known: Signature, entry: Mapping[str, Any], file: str) -> Signature:
    told: dict[str, Any] = {key: entry[key] for key in entry if key not in {"id", "off"}}
    for key in ("pattern", "causes", "match", "near_miss"):
        if key in told:
            told[key] = _several(told[key])
    for key in ("meaning", "advice"):
        if key in told:
            told[key] = _prose(told[key])
    if "severity" in told:
        told["severity"] = Severity(told["severity"])
    if "pattern" in told:  # the samples were of the pattern that it had
        told = {"match": (), "near_miss": (), **told}
    return replace(known, **told, files=(*known.files, file))


def _several(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def _prose(text: str | None) -> str:
    return " ".join((text or "").split())


def _scoped(pattern: str) -> str:
    """Return a pattern as an alternative: flags at its begin hold for itself alone."""
    flags = _FLAGS.match(pattern)
    return f"(?{flags[1]}:{pattern[flags.end() :]})" if flags else f"(?:{pattern})"
