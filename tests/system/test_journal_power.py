"""The power goes: of the journal's log only a part reached the disk, and what is read is what was written first."""

import hashlib
import shutil
import sqlite3

import pytest

from runbook.engine.journal import database, schema
from runbook.engine.journal.facts import Fact, IncidentRow, IntentRow
from runbook.engine.journal.store import open_journal
from runbook.engine.people import Ack

HEADER, FRAME = 32, 24 + 4096  # bytes, of the log and of each page in it


def turn(journal, number):
    """Write what a turn writes: an event, where the incident stands, and the next intent."""
    with journal.transaction() as batch:
        batch.event(Fact("step.begun", float(number), "r1", "h", incident="i1", step=f"n{number}"))
        batch.incident(
            IncidentRow("i1", "llm", "down", "h", "", "recovering", "high", 1.0, number, None, {"n": number})
        )
        batch.intent(
            IntentRow(f"n{number}", "r1", "h", "", "i1", "", "shell", "shell", {"x": "y" * 500}, float(number))
        )


def read(path):
    """Return the numbers that events, intents and the incident tell; None where nothing of them is there yet."""
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        events = [int(at) for (at,) in connection.execute("SELECT at FROM events ORDER BY seq")]
        intents = sorted(int(name[1:]) for (name,) in connection.execute("SELECT id FROM intents"))
        incident = connection.execute("SELECT updated FROM incidents").fetchone()
    finally:
        connection.close()
    return events, intents, None if incident is None else int(incident[0])


@pytest.fixture
def written(tmp_path):
    """A journal with eight turns in its log, as it lies on the disk while its run is at work."""
    (tmp_path / "at work").mkdir()
    path = tmp_path / "at work/journal.db"
    with open_journal(str(path)) as journal:
        journal.ask("PRAGMA wal_autocheckpoint = 0")
        for number in range(1, 9):
            turn(journal, number)
        content, log = path.read_bytes(), path.with_name("journal.db-wal").read_bytes()
    return content, log


def lengths(log):
    """Return where the log may have been cut: each byte near the ends of the last frames, and many between them."""
    last = list(range(HEADER, len(log) + 1, FRAME))[-22:]
    near = {end + byte for end in last for byte in (-25, -24, -2, -1, 0, 1, 2, 23, 24, 25)}
    every = set(range(last[-2], len(log), 41))
    return sorted(each for each in near | every | set(range(last[0], len(log), 1021)) if HEADER < each <= len(log))


@pytest.mark.parametrize("rest", ["missing", "zeros", "of an earlier log"])
def test_what_is_read_after_the_power_went_is_a_prefix_of_the_turns_whole_ones(written, tmp_path, rest):
    content, log = written
    seen = set()
    path = tmp_path / "journal.db"
    for length in lengths(log):
        tail = {"missing": b"", "zeros": bytes(len(log) - length), "of an earlier log": log[::-1][length:]}[rest]
        path.write_bytes(content)
        path.with_name("journal.db-wal").write_bytes(log[:length] + tail)
        path.with_name("journal.db-shm").unlink(missing_ok=True)
        events, intents, incident = read(path)
        assert events == intents == list(range(1, len(events) + 1)), f"cut at {length}"
        assert incident == (events[-1] if events else None), f"cut at {length}"
        seen.add(len(events))
    assert max(seen) == 8
    assert len(seen) > 2, "several turns lay in what was cut"


def test_a_journal_that_was_cut_goes_on(written, tmp_path):
    content, log = written
    path = tmp_path / "journal.db"
    path.write_bytes(content)
    path.with_name("journal.db-wal").write_bytes(log[:-FRAME])
    with open_journal(str(path)) as journal:
        turn(journal, 8)
    assert read(path)[0] == list(range(1, 9))


