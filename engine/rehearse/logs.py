"""The lines of made-up logs, read by the real `log` probe out of scratch files."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runbook.engine.fleet import messages
from runbook.engine.model import Record, Seen
from runbook.modules import look

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Mapping, Sequence

    from runbook.engine.model import Look

_LONG_AGO = 3600.0  # seconds: an unended last line or traceback waits for no more of it


class Logs:
    """The logs of one case: a scratch file for each detector, host and path."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._files: dict[tuple[str, str, str], pathlib.Path] = {}
        self._states: dict[tuple[str, str], Mapping[str, Any]] = {}

    def write(self, host: str, detector: str, path: str, lines: Sequence[str]) -> None:
        """Append lines to a log."""
        key = (host, detector, path)
        file = self._files.setdefault(key, self._folder / f"{len(self._files)}.log")
        with file.open("ab") as log:
            log.write(b"".join(line.encode("utf-8", "surrogateescape") + b"\n" for line in lines))
        old = file.stat().st_mtime - _LONG_AGO
        os.utime(file, (old, old))

    def look(self, host: str, detector: str, params: Mapping[str, Any], now: float) -> Look:
        """Look as the host's agent would, at what was written so far.

        A line without a time of its own was written now.
        """
        mine = [(path, file) for (*key, path), file in self._files.items() if key == [host, detector]]
        files = {str(file): path for path, file in mine}
        if not files:
            return Seen()
        elsewhere = {"journal", "kernel", "docker", "paths", "from"}
        spec = {
            "id": detector,
            "probe": "log",
            "params": {**{key: value for key, value in params.items() if key not in elsewhere},
                       "paths": list(files), "from": "start"},
            "state": self._states.get((host, detector), {}),
        }  # fmt: skip
        answer = look.look(spec)
        if answer["status"] == "seen" and not answer.get("same"):
            self._states[(host, detector)] = answer["state"] or self._states.get((host, detector), {})
        found = messages.looks({"looks": [answer]})[detector]
        if not isinstance(found, Seen):
            return found
        return replace(found, records=tuple(_placed(record, files, now) for record in found.records))


def _placed(record: Record, files: Mapping[str, str], now: float) -> Record:
    fields = dict(record.fields)
    fields["path"] = files.get(str(fields.get("path")), fields.get("path"))
    if fields.get("time") is None:
        fields["time"] = now
    return Record(record.subject, fields)
