"""The journal when the machine is against it: killed writers, two writers, a full disk, files that are no journal."""

import json
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap

import pytest

from runbook.engine.errors import JournalUnusable
from runbook.engine.journal.facts import Fact, IncidentRow
from runbook.engine.journal.store import open_journal

SECONDS = 60  # for a child that should take one

WRITER = """
    import sys
    from runbook.engine.journal.facts import Fact, IncidentRow
    from runbook.engine.journal.store import open_journal

    def write(journal, name, fact_count=1, data=None):
        with journal.transaction() as batch:
            for number in range(fact_count):
                batch.event(Fact("incident.opened", float(number), "r1", incident=name, data=data or {}))
            batch.incident(IncidentRow(name, "llm", "down", "h", "", "open", "high", 1.0, 1.0))
"""


def child(code, *arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITER) + textwrap.dedent(code), *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


def counts(path):
    with open_journal(str(path), read_only=True) as journal:
        events = dict(journal.ask("SELECT incident, count(*) FROM events GROUP BY incident"))
        incidents = {row.id for row in journal.open_incidents("llm")}
    return events, incidents


def test_a_writer_killed_in_the_middle_of_a_transaction_leaves_nothing_half(tmp_path):
    path = tmp_path / "journal.db"
    code = """
        journal = open_journal(sys.argv[1])
        write(journal, "whole")
        with journal.transaction() as batch:
            for number in range(5000):  # more than stays in memory
                batch.event(Fact("incident.opened", 1.0, "r1", incident="half", data={"text": "x" * 2000}))
            batch.incident(IncidentRow("half", "llm", "down", "h", "", "open", "high", 1.0, 1.0))
            print("in the middle", flush=True)
            sys.stdin.read()
    """
    with child(code, path, stdin=subprocess.PIPE) as process:
        assert process.stdout.readline() == "in the middle\n"
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=SECONDS)
    assert counts(path) == ({"whole": 1}, {"whole"})
    with open_journal(str(path)) as journal:
        assert journal.ask("PRAGMA integrity_check") == [("ok",)]
        with journal.transaction() as batch:
            batch.event(Fact("incident.opened", 2.0, "r2", incident="after"))


def test_writers_killed_at_any_time_leave_only_whole_batches(tmp_path):
    path = tmp_path / "journal.db"
    code = """
        journal = open_journal(sys.argv[1])
        for number in range(100000):
            name = f"{sys.argv[2]}-{number}"
            write(journal, name, fact_count=7)
            print(name, flush=True)
    """
    reported = set()
    for attempt in range(8):
        with child(code, path, attempt) as process:
            lines = [process.stdout.readline() for _ in range(1 + attempt * 3)]
            process.send_signal(signal.SIGKILL)
            lines += process.communicate(timeout=SECONDS)[0].splitlines(keepends=True)
        reported |= {line.strip() for line in lines if line.endswith("\n")}
    events, incidents = counts(path)
    assert set(events.values()) == {7}
    assert set(events) == incidents
    assert reported <= incidents


def test_two_processes_write_at_once_and_make_the_journal_at_once(tmp_path):
    path = tmp_path / "new" / "journal.db"
    code = """
        for number in range(40):
            with open_journal(sys.argv[1]) as journal:
                write(journal, f"{sys.argv[2]}-{number}", fact_count=3)
    """
    processes = [child(code, path, name) for name in ("a", "b")]
    for process in processes:
        _, errors = process.communicate(timeout=SECONDS)
        assert (process.returncode, errors) == (0, "")
    events, incidents = counts(path)
    assert len(incidents) == 80
    assert set(events.values()) == {3}


def test_a_journal_held_by_another_process_is_said_to_be_held(tmp_path):
    path = tmp_path / "journal.db"
    with open_journal(str(path)) as one, one.transaction(), open_journal(str(path), patience=0.1) as other:
        with pytest.raises(JournalUnusable, match="another process holds the journal") as caught, other.transaction():
            pass
        assert "fuser" in caught.value.mend


