"""How many lines the catalogue names rightly, and of how many crash reports it finds the root.

    python tests/catalogue/accuracy.py             the figures
    python tests/catalogue/accuracy.py --misses    each miss and false positive of the dev split, and the ids of the other

`lines/` and `reports/` were put together by somebody who had not seen the catalogue; dev/ may be looked at while it is
written, heldout/ may not. Most of it was written anew after what public reports hold: the program's wording and the
line's shape are kept, every value is another; what says `observed:` was printed by a real program, here. So the figures
tell how far known wordings are covered, not how often a wording that nobody thought of comes along.

`threads*` (pasted into public threads) and `wordings*` (written from memory) were tried in batches, each while the
catalogue did not know it: it named 0.74 (rare signatures) to 0.97 (common programs) of a batch rightly. Then it was
mended for what they showed, in heldout/ too: they guard that now, and measure nothing new.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from runbook.engine.language import signatures
from runbook.engine.scan import find, look
from runbook.modules.logs.scan import scan

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HERE = Path(__file__).parent
SPLITS = ("dev", "heldout")
APART = 12  # empty lines between two entries: what reaches over several lines must not reach into the next one


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a log, and what it is."""

    line: str
    signature: str | None  # None: it tells of no failure
    source: str
    also: tuple[str, ...] = ()  # ids, and globs of ids, that are right as well

    def right(self, name: str) -> bool:
        """Return whether it may be called this."""
        return self.signature is not None and any(fnmatchcase(name, glob) for glob in (self.signature, *self.also))


@dataclass(frozen=True, slots=True)
class Report:
    """The log of a crash, and its root."""

    log: Path
    root: str
    root_line: int
    source: str
    also: tuple[str, ...] = ()  # ids that are right as well
    not_root: tuple[str, ...] = ()  # what follows from it
    split: str = "dev"

    def right(self, name: str) -> bool:
        """Return whether this may be called its root."""
        return any(fnmatchcase(name, glob) for glob in (self.root, *self.also))


@dataclass(slots=True)
class Accuracy:
    """What came of the lines of a split."""

    found: Counter[str] = field(default_factory=Counter)  # by the id that they are labelled with
    labelled: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)  # by the id that was given wrongly
    missed: list[tuple[Entry, list[str]]] = field(default_factory=list)
    false: list[tuple[Entry, list[str]]] = field(default_factory=list)

    @property
    def recall(self) -> float:
        """Return how many of the lines that tell of a failure are called by a right name."""
        return self.found.total() / max(1, self.labelled.total())

    @property
    def precision(self) -> float:
        """Return how many of the names that were given are right."""
        return self.found.total() / max(1, self.found.total() + len(self.false))

    def precision_of(self, name: str) -> float:
        """Return the same of one id."""
        return self.found[name] / max(1, self.found[name] + self.wrong[name])


@cache
def entries(split: str) -> tuple[Entry, ...]:
    """Return the lines of a split."""
    files = sorted((HERE / "lines" / split).glob("*.yaml"))
    return tuple(
        Entry(one["line"], one["signature"], one["source"], tuple(one.get("also", ())))
        for file in files
        for one in yaml.load(file.read_text(encoding="utf-8"), yaml.CSafeLoader)
    )


@cache
def reports(split: str) -> tuple[Report, ...]:
    """Return the crash reports of a split."""
    index = HERE / "reports" / "index.yaml"
    return tuple(
        Report(
            index.with_name(one["log"]),
            one["root"],
            one["root_line"],
            one["source"],
            tuple(one.get("also", ())),
            tuple(one["not_root"]),
            one["split"],
        )
        for one in yaml.load(index.read_text(encoding="utf-8"), yaml.CSafeLoader)
        if one["split"] == split
    )


@cache
def bundled() -> signatures.Catalogue:
    """Return the catalogue that comes with runbook, without what its user added."""
    return signatures.Catalogue(signatures.bundled(samples=False))


