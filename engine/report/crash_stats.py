"""The table of `stats --signatures`: which failure how often, in how many files, and whether it gets worse."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from runbook.engine.report import words
from runbook.engine.report.table import table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runbook.engine.journal.crashes import SignatureRate
    from runbook.engine.report.paint import Paint

_TOLD = 4  # weeks in the table; the document has them all
_YEAR = 300  # days: what is longer ago bears its year


def lines(paint: Paint, found: Sequence[SignatureRate]) -> Iterator[str]:
    """Yield the lines of the table: a column for each of the last weeks, of which the newest goes on."""
    if not found:
        return
    heads = ("SIGNATURE", "crashes", "files", "first", "last", "-3w", "-2w", "-1w", "now")
    now = datetime.now().astimezone()
    rows = [
        (
            words.printable(one.name),
            str(one.crashes),
            str(one.files),
            _day(one.first, now),
            _day(one.last, now),
            *(str(number or "-") for _, number in one.weeks[-_TOLD:]),
        )
        for one in found
    ]
    yield from table(paint, heads, rows)


def document(found: Sequence[SignatureRate]) -> dict[str, Any]:
    """Return the table as a document, with more weeks."""
    return {
        "signatures": [
            {**asdict(one), "weeks": [{"from": monday, "crashes": number} for monday, number in one.weeks]}
            for one in found
        ]
    }


def _day(at: float, now: datetime) -> str:
    """Return a day of the last months, or a month of earlier years."""
    day = datetime.fromtimestamp(at).astimezone()
    return f"{day:%d %b}" if (now - day).days < _YEAR else f"{day:%b %Y}"
