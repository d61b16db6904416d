"""What a reporter is told of a pass, whatever it makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from runbook.engine.journal.facts import Fact
    from runbook.engine.report.passes import PassReport


class Reporter(Protocol):
    """Gets every fact while a pass runs, and what it came to at the end."""

    def fact(self, fact: Fact) -> None:
        """Take in what happened."""

    def progress(self, host: str, title: str, text: str, share: float | None = None) -> None:
        """Show how far a long step is; nothing of it is kept."""

    def finish(self, summary: PassReport | None = None, *, stopped: bool = False) -> PassReport:
        """Write the end; without a summary, what the facts came to. Returns what was written."""
