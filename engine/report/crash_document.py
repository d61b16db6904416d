"""The report of a scan for programs: one document, or a line for each thing; matches are written as they are found."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from runbook.engine.report import words
from runbook.engine.report.crash import last_line, path_shown
from runbook.engine.report.document import encode
from runbook.engine.scan import gpus
from runbook.engine.scan.look import needs, signature, spot

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

    from runbook.engine.detect.cascade import Folded, Incident
    from runbook.engine.detect.sightings import Seen
    from runbook.engine.journal.crashes import Past
    from runbook.engine.language.signatures import Signature
    from runbook.engine.scan.look import Scanned

SCHEMA = 1
_LINE = 200  # characters of a line in the list of matches


class Matches:
    """Writes each match as it is found, so that none is held: as text, as JSON lines, or as the document's begin."""

    def __init__(self, stream: TextIO, form: str) -> None:
        self._stream = stream
        self._form = form
        self._path: str | None = None
        self._begin = ""
        self._some = False
        self._ends: dict[str, str] = {}
        if form == "json":
            stream.write(f'{{\n  "schema": {SCHEMA},\n  "matches": [')

    def __call__(self, path: str, line_no: int | None, found: Signature, line: str) -> None:
        """Write one."""
        if path != self._path:
            self._path, self._begin = path, self._before(path)
        comma = ","[: self._form == "json" and self._some]
        xid, device = gpus.named(found, line)
        if self._form == "text":
            number = "" if line_no is None else f"{line_no}: "
            code = f" {xid}" if xid is not None else ""
            on = f" on GPU {device}" if device else ""
            shown = words.cut(words.printable(line.expandtabs(4).strip()), _LINE)
            self._stream.write(f"{self._begin}{number}{found.id}{code}{on} ({found.role}): {shown}\n")
            return
        number = "null" if line_no is None else str(line_no)
        end = self._ends.get(found.id) or self._after(found)
        about = f', "xid": {xid}' if xid is not None else ""
        about += f', "gpu": "{device}"' if device else ""
        said = f'{about}, "line": {json.dumps(line)}}}' + "\n" * (self._form == "jsonl")
        self._stream.write(f"{comma}{self._begin}{number}{end}{said}")
        self._some = True

    def close(self) -> None:
        """Write what stands behind the last one."""
        if self._form == "json":
            self._stream.write("\n  ],\n" if self._some else "],\n")

    def _before(self, path: str) -> str:
        if self._form == "text":
            return f"{path_shown(path)}:"
        lead = '\n    {"path": ' if self._form == "json" else '{"event": "match", "path": '
        return f'{lead}{json.dumps(path)}, "line_no": '

    def _after(self, found: Signature) -> str:
        self._ends[found.id] = end = f', "signature": {json.dumps(found.id)}, "role": "{found.role}"'
        return end


def write(
    stream: TextIO, form: str, scanned: Scanned, past: Mapping[tuple[str, str], Past], matches: Matches | None
) -> None:
    """Write the document, or its lines, behind the matches."""
    if form == "jsonl":
        stream.writelines(encode({"event": "incident", **incident(one, past)}) + "\n" for one in scanned.incidents)
        summary = {"event": "summary", **document(scanned, past)}
        del summary["incidents"]
        stream.write(encode(summary) + "\n")
        return
    told = document(scanned, past)
    if matches is None:
        stream.write(encode(told, indent=2) + "\n")
        return
    matches.close()
    del told["schema"]
    stream.write(encode(told, indent=2).removeprefix("{\n") + "\n")


def document(scanned: Scanned, past: Mapping[tuple[str, str], Past]) -> dict[str, Any]:
    """Return the document but for its matches."""
    return {
        "schema": SCHEMA,
        "exit_code": scanned.exit_code,
        "summary": last_line(scanned),
        "files": len(scanned.files),
        "lines": scanned.lines,
        "bytes": scanned.bytes,
        "duration_s": round(scanned.took, 3),
        "incidents": [incident(one, past) for one in scanned.incidents],
        "stopped": scanned.stopped,
        "unreadable": [{"path": one.path, "reason": one.why, "read_in_part": one.partly} for one in scanned.unreadable],
        "skipped": [{"path": one.path, "reason": one.why} for one in scanned.skipped],
        "notes": [{"path": one.path, "note": one.why} for one in scanned.left if one.partly and not one.unreadable],
    }


def incident(one: Incident, past: Mapping[tuple[str, str], Past]) -> dict[str, Any]:
    """Return one incident."""
    told, root = signature(one.root), one.root
    before = past.get(root.first.kind)
    action, advice = needs(one)
    return {
        "signature": told.id,
        "variant": root.first.variant or None,
        **_whose(root),
        "title": told.title,
        "severity": one.worst.value,
        "category": told.category,
        "role": told.role,
        "root": _place(root.first, context=True),
        "last": _place(root.last),
        "count": root.count,
        "files": _files(root),
        "cascades": [
            {
                "signature": each.sign.id,
                "variant": each.first.variant or None,
                **_whose(each),
                "title": signature(each).title,
                "role": each.sign.role,
                "earlier": each in one.earlier,
                "count": each.count,
                "first": _place(each.first),
            }
            for each in one.cascades
        ],
        "meaning": told.meaning,
        "advice": advice,
        "action": action,
        "retryable": told.retryable,
        "before": None if before is None else {"crashes": before.crashes, "first": before.first, "last": before.last},
    }


def _whose(one: Folded) -> dict[str, Any]:
    """Return the GPU that it is about, and who told of it."""
    host, _, gpu = one.first.device.rpartition(" ")
    return {"gpu": gpu or None, "host": host or None, "ranks": one.ranks, "hosts": one.hosts}


def _place(seen: Seen, *, context: bool = False) -> dict[str, Any]:
    one = spot(seen)
    place: dict[str, Any] = {"path": seen.source, "line_no": one.line_no, "line": one.line, "time": seen.time}
    if context:
        place |= {"fields": dict(one.groups), "before": list(one.before), "after": list(one.after)}
    return place


def _files(root: Folded) -> list[dict[str, Any]]:
    counts: dict[str, int] = {}
    for one in root.seen:
        counts[one.source] = counts.get(one.source, 0) + one.count
    return [{"path": path, "count": count} for path, count in counts.items()]
