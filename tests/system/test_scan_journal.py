"""The history of crashes: each counted once, however often and under whatever name its lines are scanned."""

from __future__ import annotations

import gzip
import os
import time

import pytest

SIGNATURES = """\
signatures:
  - {id: test.flux, title: the flux capacitor is empty, pattern: flux capacitor empty, severity: high, category: hardware, role: root, causes: [test.halt]}
  - {id: test.halt, title: the time machine stopped, pattern: time machine halted, severity: medium, category: unknown, role: cascade}
"""


def at(ago, text="flux capacitor empty"):
    """A line that was written so many hours ago."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() - 3600 * ago)) + f" {text}\n"


@pytest.fixture
def kept(cli):
    known = cli.write("signatures.yaml", SIGNATURES)
    cli.env["XDG_CONFIG_HOME"] = str(cli.home / "config")

    def scan(*words, **more):
        return cli("scan", *words, "--signatures", known, **more)

    def counts(*words):
        """Return by signature (crashes, files, lines)."""
        found = cli.json("stats", "--signatures", *words).json["signatures"]
        return {one["signature"]: (one["crashes"], one["files"], one["lines"]) for one in found}

    scan.cli, scan.write, scan.home, scan.counts = cli, cli.write, cli.home, counts
    return scan


def test_crashes_are_counted_by_their_root(kept):
    kept.write("a.log", at(30) + at(30, "time machine halted") + at(5) + at(5))
    kept.write("b.log", at(2))
    assert kept("a.log", "b.log").exit_code == 2
    assert kept.counts() == {"test.flux": (3, 2, 4)}


def test_the_same_lines_count_once_however_often_they_are_scanned(kept):
    kept.write("a.log", at(30) + at(5))
    for _ in range(3):
        kept("a.log")
    kept("a.log", "--since", "6h")
    kept("a.log", "--last-lines", "1")
    assert kept.counts() == {"test.flux": (2, 1, 2)}


def test_a_log_that_has_grown_adds_what_is_new(kept):
    kept.write("a.log", at(30))
    kept("a.log")
    kept.write("a.log", at(30) + at(5))
    kept("a.log")
    assert kept.counts() == {"test.flux": (2, 1, 2)}


def test_a_crash_that_goes_on_is_the_same_crash(kept):
    kept.write("a.log", at(3.00) + at(2.99))
    kept("a.log")
    kept.write("a.log", at(3.00) + at(2.99) + at(2.98))
    kept("a.log")
    assert kept.counts() == {"test.flux": (1, 1, 3)}


def test_rotation_and_packing_make_no_new_crash(kept):
    first = kept.write("a.log", at(30) + "driving\n" * 300)
    kept("a.log")
    content = first.read_bytes()
    first.unlink()
    (kept.home / "a.log.1.gz").write_bytes(gzip.compress(content))
    kept("a.log.1.gz")
    assert kept.counts() == {"test.flux": (1, 1, 1)}


def test_lines_without_times_count_once_by_what_stands_above_them(kept):
    text = "step 1\nstep 2\nflux capacitor empty\n"
    kept.write("a.log", text)
    kept("a.log")
    kept.write("a.log", text + "restarted\n" * 2000 + "step 7\nflux capacitor empty\n")
    kept("a.log")
    kept("a.log")
    assert kept.counts() == {"test.flux": (2, 1, 2)}


def test_ranks_of_one_run_are_one_crash(kept):
    for rank in range(4):
        kept.write(f"timed/{rank}/err.log", at(1))
        kept.write(f"timeless/{rank}/err.log", f"rank {rank}\nflux capacitor empty\n")
    kept("timed")
    assert kept.counts() == {"test.flux": (1, 4, 4)}
    kept("timeless")
    assert kept.counts() == {"test.flux": (2, 8, 8)}


def test_ranks_that_are_scanned_one_by_one_are_one_crash(kept):
    for rank in range(3):
        kept.write(f"rank{rank}.log", at(1))
        kept(f"rank{rank}.log")
    assert kept.counts() == {"test.flux": (1, 3, 3)}


def test_a_line_without_a_time_is_dated_by_its_file(kept):
    path = kept.write("a.log", "flux capacitor empty\n")
    os.utime(path, (time.time() - 20 * 86400,) * 2)
    kept("a.log")
    assert kept.counts() == {"test.flux": (1, 1, 1)}
    assert kept.counts("--since", "7d") == {}


def test_a_scan_says_what_was_kept_before(kept):
    kept.write("a.log", at(30 * 24) + at(20 * 24))
    assert "before this" not in kept("a.log").out
    assert "before this" not in kept("a.log").out
    kept.write("b.log", at(1))
    days = [time.strftime("%Y-%m-%d", time.localtime(time.time() - 86400 * day)) for day in (30, 20)]
    shown = f"  past    2 crashes before this, since {days[0]}, the last on {days[1]}\n"
    assert shown in kept("b.log").out
    incident = kept("b.log", "--format", "json").json["incidents"][0]
    assert incident["before"]["crashes"] == 2


def test_nothing_is_kept_when_asked_or_when_nothing_was_found(kept):
    kept.write("a.log", at(1))
    kept.write("good.log", "driving\n")
    assert kept("a.log", "--no-journal").exit_code == 2
    assert kept("good.log").exit_code == 0
    assert not (kept.home / "journal.db").exists()


def test_a_journal_that_cannot_be_written_takes_nothing_from_the_report(kept):
    kept.write("a.log", at(1))
    whole = kept("a.log", "--no-journal")
    (kept.home / "not-a-journal").write_text("these are no pages of SQLite, and it is long enough to be read " * 40)
    for journal in (kept.home, kept.home / "not-a-journal", "/proc/journal.db"):
        done = kept("a.log", "--journal", journal)
        assert done.exit_code == 2
        assert done.out.splitlines()[:-2] == whole.out.splitlines()[:-2]
        assert done.err.startswith("warning: what was found is not kept: ")


def test_the_table_shows_the_weeks(kept):
    kept.write("a.log", at(0.1) + at(7 * 24) + at(7 * 24 - 1) + at(50 * 24))
    kept("a.log")
    head, row = kept.cli("stats", "--signatures", "--since", "all").out.splitlines()
    assert head.split() == ["SIGNATURE", "crashes", "files", "first", "last", "-3w", "-2w", "-1w", "now"]
    assert row.split()[:3] == ["test.flux", "4", "1"]
    weeks = kept.cli.json("stats", "--signatures", "--since", "all").json["signatures"][0]["weeks"]
    assert (len(weeks), sum(week["crashes"] for week in weeks)) == (6, 3)
    assert row.split()[-1] == str(weeks[-1]["crashes"])
    assert max(map(len, (head, row))) <= 80


def test_stats_of_no_crashes_say_how_they_come(kept):
    shown = kept.cli("stats", "--signatures").out
    assert shown.startswith("No crash is kept in that time in the journal at ")
    assert "`runbook scan LOG` keeps what it finds" in shown


def test_crashes_are_not_asked_for_by_detector(kept):
    done = kept.cli("stats", "--signatures", "--detector", "x")
    assert (done.exit_code, "crashes know no detector" in done.err) == (1, True)


def test_a_journal_of_the_version_before_is_brought_up_to_date(kept):
    import sqlite3

    from runbook.engine.journal import schema

    path = kept.home / "journal.db"
    connection = sqlite3.connect(path)
    for statement in schema.statements(schema.MIGRATIONS[0]):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {schema.APPLICATION}")
    connection.execute("PRAGMA user_version = 1")
    connection.commit()
    connection.close()
    kept.write("a.log", at(1))
    done = kept("a.log")
    assert (done.exit_code, done.err) == (2, "")
    assert kept.counts() == {"test.flux": (1, 1, 1)}
