"""The journal of systemd, asked through journalctl: entries behind a cursor, so many at once."""

import glob
import os
import select
import signal
import subprocess
import time
from contextlib import suppress
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

from runbook.modules.declare import Absent, Unclear
from runbook.modules.host import Host
from runbook.modules.logs.beginning import Beginning
from runbook.modules.logs.cursor import stamp
from runbook.modules.logs.entries import Entry, cleaned_text
from runbook.modules.logs.wrapping import fields_of, text_of

Wanted = Mapping[str, Union[str, Tuple[str, ...]]]
OPTIONS = {  # of journalctl, by what a runbook calls them
    "unit": "--unit=",
    "user_unit": "--user-unit=",
    "identifier": "--identifier=",
    "priority": "--priority=",
    "directory": "--directory=",
}
PLACES = ("/var/log/journal", "/run/log/journal")
MOST = 20_000  # entries of one look
LARGEST = 16 * 1024 * 1024  # bytes of journalctl's answer in one look
LONGEST = 1024 * 1024  # bytes of one entry; what is longer is passed over
AGAIN = (
    60.0  # seconds after which journalctl is asked anyway: a file's time follows an entry a quarter of a second later
)
PATIENCE = 10.0  # seconds for an answer

_FIELDS = "--output-fields=MESSAGE,_PID,SYSLOG_IDENTIFIER,_SYSTEMD_UNIT"
_PARTLY = "not seeing messages from other users"


class Journal:
    """The entries behind a cursor.

    Where the cursor's own entry was vacuumed away, journalctl goes on with the next one that is left; where it can't be
    understood (another machine's, a journal that was begun anew), the time of the last entry says where to go on.
    """

    def __init__(self, kept: Mapping[str, Any], host: Host, wanted: Wanted, begin: Beginning) -> None:
        self.trouble = ""
        self.behind = 0  # 1 where there is more than one look takes in
        self._host = host
        self._begin = begin
        self._first = not kept
        self._cursor: Optional[str] = kept.get("cursor")
        self._time = float(kept.get("time", 0.0))
        self._files: Mapping[str, str] = kept.get("files", {})
        self._asked_at = float(kept.get("asked", 0.0))
        self._places = [str(place) for place in _several(wanted.get("directory", PLACES))]
        self._options = [f"{OPTIONS[name]}{value}" for name, given in wanted.items() for value in _several(given)]
        self._taken: List[Tuple[Optional[str], float]] = [(self._cursor, self._time)]

    def new(self) -> List[Entry]:
        """Return what came since it was asked last.

        Raises:
            Absent: there is no journal here.
            Unclear: it can't be read.
        """
        if self._host.which("journalctl") is None:
            raise Absent("there is no journalctl here")
        files = self._stamps()
        if files and files == self._files and 0 <= self._host.now() - self._asked_at < AGAIN:
            return []
        self._asked_at = self._host.now()
        entries = self._asked()
        if not files and not entries and self._cursor is None:
            raise Absent("there is no journal here")
        if self._first:
            self._first = False
        self._files = {} if self.behind else files
        return entries

    def keep(self, taken: int) -> Dict[str, Any]:
        """Return what the next look has to be given, when it is to begin behind so many of the entries."""
        cursor, moment = self._taken[taken]
        files = self._files if taken == len(self._taken) - 1 else {}
        return {"cursor": cursor, "time": moment, "files": files, "asked": self._asked_at}

    def _stamps(self) -> Dict[str, str]:
        """Return what changes when an entry is written; asking for it costs a hundredth of asking journalctl."""
        found = {}
        for place in self._places:
            for path in (*glob.glob(f"{place}/*.journal"), *glob.glob(f"{place}/*/*.journal")):
                if "@" not in path:  # archived: not written to any more
                    with suppress(OSError):
                        found[path] = stamp(os.stat(path))
        return found

    def _asked(self) -> List[Entry]:
        if self._first and not (self._begin.start or self._begin.lines or self._begin.seconds):
            self._read(["--lines=1"], everything=True)  # the end, whoever wrote it
            self._taken = [(self._cursor, self._time or self._host.now())]
            self._time = self._taken[0][1]
            return []
        if self._first:
            since = [f"--since=@{self._host.now() - self._begin.seconds:.6f}"] if self._begin.seconds else []
            return self._read([f"--lines={self._begin.lines}"] if self._begin.lines else since)
        if self._cursor is None:
            return self._read(self._since())
        # --after-cursor would pass over the first entry where the cursor's own is gone, or is none of those wanted
        entries = self._read([f"--cursor={self._cursor}"])
        if self._failed and "cursor" in self._failed.lower():
            return self._read(self._since())
        return entries

    def _since(self) -> List[str]:
        return [f"--since=@{self._time:.6f}"]

    def _read(self, where: List[str], *, everything: bool = False) -> List[Entry]:
        options = [option for option in self._options if option.startswith("--directory=") or not everything]
        argv = ["journalctl", "--output=json", "--all", "--no-pager", _FIELDS, *options, *where]
        lines, errors, self.behind = _answer(argv, self._host.env)
        self._failed = errors if not lines else ""
        if _PARTLY in errors:
            self.trouble = "only this user's part of the journal can be read: add the user to the group systemd-journal"
        entries, last = [], self._cursor
        for line in lines:
            record = fields_of(line)
            if record is None or "__CURSOR" not in record:
                continue
            moment = int(record.get("__REALTIME_TIMESTAMP", 0)) / 1e6
            if where == self._since() and moment <= self._time and len(self._taken) == 1:
                continue  # of the entry that was read last
            if record["__CURSOR"] == last:
                continue
            self._cursor, self._time = str(record["__CURSOR"]), moment
            self._taken.append((self._cursor, moment))
            entries.append(_entry(record, moment))
        if self._failed and "cursor" not in errors.lower():
            self._explain(errors)
        return entries

    def _explain(self, errors: str) -> None:
        said = next((line for line in errors.splitlines() if line.strip()), "")
        if "No journal files were found" in errors:
            raise Absent("there is no journal here")
        if "insufficient permissions" in errors:
            raise Unclear("the journal can't be read: add the user to the group systemd-journal, or look as root")
        if said and _PARTLY not in errors and "Hint" not in said:
            raise Unclear(f"journalctl: {said}")


