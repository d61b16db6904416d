"""The report for people: a block for each fault as it ends, the rest at the end, and what is next in the last line."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from runbook.engine.journal import codec
from runbook.engine.report import words
from runbook.engine.report.blocks import Blocks
from runbook.engine.report.gather import Gather
from runbook.engine.report.live import Live
from runbook.engine.report.outlet import Outlet
from runbook.engine.report.paint import Paint, on_terminal, paint_for
from runbook.engine.report.summary import counted, summary_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

    from runbook.engine.journal.facts import Fact
    from runbook.engine.report.board import Board
    from runbook.engine.report.folded import Group
    from runbook.engine.report.passes import HostReport, OperationReport, PassReport, RunReport

_COLOURS = {0: "green", 3: "cyan", 4: "yellow"}


class TextReporter:
    """Writes as it goes; on a terminal, long steps show how long they have been at it."""

    def __init__(
        self, stream: TextIO, *, verbosity: int = 0, redact: codec.Redact = codec.as_is, paint: Paint | None = None
    ) -> None:
        self._stream = stream
        self._outlet = Outlet(stream)
        self._verbosity = verbosity
        self._redact = redact
        self._paint = paint or paint_for(stream)
        self._blocks = Blocks(self._paint, verbosity=verbosity)
        self._gather = Gather(redact)
        watched = on_terminal(stream)
        self._live = Live(stream) if watched and verbosity >= 0 else None  # of one host
        self._board: Board | None = None  # of many
        self._watched = watched
        self._told: set[tuple[str, str, str]] = set()  # run, host, and an incident's id or an operation's name
        self._headed = ""  # the run whose heading was written last
        self._left: list[tuple[RunReport, str, OperationReport]] = []  # skipped ones that were not told yet
        self._tabled: dict[str, set[str]] = {}  # runs of which a table has told; the detectors that it cut short
        self._messages: dict[str, list[tuple[str, str]]] = {}  # of runs over many hosts: who said what
        self._over: set[str] = set()  # runs of which everything was written
        self._short = False  # the last block was a line; the next one, if a line too, follows without a gap

    def fact(self, fact: Fact) -> None:
        """Take in what happened, and write the block of what has ended."""
        fact = self._gather.add(fact)
        run = self._gather.run(fact)
        if fact.kind == "run.begun":
            self._rests(self._gather.report().runs[:-1])
        self._watch(fact, run)
        if self._folds(run):
            if fact.kind == "notified":
                self._messages.setdefault(fact.run, []).append((fact.host, str(fact.data.get("message") or "")))
            return
        if fact.kind != "operation.ended":
            self._skipped()
        if fact.kind == "incident.ended":
            self._incident(fact)
        elif fact.kind == "operation.ended":
            self._operation(fact)
        elif fact.kind == "notified":
            self._notified(fact)
        elif fact.kind == "channel.told":
            self._channel(fact)

    def progress(self, host: str, title: str, text: str, share: float | None = None) -> None:
        """Show how far a long step is."""
        if self._board:
            self._board.update(*(words.printable(self._redact(one)) for one in (host, title, text)), share=share)
        if self._live:
            self._live.update(*(words.printable(self._redact(one)) for one in (host, title, text)), share=share)

    def finish(self, summary: PassReport | None = None, *, stopped: bool = False) -> PassReport:
        """Write what has not ended by itself, the hosts that are well, and the last line."""
        report = summary or self._gather.report(stopped=stopped)
        if self._board:
            self._board.end()
        self._skipped()
        self._rests(report.runs)
        if self._silent(report):
            return report
        said, colour = summary_line(report), _COLOURS.get(report.exit_code, "red")
        if words.width(said) > self._paint.columns:
            said = said.replace(": ", ":\n", 1)
        lines = [self._paint(part, "bold", colour) for line in said.split("\n")
                 for part in words.wrapped(line, self._paint.columns)]  # fmt: skip
        self._write(([""] if self._headed else []) + lines)
        return report

    def _watch(self, fact: Fact, run: RunReport) -> None:
        """Show on a terminal what goes on: a line for what takes long, or many hosts."""
        if len(run.hosts) > 1:
            if fact.kind == "run.begun" and self._watched and self._level(run) == 0:  # -v tells of each as it ends
                self._begin_board(run)
            elif self._board and fact.kind == "run.ended":
                self._board.end()
            elif self._board and fact.host:
                self._board.follow(fact, self._gather.host(fact))
        elif self._live:
            self._live.follow(fact)

    def _begin_board(self, run: RunReport) -> None:
        from runbook.engine.report.board import Board

        self._board = self._board or Board(self._stream, self._paint)
        self._board.begin(self._title(run), run.hosts)

    def _silent(self, report: PassReport) -> bool:
        """With -q nothing is said where nothing happened."""
        return self._verbosity < 0 and report.exit_code == 0 and not (report.stopped or counted(report))

    def _incident(self, fact: Fact) -> None:
        one = self._gather.incident(fact)
        self._told.add((fact.run, fact.host, one.id))
        if self._verbosity < 0 and one.state == "cured":
            return
        run = self._gather.run(fact)
        self._block(run, self._blocks.incident(one, _named(run, fact.host)))

    def _operation(self, fact: Fact) -> None:
        one = self._gather.operation(fact)
        self._told.add((fact.run, fact.host, one.name))
        run = self._gather.run(fact)
        if one.state == "skipped":
            self._left.append((run, fact.host, one))
            return
        if self._verbosity < 0 and one.state in ("succeeded", "planned"):
            return
        self._block(run, self._blocks.operation(one, _named(run, fact.host)))

    def _skipped(self) -> None:
        """Write a line for operations that were skipped one after the other for the same reason."""
        left, self._left = self._left, []
        for _, group in itertools.groupby(left, key=lambda one: (one[0].run_id, one[1], one[2].error)):
            (run, host, first), *others = group
            asked_for = not first.error or "--tags" in first.error  # its own `when`, and what somebody left out
            if self._verbosity >= (1 if asked_for else 0):
                names = [first.name, *(one.name for _, _, one in others)]
                reason = first.error or "its `when` does not hold"
                self._block(run, self._blocks.skipped(names, reason, _named(run, host)))

    def _notified(self, fact: Fact) -> None:
        self._say(self._gather.run(fact), words.printable_lines(str(fact.data.get("message") or "")))

    def _message(self, run: RunReport, group: Group[str]) -> None:
        hosts = len(group.hosts)
        alike = [self._paint(f"(and the like of {words.amount(hosts - 1, 'other host')})", "dim")] if hosts > 1 else []
        self._say(run, words.printable_lines(group.first), alike)

    def _say(self, run: RunReport, lines: Sequence[str], beneath: Sequence[str] = ()) -> None:
        room = self._paint.columns - 2
        shown = [*(part for line in lines for part in words.wrapped(line, room)), *beneath]
        self._block(run, [self._paint("> ", "cyan") + line for line in shown])

    def _channel(self, fact: Fact) -> None:
        """Say whom a channel did not reach; with -v, whom it did, and what was held back."""
        status, channel = str(fact.data.get("status")), words.printable(str(fact.data.get("channel")))
        reason = words.printable(str(fact.data.get("reason") or ""))
        run = self._gather.run(fact)
        if status == "failed":
            self._block(run, self._blocks.untold(channel, reason))
        elif status == "held" and self._verbosity >= 0:
            self._block(run, [self._paint(f"  {channel} is not told again: {reason}", "dim")])
        elif status == "sent" and (self._verbosity > 0 or fact.data.get("cured") is True):
            over = "that it is over" if fact.data.get("cured") is True else str(fact.data.get("message"))
            self._block(run, [self._paint(f"  {channel} was told: {words.printable(over)}", "dim")])

    def _folds(self, run: RunReport) -> bool:
        """Of many hosts, what is alike is told once, at the end; -v tells each by itself, when it ends."""
        return len(run.hosts) > 1 and self._level(run) <= 0

    def _level(self, run: RunReport) -> int:
        """A step by itself is asked for to see what it says; -v of it means each host by itself, as elsewhere."""
        return self._verbosity - 1 if run.command == "run" and self._verbosity > 0 else self._verbosity

    def _rests(self, runs: Sequence[RunReport]) -> None:
        """Write what is left to be said of runs."""
        for run in runs:
            if run.run_id in self._over:
                continue
            self._over.add(run.run_id)
            if self._folds(run):
                self._fold(run)
            else:
                for host in run.hosts.values():
                    self._rest(run, host)
            if run.halted:
                self._block(run, self._blocks.unseen("stopped", "the pass", "", run.halted))
            if len(run.hosts) > 1:
                self._recap(run)

    def _fold(self, run: RunReport) -> None:
        """Write what happened on many hosts, and what was said about them."""
        from runbook.engine.report import folded
        from runbook.engine.report.across import Across

        across = Across(self._paint, self._blocks, verbosity=self._level(run))
        for lines in across.findings(run, self._tabled.get(run.run_id)):
            self._block(run, lines)
        for group in folded.messages(self._messages.pop(run.run_id, ())):
            self._message(run, group)
        for channel, reason in dict.fromkeys(
            (str(one["channel"]), str(one["reason"] or ""))
            for host in run.hosts.values()
            for one in host.told
            if one["status"] == "failed"
        ):
            self._block(run, self._blocks.untold(channel, reason))

    def _recap(self, run: RunReport) -> None:
        """Write how many hosts stand how, where not all are well, or somebody wants to know."""
        from runbook.engine.report.across import Across, standing

        told = self._level(run) > 0 or any(standing(run, host) not in ("well", "done") for host in run.hosts.values())
        across = Across(self._paint, self._blocks, verbosity=self._level(run))
        if told and (lines := across.recap(run)):
            self._block(run, lines)

    def _rest(self, run: RunReport, host: HostReport) -> None:
        name = _named(run, host.name)
        for operation in host.operations:
            told = (run.run_id, host.name, operation.name) in self._told
            if not told and operation.state == "skipped":
                self._left.append((run, host.name, operation))
            elif not told and (operation.state not in ("succeeded", "pending") or self._verbosity > 0):
                self._block(run, self._blocks.operation(operation, name))
        self._skipped()
        for one in host.incidents:
            ended = bool(one.id) and (run.run_id, host.name, one.id) in self._told
            ended = ended or (one.state == "pending" and run.run_id in self._tabled)
            if not ended and not (self._verbosity < 0 and one.state in ("pending", "cured")):
                self._block(run, self._blocks.incident(one, name))
        for step in host.steps:
            if step.failed or self._verbosity > 0:
                self._block(run, self._blocks.closing(step, name))
        tabled = self._tabled.get(run.run_id)
        for unseen in host.unknown:
            if tabled is None or unseen.detector in tabled:
                self._block(run, self._blocks.unseen("unknown", unseen.detector, name, unseen.reason))
        if host.unreachable and (tabled is None or not tabled.isdisjoint({"", host.name})):
            self._block(run, self._blocks.unseen("unreachable", host.name, "", host.unreachable))
        if self._verbosity >= 0 and tabled is None:
            lacking: dict[str, list[str]] = {}
            for unseen in host.absent:
                lacking.setdefault(unseen.reason, []).append(unseen.detector)
            if lacking:
                each = (self._blocks.absent(detectors, reason, name) for reason, detectors in lacking.items())
                self._block(run, [line for lines in each for line in lines])

    def _block(self, run: RunReport, lines: list[str]) -> None:
        """Write a block, with the runbook's name above its first one, and a gap before it."""
        short = len(lines) == 1
        if self._headed != run.run_id:
            self._write([*self._head(run), "", *lines])
        else:
            self._write(lines if short and self._short else ["", *lines])
        self._headed, self._short = run.run_id, short

    def _title(self, run: RunReport) -> str:
        where = words.printable(next(iter(run.hosts))) if len(run.hosts) == 1 else words.amount(len(run.hosts), "host")
        return words.printable(run.runbook) + (f" on {where}" if run.hosts else "")

    def _head(self, run: RunReport) -> list[str]:
        title = self._title(run)
        tail = "  check: nothing is changed" if run.check else ""
        return ([""] if self._headed else []) + [self._paint(title, "bold") + self._paint(tail, "dim")]

    def _write(self, lines: list[str]) -> None:
        if self._live:
            self._live.hide()
        self._outlet.write(self._paint.fit("\n".join(lines)) + "\n")


def _named(run: RunReport, host: str) -> str:
    """Return the host's name where a block has to say it."""
    return host if len(run.hosts) > 1 else ""