def named(given: Iterable[Entry]) -> Iterator[tuple[Entry, list[str]]]:
    """Give the lines to the scanner, as one log, and yield what it calls each; advice is no name."""
    catalogue = bundled()
    given = tuple(given)
    owner: dict[int, int] = {}
    log: list[str] = []
    for place, entry in enumerate(given):
        for line in entry.line.split("\n"):
            log.append(line)
            owner[len(log)] = place
        log += [""] * APART
    names: defaultdict[int, list[str]] = defaultdict(list)

    def each(line_no: int | None, name: str, _: str) -> None:
        if line_no is not None and catalogue.signatures[name].role != "advice":
            names[owner[line_no]].append(name)

    scan(io.BytesIO("\n".join((*log, "")).encode()), catalogue.patterns(), each=each)
    for place, entry in enumerate(given):
        yield entry, names[place]


@cache
def measure(split: str) -> Accuracy:
    """Return how well the lines of a split are named."""
    accuracy = Accuracy()
    for entry, names in named(entries(split)):
        if entry.signature is not None:
            accuracy.labelled[entry.signature] += 1
        if any(map(entry.right, names)):
            accuracy.found[entry.signature or ""] += 1
            continue
        if entry.signature is not None:
            accuracy.missed.append((entry, names))
        if names:
            accuracy.false.append((entry, names))
            accuracy.wrong.update(set(names))
    return accuracy


def roots(report: Report) -> list[tuple[str, int]]:
    """Return what `runbook scan` calls the roots of a report, and where, the first one first."""
    scanned = look.look(find.find([str(report.log)]), bundled(), look.Asked())
    return [(one.root.sign.id, one.root.first.line) for one in scanned.incidents]


@cache
def unrooted(split: str) -> tuple[tuple[Report, list[tuple[str, int]]], ...]:
    """Return the reports of a split whose first incident is another one, with what was found in them."""
    told = ((report, roots(report)) for report in reports(split))
    return tuple((report, found) for report, found in told if not found or not report.right(found[0][0]))


def main() -> None:
    """Print the figures."""
    asked = argparse.ArgumentParser(description="Measure the catalogue's accuracy.")
    asked.add_argument("--misses", action="store_true", help="name what was missed and what was named wrongly")
    misses = asked.parse_args().misses
    for split in SPLITS:
        accuracy, told = measure(split), len(reports(split))
        innocent = sum(entry.signature is None for entry in entries(split))
        _say(f"{split}: recall {accuracy.recall:.3f} ({accuracy.found.total()} of {accuracy.labelled.total()}), ")
        _say(f"precision {accuracy.precision:.3f} ({len(accuracy.false)} false, {innocent} innocent lines), ")
        _say(f"roots {told - len(unrooted(split))} of {told}\n")
        _table(accuracy)
        if misses:
            _misses(split, accuracy)


def _table(accuracy: Accuracy) -> None:
    for name in sorted({*accuracy.labelled, *accuracy.wrong}):
        found, labelled = accuracy.found[name], accuracy.labelled[name]
        if found < labelled or accuracy.wrong[name]:
            _say(f"  {name}: recall {found} of {labelled}, precision {accuracy.precision_of(name):.2f}\n")


def _misses(split: str, accuracy: Accuracy) -> None:
    shown = split == "dev"
    for title, some in (("missed", accuracy.missed), ("false", accuracy.false)):
        for entry, names in some:
            _say(f"  {title} {entry.signature or 'innocent'}, named {', '.join(names) or 'nothing'}")
            _say(f": {entry.line!r}\n" if shown else "\n")
    for report, found in unrooted(split):
        _say(f"  root {report.log.name if shown else '(a report)'}: {report.root}")
        _say(f" in line {report.root_line}" if shown else "")
        _say(f", not {', '.join(f'{name} in line {line}' for name, line in found[:3]) or 'nothing'}\n")


def _say(text: str) -> None:
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
