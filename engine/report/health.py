"""The health report of `check`: a table of all that was looked at, then what is to be told of what is wrong."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

from runbook.engine.report import health_rows, words
from runbook.engine.report.lines import SIGNS
from runbook.engine.report.passes import BAD, UNFINISHED
from runbook.engine.report.summary import count
from runbook.engine.report.text import TextReporter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runbook.engine.journal.facts import Fact
    from runbook.engine.report.health_rows import Row
    from runbook.engine.report.paint import Paint
    from runbook.engine.report.passes import HostReport, IncidentReport, PassReport, RunReport

_HEADS: Final = ("STATE", "WHAT", "WHERE", "SAW", "SINCE")
_WIDEST: Final = (12, 28, 30)  # columns of state, what and where
_NARROWEST: Final = 22  # of what was seen
_LEAST: Final = 14  # of what and where, which give way to it
_GAP: Final = "  "
_MOST: Final = 6  # lines of one row
_INPUTS: Final = frozenset({"holds", "not so"})
_CALM: Final = _INPUTS | {"well", "absent", "pending"}


class HealthReporter(TextReporter):
    """Writes the table when everything was looked at."""

    def fact(self, fact: Fact) -> None:
        """Take in what happened; only what a runbook wants people to be told is written at once."""
        fact = self._gather.add(fact)
        run = self._gather.run(fact)
        self._watch(fact, run)
        if fact.kind == "notified" and self._folds(run):
            self._messages.setdefault(fact.run, []).append((fact.host, str(fact.data.get("message") or "")))
        elif fact.kind == "notified":
            self._notified(fact)

    def finish(self, summary: PassReport | None = None, *, stopped: bool = False) -> PassReport:
        """Write the table, what more there is to say of what is wrong, and the last line."""
        report = summary or self._gather.report(stopped=stopped)
        if self._board:
            self._board.end()
        for run in report.runs:
            rows = [row for row in self._rows(run) if self._verbosity >= 0 or row.state not in _CALM]
            cut: set[str] = set()
            if rows and not self._silent(report):
                self._block(run, _table(self._paint, rows, cut))
            if self._folds(run):
                cut.add("")  # their rows have no more than the first words of why a host can't be reached
            for host in run.hosts.values():
                self._told |= {(run.run_id, host.name, one.id) for one in _brief(host, cut)}
            self._tabled[run.run_id] = cut
        return super().finish(report, stopped=stopped)

    def _rows(self, run: RunReport) -> list[Row]:
        if not self._folds(run):
            return health_rows.rows(run)
        from runbook.engine.report import health_across

        return health_across.rows(run)

    def _silent(self, report: PassReport) -> bool:
        """With -q nothing is said where nothing is wrong, nor of what merely has to be looked at once more."""
        return (
            self._verbosity < 0
            and report.exit_code == 0
            and {state for state, number in count(report).items() if number} <= {"pending"}
        )


def _brief(host: HostReport, cut: set[str]) -> Iterator[IncidentReport]:
    """Yield the incidents of which the table has told everything."""
    for one in host.incidents:
        if one.id and not health_rows.more_to_say(one, cut):
            yield one


def _table(paint: Paint, rows: Sequence[Row], cut: set[str]) -> list[str]:
    """Return the lines of the table; of rows that had to be cut, the detectors are put into `cut`."""
    widths = [
        min(most, max(words.width(words.printable(text)) for text in (head, *(row.cells[place] for row in rows))))
        for place, (head, most) in enumerate(zip(_HEADS[:3], _WIDEST, strict=True))
    ]
    last = max(len(row.since) for row in rows)
    last = max(last, len(_HEADS[4])) if last else 0
    room = paint.columns - 2 - sum(widths) - 3 * len(_GAP) - (last + len(_GAP) if last else 0)
    while room < _NARROWEST and max(widths[1:]) > _LEAST:
        widths[1 if widths[1] > widths[2] else 2] -= 1
        room += 1
    room = max(room, _LEAST)
    heads = [text + " " * (wide - len(text)) for text, wide in zip(_HEADS[:3], widths, strict=True)]
    since = _GAP + _HEADS[4] if last else ""
    lines = [paint(("  " + _GAP.join([*heads, f"{_HEADS[3]:<{room}}" if last else _HEADS[3]]) + since).rstrip(), "dim")]
    for row in rows:
        sign, colour = SIGNS["cured"] if row.state == "well" else SIGNS.get(row.state, ("-", "dim"))
        saw = words.wrapped(words.printable(row.saw), room)
        if len(saw) > _MOST:
            cut.add(row.what)
            saw = [*saw[: _MOST - 1], words.cut(" ".join(saw[_MOST - 1 :]), room)]
        what = words.wrapped(words.printable(row.what), widths[1])
        if len(what) > _MOST:
            what = [*what[: _MOST - 1], words.cut(" ".join(what[_MOST - 1 :]), widths[1])]
        cells = [_filled(text, wide) for text, wide in zip((row.state, what[0], ""), widths, strict=True)]
        cells[2] = _filled(_ending(words.printable(row.where), widths[2]), widths[2])
        cells[0] = paint(cells[0], colour)
        if row.state in BAD | UNFINISHED:
            cells[1] = paint(cells[1], "bold")
        first = _GAP.join([*cells, _filled(saw[0] if saw else "", room) if row.since else saw[0] if saw else ""])
        lines.append(f"{paint(sign, colour)} {first}{_GAP + row.since if row.since else ''}".rstrip())
        for name, more in itertools.zip_longest(what[1:], saw[1:], fillvalue=""):
            below = " " * (2 + widths[0]) + _GAP + _filled(name, widths[1]) + _GAP + " " * widths[2] + _GAP + more
            lines.append(below.rstrip())
    return lines


def _ending(text: str, wide: int) -> str:
    """Cut a text at its begin: paths differ at their ends."""
    while words.width(text) > wide:
        text = "…" + text[len(text) - min(len(text) - 2, wide - 1) :]
    return text


def _filled(text: str, wide: int) -> str:
    cut = words.cut(text, wide)
    return cut + " " * (wide - words.width(cut))
