"""How much has to be built again, and why: a judgment over what was built and what is there now."""

import os
import re
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from runbook.modules.build.record import Record
from runbook.modules.build.source import Source
from runbook.modules.frozen import frozen

_NAMED = 3  # files that a reason names
_VERSION = re.compile(r"\d+\.\d+(?:\.\d+)*")


@frozen
class Now:
    """What is there."""

    source: Source
    tools: Mapping[str, str]
    options: str
    made: Mapping[str, Tuple[int, int]]  # artifacts below the build directory: size and time
    faults: Mapping[str, str]  # those that are not whole, and what is wrong with them
    missing: Sequence[str] = ()  # of what it should produce
    altered: Sequence[str] = ()  # of what it produced, those with another content than then
    tracks: bool = True  # the tool itself sees what changed, by times
    reconfigures: bool = False  # other options need no other objects to be thrown away


@frozen
class Verdict:
    """What has to be done."""

    rebuild: str  # none, partial or full
    reasons: Tuple[str, ...] = ()
    clean: bool = False  # everything that was built goes first
    drop: Tuple[str, ...] = ()  # these go first
    reconfigure: bool = False

    @property
    def why(self) -> str:
        """The reasons as one text."""
        return "; ".join(self.reasons)


def judge(before: Optional[Record], now: Now, clean: str = "auto") -> Verdict:
    """Say what has to be built again.

    Args:
        before: the record of the last build.
        now: what is there.
        clean: auto, always or never.
    """
    drop = (*now.faults, *now.altered)
    verdict = _unknown(now, drop) if before is None else _known(before, now, drop)
    if clean == "always" and verdict.rebuild != "none" and now.made:
        return Verdict("full", (*verdict.reasons, "`clean: always`"), clean=True, reconfigure=True)
    if clean == "never" and verdict.clean:
        return Verdict("partial", verdict.reasons, drop=drop, reconfigure=verdict.reconfigure)
    return verdict


def _unknown(now: Now, drop: Tuple[str, ...]) -> Verdict:
    if not now.made:
        return Verdict("full", ("nothing is built yet",))
    reasons = ["something is built here, and nothing tells from what", *_faults(now)]
    return Verdict("partial", tuple(reasons), drop=drop)


def _known(before: Record, now: Now, drop: Tuple[str, ...]) -> Verdict:
    tools = _tools(before.tools, now.tools)
    changed, unseen = _changed(before, now)
    options = before.options != now.options
    thorough: List[str] = list(tools)
    if options and not now.reconfigures:
        thorough.append("the options changed")
    if changed and not now.tracks:
        thorough.append(_files(changed, "of the source", "changed", _commits(before, now)))
    elif unseen:
        thorough.append(
            f"{_files(changed, 'of the source', 'changed', _commits(before, now))}, and {unseen[0]} bears an older "
            "time than what was built of it"
        )
    if thorough:
        return Verdict("full", tuple(thorough), clean=bool(now.made), reconfigure=True)
    reasons: List[str] = []
    if options:
        reasons.append("the options changed")
    if changed:
        reasons.append(_files(changed, "of the source", "changed", _commits(before, now)))
    if before.state == "building":
        reasons.append("the last build was cut off")
    elif before.state == "failed":
        reasons.append(f"the last build failed{': ' + before.said if before.said else ''}")
    reasons += _faults(now)
    gone = [path for path in before.made if path not in now.made and before.state == "done"]
    told = tuple(f"/{name}" for name in now.missing)
    missing = [*now.missing, *(path for path in gone if not any(name.endswith(f"/{path}") for name in told))]
    if missing:
        reasons.append(_files(missing, "", "missing"))
    if now.altered:
        reasons.append(_files(list(now.altered), "", "not as it was built"))
    if not now.made and before.made:
        return Verdict("full", (*reasons[:-1], "all that was built is gone"), reconfigure=options)
    return Verdict("partial" if reasons else "none", tuple(reasons), drop=drop, reconfigure=options)


def _changed(before: Record, now: Now) -> Tuple[List[str], List[str]]:
    """Return the files of the source that differ, and those of them that no tool would take for newer."""
    changed: List[str] = []
    unseen: List[str] = []
    for path, seen in now.source.files.items():
        known: Optional[Sequence[Any]] = before.files.get(path)
        if known is None or known[0] != seen.digest:
            changed.append(path)
            if known is not None and seen.changed / 1e9 <= before.began:
                unseen.append(path)
    changed += [path for path in before.files if path not in now.source.files]
    return sorted(changed), sorted(unseen)


def _tools(before: Mapping[str, str], now: Mapping[str, str]) -> List[str]:
    found: Dict[str, str] = {}
    for name in sorted({*before, *now}):
        was, being = before.get(name, ""), now.get(name, "")
        if was != being:
            found[name] = f"{name} {_version(was)} → {_version(being)}"
    return [f"the toolchain changed: {', '.join(found.values())}"] if found else []


def _version(text: str) -> str:
    found = _VERSION.search(text)
    return found[0] if found else text[:40] or "none"


def _commits(before: Record, now: Now) -> str:
    if not before.commit or not now.source.commit or before.commit == now.source.commit:
        return ""
    return f"commit {before.commit[:8]} → {now.source.commit[:8]}"


def _files(paths: Sequence[str], of: str, how: str, more: str = "") -> str:
    named = ", ".join(paths[:_NAMED]) + (", …" if len(paths) > _NAMED else "")
    if len(paths) == 1:
        verb = "changed" if how == "changed" else f"is {how}"
        return f"{paths[0]} {of + ' ' if of else ''}{verb}{f' ({more})' if more else ''}"
    verb = "changed" if how == "changed" else f"are {how}"
    return f"{len(paths)} files {of + ' ' if of else ''}{verb}: {named}{f' ({more})' if more else ''}"


def _faults(now: Now) -> List[str]:
    if not now.faults:
        return []
    [(first, what), *others] = now.faults.items()
    said = f"{os.path.basename(first) if others else first} is {what}"
    return [f"{said}, and {len(others)} more are not whole" if others else said]
