"""What `runbook status` does. Plain words bring it here past click, whose import costs more than the answer."""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

FORMS: Final = ("text", "json")
_OPTIONS: Final = {"--host": "host", "--runbook": "runbook", "--journal": "journal", "--format": "form"}


def direct(words: Sequence[str]) -> int | None:
    """Answer what follows `runbook status`; None where that is for click: help, mistakes, a configuration's defaults.

    Raises:
        UserError: the journal or the configuration can't be read.
    """
    if len(words) % 2 or (sys.stdout.encoding or "").lower() not in {"utf-8", "utf8"}:
        return None
    given: dict[str, str] = {}
    for option, value in zip(words[::2], words[1::2], strict=True):
        name = _OPTIONS.get(option)
        if name is None or name in given or value[:1] in {"", "-"} or (name == "form" and value not in FORMS):
            return None
        given[name] = value
    from runbook.engine import configuration

    if configuration.read().defaults:
        return None
    return answer(**given)


def answer(host: str = "", runbook: str = "", journal: str | None = None, form: str = FORMS[0]) -> int:
    """Write how things stand to stdout, and return the exit code."""
    from runbook.engine.journal.ask.standing import standing
    from runbook.engine.journal.store import open_journal
    from runbook.engine.report import standing as report
    from runbook.engine.report.paint import paint_for

    now = time.time()
    with open_journal(journal, read_only=True) as book:
        stands = standing(book, now, runbook, host, partial(at_work, book.path))
        if form == "json":
            from runbook.engine.report.document import encode
            from runbook.engine.report.standing_document import document

            sys.stdout.write(encode({"journal": book.path, **document(stands, now)}, indent=2) + "\n")
            return report.exit_code(stands)
        paint = paint_for(sys.stdout)
        shown = "\n".join(paint.fit(line) for line in report.lines(paint, stands, now))
        sys.stdout.write((shown or _nothing(book.path, exists=book.exists, narrowed=bool(host or runbook))) + "\n")
    return report.exit_code(stands)


def at_work(journal: str, run: str) -> bool:
    """Tell whether a run that has no end lives; where nobody may ask, it does."""
    from runbook.engine.errors import JournalUnusable
    from runbook.engine.journal.locks import Locks

    try:
        with Locks(journal, asks_only=True) as locks:
            return locks.held(f"run {run}")
    except JournalUnusable:
        return True


def _nothing(path: str, *, exists: bool, narrowed: bool) -> str:
    if not exists:
        return f"Nothing yet: there is no journal at {path}. `runbook apply quickstart` begins one."
    return f"Nothing {'about that ' if narrowed else ''}in the journal at {path}."