def old_journal(path, version):
    """Make a journal as an earlier version made it, with what they wrote."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    for script in schema.MIGRATIONS[:version]:
        connection.executescript(script)
    connection.execute(f"PRAGMA application_id = {schema.APPLICATION}")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.execute("INSERT INTO runs VALUES ('r1', 'llm', 'llm.yaml', 'd', 'apply', 1.0, 'root@here', NULL, NULL)")
    connection.execute(
        "INSERT INTO events (at, kind, run, runbook, host, detector, subject, incident, operation, step, data)"
        " VALUES (1.0, 'recovery.begun', 'r1', 'llm', 'h', 'down', '', 'i1', '', '', '{}')"
    )
    connection.execute(
        "INSERT INTO incidents VALUES ('i1', 'llm', 'down', 'h', '', 'recovering', 'high', 1.0, 1.0, NULL, '{\"rung\":1}')"
    )
    connection.execute(
        "INSERT INTO intents (id, run, runbook, host, subject, incident, operation, module, title, params, at, epoch)"
        " VALUES ('n1', 'r1', 'llm', 'h', '', 'i1', '', 'shell', 'shell', '{}', 1.0, 1792000000000)"
    )
    connection.execute("INSERT INTO cursors VALUES ('llm', 'h', 'oom', '{\"offset\":10}')")
    if version > 1:
        connection.execute(
            "INSERT INTO crashes VALUES (1, 'cuda.oom', '', 'h', 'high', 'CUDA out of memory', 1.0, 1.0, 1, 'x', 1.0)"
        )
    connection.close()


@pytest.mark.parametrize("version", [1, 4, 5])
def test_a_journal_of_an_earlier_version_is_brought_forward_with_all_that_is_in_it(tmp_path, version):
    path = tmp_path / "journal.db"
    old_journal(path, version)
    with open_journal(str(path)) as journal:
        assert journal.ask("PRAGMA user_version") == [(7,)]
        assert [row.id for row in journal.open_intents("llm", "h")] == ["n1"]
        assert [one.begun for one in journal.recoveries("llm", "h", 0.0)] == [1.0]
        assert journal.cursors("llm", "h") == {"oom": {"offset": 10}}
        assert len(journal.id) == 16
        assert [(row.id, row.data) for row in journal.open_incidents("llm")] == [("i1", {"rung": 1})]
        with journal.transaction() as batch:
            batch.ack(Ack("i1", 5.0, None, "ann@desk"))
            batch.incident(IncidentRow("i1", "llm", "down", "h", "", "cured", "high", 1.0, 6.0, 6.0))
        assert journal.open_incidents("llm") == []
        assert journal.ask("PRAGMA integrity_check") == [("ok",)]


def test_a_journal_that_was_brought_forward_is_as_a_new_one(tmp_path):
    def shape(journal):
        return journal.ask("SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY name")

    old_journal(tmp_path / "old.db", 1)
    with open_journal(str(tmp_path / "old.db")) as old, open_journal(str(tmp_path / "new.db")) as new:
        assert [row[:2] for row in shape(old)] == [row[:2] for row in shape(new)]
        assert old.id != new.id


def test_the_scripts_of_released_versions_are_never_changed():
    known = [hashlib.sha256(script.encode()).hexdigest()[:16] for script in schema.MIGRATIONS[:5]]
    assert known == [
        *("5250e52c58158c45", "f2ce60fd08a132f7", "a94ded13cbac4e2b", "2877c25dcc9dcffc", "dbc55b07fba66403"),
    ]


def test_a_migration_that_is_killed_in_its_middle_leaves_the_old_journal(tmp_path, monkeypatch):
    path = tmp_path / "journal.db"
    old_journal(path, 2)
    shutil.copy(path, tmp_path / "before.db")

    def killed(_script):
        yield "CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;"
        raise KeyboardInterrupt

    monkeypatch.setattr(database.schema, "statements", killed)
    with pytest.raises(KeyboardInterrupt):
        open_journal(str(path))
    monkeypatch.undo()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    connection.close()
    with open_journal(str(path)) as journal:
        assert journal.ask("PRAGMA user_version") == [(7,)]
