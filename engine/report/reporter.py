"""Who tells people, or programs, what a pass does: one of three forms, and a file per host where that is asked for."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal

from runbook.engine.journal import codec

if TYPE_CHECKING:
    from typing import TextIO

    from runbook.engine.report.told import Reporter

Format = Literal["text", "json", "jsonl"]


def reporter(
    form: Format,
    stream: TextIO,
    *,
    verbosity: int = 0,
    health: bool = False,
    redact: codec.Redact = codec.as_is,
    log_dir: str | None = None,
) -> Reporter:
    """Return the reporter of `--format`.

    Args:
        form: text, json or jsonl.
        stream: where it writes, usually sys.stdout.
        verbosity: -1 for -q, 0, 1 for -v.
        health: a table of all that was looked at comes first.
        log_dir: where a file is written for each host; None = nowhere.
        redact: takes the secrets out of a text; nothing is shown that has not gone through it.
    """
    told = _reporter(form, stream, verbosity=verbosity, health=health, redact=redact)
    if log_dir is None:
        return told
    from runbook.engine.report.host_logs import HostLogs

    return HostLogs(log_dir, told, redact)


def _reporter(form: Format, stream: TextIO, *, verbosity: int, health: bool, redact: codec.Redact) -> Reporter:
    if form == "json":
        from runbook.engine.report.document import DocumentReporter

        return DocumentReporter(stream, redact)
    if form == "jsonl":
        from runbook.engine.report.events import EventReporter

        return EventReporter(stream, redact)
    if health:
        from runbook.engine.report.health import HealthReporter

        return HealthReporter(stream, verbosity=verbosity, redact=redact)
    from runbook.engine.report.text import TextReporter

    return TextReporter(stream, verbosity=verbosity, redact=redact)


def leave() -> None:
    """Give the terminal back at once, where somebody has it: something went wrong, and a person is to read it."""
    board = sys.modules.get("runbook.engine.report.board")
    if board is not None:
        board.leave()