@pytest.mark.root
@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare to mount a disk"
)
def test_a_full_disk_refuses_the_intent_and_keeps_what_was_written(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    code = """
        import json
        from runbook.engine.errors import JournalUnusable
        path = sys.argv[1] + "/journal.db"
        journal = open_journal(path)
        told, written = None, 0
        for number in range(10000):
            try:
                write(journal, f"i{number}", data={"text": "x" * 20000})
            except JournalUnusable as error:
                told = [error.what, error.where, error.mend]
                break
            written += 1
        journal.close()
        with open_journal(path, read_only=True) as journal:
            kept = len(journal.open_incidents("llm"))
            events, = journal.ask("SELECT count(*) FROM events")[0]
        print(json.dumps([told, written, kept, events]))
    """
    program = tmp_path / "fill.py"
    program.write_text(textwrap.dedent(WRITER) + textwrap.dedent(code))
    mount = f'mount -t tmpfs -o size=1m tmpfs "{disk}" && exec "{sys.executable}" "{program}" "{disk}"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", mount], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    if "mount:" in done.stderr and not os.environ.get("CI"):
        pytest.skip(f"no mounting here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    told, written, kept, events = json.loads(done.stdout)
    assert told[0] == "the disk under the journal is full"
    assert told[1] == f"{disk}/journal.db"
    assert "--journal" in told[2]
    assert 0 < written == kept == events
    assert list(disk.iterdir()) == []


@pytest.mark.root
@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare to mount a disk"
)
@pytest.mark.parametrize("killed", [False, True], ids=["closed", "killed"])
def test_a_journal_on_a_full_disk_can_be_read(tmp_path, killed):
    disk = tmp_path / "disk"
    disk.mkdir()
    code = f"""
        import os
        journal = open_journal(sys.argv[1] + "/journal.db")
        write(journal, "kept")
        if {killed}:
            os._exit(0)  # what was written is in the log alone
        journal.close()
    """
    program = tmp_path / "write.py"
    program.write_text(textwrap.dedent(WRITER) + textwrap.dedent(code))
    asked = (
        "import sys; from runbook.engine.journal.store import open_journal; "
        "print([row.id for row in open_journal(sys.argv[1], read_only=True).open_incidents('llm')])"
    )
    script = (
        f'mount -t tmpfs -o size=1m tmpfs "{disk}" && "{sys.executable}" "{program}" "{disk}" && '
        f'rm -f "{disk}/journal.db-shm" && {{ head -c 2000000 /dev/zero > "{disk}/full" 2>/dev/null; '
        f'"{sys.executable}" -c "{asked}" "{disk}/journal.db"; }}'
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    if "mount:" in done.stderr and not os.environ.get("CI"):
        pytest.skip(f"no mounting here: {done.stderr.strip()}")
    assert (done.stdout, done.stderr) == ("['kept']\n", "")


@pytest.mark.root
@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare to mount a disk"
)
def test_a_disk_that_is_full_from_the_start_is_a_message(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    script = (
        f'mount -t tmpfs -o size=64k tmpfs "{disk}" && {{ head -c 100000 /dev/zero > "{disk}/full"; '
        f'exec "{sys.executable}" -c "from runbook.engine.journal.store import open_journal; '
        f"open_journal('{disk}/journal.db')\"; }}"
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    if "mount:" in done.stderr and not os.environ.get("CI"):
        pytest.skip(f"no mounting here: {done.stderr.strip()}")
    assert "JournalUnusable" in done.stderr
    assert "the disk under the journal is full" in done.stderr


OPEN_AS_NOBODY = """
    import os, sys
    from runbook.engine.errors import JournalUnusable
    from runbook.engine.journal.store import open_journal
    if os.geteuid() == 0:  # root may write anywhere
        os.setgid(65534); os.setuid(65534)
    try:
        with open_journal(sys.argv[1], read_only=len(sys.argv) > 2) as journal:
            print(len(journal.open_incidents("llm")))
    except JournalUnusable as error:
        print(error.what, "|", error.where, "|", error.mend)
"""


def open_as_nobody(*arguments):
    code = textwrap.dedent(OPEN_AS_NOBODY)
    return subprocess.check_output([sys.executable, "-c", code, *map(str, arguments)], text=True, timeout=SECONDS)


@pytest.fixture
def anyones():
    """A directory that every user can reach and only we can write."""
    with tempfile.TemporaryDirectory() as made:
        place = pathlib.Path(made)
        place.chmod(0o755)
        yield place


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_a_directory_that_cannot_be_written_is_a_message(anyones):
    told = open_as_nobody(anyones / "state" / "journal.db")
    assert told.startswith("the journal can't be opened or made: permission denied | ")
    assert "--journal" in told


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_a_journal_of_somebody_else_can_be_read_where_that_is_allowed_but_not_written(anyones):
    path = anyones / "journal.db"
    with open_journal(str(path)) as journal, journal.transaction() as batch:
        batch.incident(IncidentRow("i1", "llm", "down", "h", "", "open", "high", 1.0, 1.0))
    path.chmod(0o644)
    assert open_as_nobody(path, "read") == "1\n"
    assert "read-only" in open_as_nobody(path)


def test_a_directory_as_the_journal_is_a_message(tmp_path):
    with pytest.raises(JournalUnusable, match="is a directory") as caught:
        open_journal(str(tmp_path))
    assert caught.value.mend == f"Name a file: --journal {tmp_path}/journal.db"


@pytest.mark.parametrize("read_only", [True, False])
def test_a_file_that_is_no_database_is_a_message_and_is_not_touched(tmp_path, read_only):
    path = tmp_path / "journal.db"
    path.write_text("Dear diary, today the server went down again.\n" * 100)
    before = path.read_bytes()
    with pytest.raises(JournalUnusable, match="not a journal"):
        open_journal(str(path), read_only=read_only)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_database_of_another_program_is_a_message_and_is_not_touched(tmp_path):
    path = tmp_path / "places.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(JournalUnusable, match="database of another program"):
        open_journal(str(path))
    assert path.read_bytes() == before


@pytest.mark.parametrize("read_only", [True, False])
def test_a_journal_of_a_newer_runbook_is_refused(tmp_path, read_only):
    path = tmp_path / "journal.db"
    open_journal(str(path)).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(JournalUnusable, match=r"newer runbook \(schema 99") as caught:
        open_journal(str(path), read_only=read_only)
    assert "Upgrade runbook" in caught.value.mend


def test_a_damaged_journal_is_a_message(tmp_path):
    path = tmp_path / "journal.db"
    with open_journal(str(path)) as journal, journal.transaction() as batch:
        for number in range(500):
            batch.event(Fact("incident.opened", float(number), "r1", data={"text": "x" * 500}))
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)
    with open_journal(str(path), read_only=True) as journal, pytest.raises(JournalUnusable, match="damaged") as caught:
        journal.ask("SELECT sum(length(data)) FROM events")
    assert f"mv {path} {path}.damaged" in caught.value.mend


def test_a_journal_whose_making_was_cut_short_is_made_by_the_next_run(tmp_path):
    path = tmp_path / "journal.db"
    path.touch()
    with open_journal(str(path), read_only=True) as journal:
        assert journal.open_incidents("llm") == []
    with open_journal(str(path)) as journal, journal.transaction() as batch:
        batch.event(Fact("incident.opened", 1.0, "r1"))
