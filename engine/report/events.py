"""The report for programs that watch, `--format jsonl`: a line for each fact while it runs, and the summary last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runbook.engine.journal import codec
from runbook.engine.report.document import encode
from runbook.engine.report.gather import Gather
from runbook.engine.report.outlet import Outlet
from runbook.engine.report.passes import SCHEMA
from runbook.engine.report.summary import count, summary_line

if TYPE_CHECKING:
    from typing import TextIO

    from runbook.engine.journal.facts import Fact
    from runbook.engine.report.passes import PassReport

_NAMED = ("host", "detector", "subject", "incident", "operation", "step")


class EventReporter:
    """Writes facts as they happen."""

    def __init__(self, stream: TextIO, redact: codec.Redact = codec.as_is) -> None:
        self._outlet = Outlet(stream)
        self._gather = Gather(redact)

    def fact(self, fact: Fact) -> None:
        """Write what happened."""
        self._write(event(self._gather.add(fact)))

    def progress(self, host: str, title: str, text: str, share: float | None = None) -> None:
        """Programs get the facts; how far a step is, is for people."""

    def finish(self, summary: PassReport | None = None, *, stopped: bool = False) -> PassReport:
        """Write the summary as the last line."""
        report = summary or self._gather.report(stopped=stopped)
        self._write({
            "schema": SCHEMA,
            "event": "summary",
            "exit_code": report.exit_code,
            "summary": summary_line(report),
            "counts": {state: number for state, number in sorted(count(report).items()) if number},
        })  # fmt: skip
        return report

    def _write(self, line: dict[str, Any]) -> None:
        self._outlet.write(encode(line) + "\n")


def event(fact: Fact) -> dict[str, Any]:
    """Return a fact as one flat object with its data in `data`."""
    named = {name: getattr(fact, name) for name in _NAMED if getattr(fact, name)}
    return {"event": fact.kind, "at": fact.at, "run_id": fact.run, **named, "data": dict(fact.data)}