def _entry(record: Mapping[str, Any], moment: float) -> Entry:
    writer = [str(record.get(name) or "") for name in ("_SYSTEMD_UNIT", "SYSLOG_IDENTIFIER", "_PID")]
    return Entry(cleaned_text(text_of(record.get("MESSAGE"))), moment, "|".join(writer))


def _several(given: Any) -> Tuple[Any, ...]:
    return tuple(given) if isinstance(given, (tuple, list)) else (given,)


def _answer(argv: List[str], env: Mapping[str, str]) -> Tuple[List[bytes], str, int]:
    """Return the lines that a program prints, its complaints, and 1 where it was cut short.

    Raises:
        Unclear: it can't be started, or says nothing for long.
    """
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**env, "LC_ALL": "C", "SYSTEMD_COLORS": "0"},
        )
    except OSError as error:
        raise Unclear(f"{argv[0]} can't be started: {error.strerror}") from error
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        output = _Lines()
        errors = b""
        until = time.monotonic() + PATIENCE
        pipes = {process.stdout.fileno(), process.stderr.fileno()}
        try:
            while pipes and not output.full:
                ready, _, _ = select.select(list(pipes), [], [], max(0.0, until - time.monotonic()))
                if not ready:
                    break
                for pipe in ready:
                    data = os.read(pipe, 1 << 16)
                    if not data:
                        pipes.discard(pipe)
                    elif pipe == process.stdout.fileno():
                        output.feed(data)
                    else:
                        errors = (errors + data)[:65536]
        finally:
            cut = bool(pipes)
            if cut:
                process.send_signal(signal.SIGKILL)
    if cut and not output.lines:
        raise Unclear(f"journalctl did not answer within {PATIENCE:g} s")
    return output.lines, errors.decode("utf-8", "replace"), int(cut)


class _Lines:
    """The lines of an answer; one that is too long is left out."""

    def __init__(self) -> None:
        self.lines: List[bytes] = []
        self._bytes = 0
        self._rest = b""
        self._skipping = False

    @property
    def full(self) -> bool:
        """A look takes in no more."""
        return len(self.lines) >= MOST or self._bytes >= LARGEST

    def feed(self, data: bytes) -> None:
        """Take in what was printed."""
        *whole, rest = (self._rest + data).split(b"\n")
        if whole and self._skipping:
            whole, self._skipping = whole[1:], False
        self.lines += [line for line in whole if line.startswith(b"{")]
        self._bytes += len(data)
        if len(rest) > LONGEST:
            rest, self._skipping = b"", True
        self._rest = b"" if self._skipping else rest
