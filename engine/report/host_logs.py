"""`--log-dir`: a file per host with everything about it, written while it happens, for its owner alone."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.errors import UserError
from runbook.engine.journal import codec
from runbook.engine.report import evidence, words
from runbook.engine.report.blocks import did
from runbook.engine.report.reading import clean, step_report

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runbook.engine.journal.facts import Fact
    from runbook.engine.report.passes import PassReport
    from runbook.engine.report.told import Reporter

_UNSAFE: Final = re.compile(rb"[^A-Za-z0-9._-]|\A[.-]")
_LONGEST: Final = 120  # characters of a name
_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_INDENT: Final = " " * 26
_EVERYWHERE: Final = frozenset({"run.begun", "run.halted", "run.ended"})  # facts that every host's file has
_SAID: Final = ("to", "state", "reason", "guard", "attempt", "delay", "message", "channel", "status", "pool", "from")


def file_name(host: str) -> str:
    """Return a name for a host's file: no two hosts have the same, and none leads anywhere else.

    Example:
        >>> file_name("gpu01.example.com"), file_name("../etc/passwd")
        ('gpu01.example.com.log', '%2E.%2Fetc%2Fpasswd.log')
    """
    raw = host.encode("utf-8", "surrogateescape")
    name = _UNSAFE.sub(lambda match: b"%%%02X" % match[0][0], raw).decode("ascii")
    if len(name) > _LONGEST:
        name = f"{name[:_LONGEST]}~{hashlib.sha256(raw).hexdigest()[:16]}"
    return f"{name}.log"


class HostLogs:
    """A reporter that writes the files, and passes everything on to another one."""

    def __init__(self, folder: str, reporter: Reporter, redact: codec.Redact = codec.as_is) -> None:
        """Make the directory where it is missing.

        Raises:
            UserError: it can't be made, or belongs to somebody else.
        """
        self._folder = folder
        self._reporter = reporter
        self._redact = redact
        self._hosts: dict[str, list[str]] = {}  # of each run
        self._gone = False
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)  # noqa: PTH103 -- its mode
            self._directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            found = os.fstat(self._directory)
        except OSError as error:
            raise UserError(
                str(error.strerror), where=f"--log-dir {folder}", mend="name a directory of yours"
            ) from error
        if found.st_uid != os.geteuid():
            raise UserError(
                "it belongs to somebody else", where=f"--log-dir {folder}", mend="name a directory of yours"
            )

    def fact(self, fact: Fact) -> None:
        """Write what happened into its host's file, and pass it on."""
        self._keep(fact)
        self._reporter.fact(fact)

    def progress(self, host: str, title: str, text: str, share: float | None = None) -> None:
        """Pass on how far a step is; nothing of it is kept."""
        self._reporter.progress(host, title, text, share)

    def finish(self, summary: PassReport | None = None, *, stopped: bool = False) -> PassReport:
        """Let the other one write its end."""
        return self._reporter.finish(summary, stopped=stopped)

    def _keep(self, fact: Fact) -> None:
        if self._gone:
            return
        fact = clean(fact, self._redact)
        if fact.kind == "run.begun":
            named = fact.data.get("hosts")
            self._hosts[fact.run] = [str(host) for host in named] if isinstance(named, list) else []
        if fact.kind not in _EVERYWHERE:
            hosts = [fact.host] if fact.host else []
        elif fact.kind == "run.ended":
            hosts = self._hosts.pop(fact.run, [])
        else:
            hosts = self._hosts.get(fact.run, [])
        if hosts:
            text = "".join(f"{line}\n" for line in lines(fact))
            for host in hosts:
                self._write(host, text)

    def _write(self, host: str, text: str) -> None:
        name = file_name(host)
        try:
            file = os.open(name, _FLAGS, 0o600, dir_fd=self._directory)
            try:
                found = os.fstat(file)
                if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_nlink != 1:
                    raise OSError(0, f"{name} is no file of ours alone")
                if stat.S_IMODE(found.st_mode) != 0o600:
                    os.fchmod(file, 0o600)
                os.write(file, text.encode("utf-8", "backslashreplace"))
            finally:
                os.close(file)
        except OSError as error:
            self._gone = True
            said = words.printable(f"error: --log-dir {self._folder}: {error.strerror or error}")
            print(f"{said}\n  the run goes on without these logs", file=sys.stderr)  # noqa: T201 -- told once, and gone on


def lines(fact: Fact) -> Iterator[str]:
    """Yield what a host's file says of a fact: time, run and kind, then all that is known of it."""
    data = fact.data
    when = f"{datetime.fromtimestamp(fact.at).astimezone():%Y-%m-%d %H:%M:%S%z}"
    about = [fact.detector or str(data.get("detector") or data.get("detector_pending") or ""), fact.subject]
    about += [f"operation {fact.operation}" if fact.operation else "", fact.incident]
    title = " · ".join(words.printable(part) for part in about if part)
    yield f"{when}  {fact.kind:<18} {_headline(fact, title)}".rstrip()
    for text in (*_told(fact), *_block(data)):
        yield _INDENT + text


def _headline(fact: Fact, title: str) -> str:
    data = fact.data
    if fact.kind == "run.begun":
        named = words.printable(f"{data.get('runbook')} {data.get('command') or ''}".strip())
        return f"{named}, run {fact.run}" + (" (check: nothing is changed)" if data.get("check") else "")
    if fact.kind == "run.ended":
        return f"run {fact.run}"
    return title


def _told(fact: Fact) -> Iterator[str]:
    """Yield sentences: what was seen, what a step did, and whatever else the fact says in a word."""
    data = fact.data
    if seen := evidence.sentence(data, subject=fact.subject):
        yield f"saw {seen}"
    if fact.kind in ("step.ended", "step.undone", "attempt.ended") and data.get("module"):
        step = step_report(data)
        label, said = did(step, words.printable(step.title or step.module))
        spent = f" ({words.duration(step.duration)})" if step.duration else ""
        yield f"{label} {said}{spent}"
    elif fact.kind == "step.begun":
        yield words.printable(str(data.get("title") or data.get("module") or ""))
    said_so = {name: data[name] for name in _SAID if data.get(name) not in (None, "", [], {})}
    if fact.kind not in ("step.ended", "step.undone") and said_so:
        yield ", ".join(f"{name} {words.value(name, value)}" for name, value in said_so.items())
    guards = data.get("guards")
    for guard in guards if isinstance(guards, list) else ():
        if isinstance(guard, dict) and not guard.get("ok"):
            yield words.printable(f"refused by {guard.get('guard')}: {guard.get('reason')}")


def _block(data: Mapping[str, Any]) -> Iterator[str]:
    """Yield all that was printed, and all that was changed."""
    for name in ("error", "output", "diff"):
        text = data.get(name)
        if isinstance(text, str) and text.strip():
            yield f"{name}:"
            yield from (f"│ {line}" for line in words.printable_lines(text.strip("\n")))
