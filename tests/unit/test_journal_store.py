"""The journal's store: what is written comes back, together or not at all, and without secrets."""

import sqlite3
import stat
import threading

import pytest

from runbook.engine.errors import JournalUnusable
from runbook.engine.journal import codec, schema
from runbook.engine.journal.facts import Fact, HoldRow, IncidentRow, IntentRow, Recovery, RunStart, StepBegun
from runbook.engine.journal.store import open_journal
from runbook.engine.model import UNKNOWN, Outcome, StepStatus


@pytest.fixture
def journal(tmp_path):
    with open_journal(str(tmp_path / "journal.db")) as opened:
        opened.begin_run(RunStart("r1", "llm", "llm.yaml", "d1", "apply", 100.0, "root@here"))
        yield opened


def incident(name="i1", **changes):
    values = {
        "id": name,
        "runbook": "llm",
        "detector": "down",
        "host": "gpu01",
        "subject": "vllm",
        "state": "open",
        "severity": "high",
        "opened": 100.0,
        "updated": 100.0,
        "closed": None,
        "data": {},
    }
    return IncidentRow(**{**values, **changes})


def intent(name="n1", **changes):
    values = {
        "id": name,
        "run": "r1",
        "host": "gpu01",
        "subject": "vllm",
        "incident": "i1",
        "operation": "",
        "module": "restart_daemon",
        "title": "restart",
        "params": {"unit": "vllm"},
        "at": 101.0,
        "epoch": 3,
    }
    return IntentRow(**{**values, **changes})


def fact(kind, at, **changes):
    values = {"run": "r1", "host": "gpu01", "detector": "down", "subject": "vllm", "incident": "i1"}
    return Fact(kind, at, **{**values, **changes})


def test_an_incident_comes_back_as_it_was_written_last(journal):
    with journal.transaction() as batch:
        batch.incident(incident(data={"rung": 0}))
        batch.incident(incident(state="verifying", updated=105.0, data={"rung": 1}))
    assert journal.open_incidents("llm") == [incident(state="verifying", updated=105.0, data={"rung": 1})]


def test_a_closed_incident_and_another_hosts_are_left_out(journal):
    with journal.transaction() as batch:
        batch.incident(incident())
        batch.incident(incident("i2", host="gpu02"))
        batch.incident(incident("i3", state="cured", closed=110.0))
        batch.incident(incident("i4", runbook="other"))
    assert [row.id for row in journal.open_incidents("llm")] == ["i1", "i2"]
    assert [row.id for row in journal.open_incidents("llm", "gpu01")] == ["i1"]


def test_a_hold_is_replaced_and_ended(journal):
    with journal.transaction() as batch:
        batch.hold("llm", "slow", "gpu01", "vllm", 90.0, 100.0, {"times": [90.0]})
        batch.hold("llm", "slow", "gpu01", "vllm", 90.0, 110.0, {})
        batch.hold("llm", "hot", "gpu01", "", 90.0, 100.0, {})
        batch.hold("llm", "hot", "gpu01", "", None, 110.0, {})
    assert journal.holds("llm", "gpu01") == [HoldRow("slow", "gpu01", "vllm", 90.0, 110.0, {})]


def test_a_cursor_belongs_to_runbook_detector_and_host(journal):
    with journal.transaction() as batch:
        batch.cursor("llm", "oom", "gpu01", {"offset": 10})
        batch.cursor("llm", "oom", "gpu02", {"offset": 20})
        batch.cursor("llm", "oom", "gpu01", {"offset": 30})
    assert journal.cursors("llm", "gpu01") == {"oom": {"offset": 30}}
    assert journal.cursors("other", "gpu01") == {}


def test_an_intent_is_open_until_it_has_its_result(journal):
    with journal.transaction() as batch:
        batch.intent(intent())
        batch.intent(intent("n2"))
    assert journal.open_intents("llm", "gpu01") == [intent(), intent("n2")]
    with journal.transaction() as batch:
        batch.result("n1", 103.0, Outcome(StepStatus.DONE, changed=True))
    assert [row.id for row in journal.open_intents("llm", "gpu01")] == ["n2"]


@pytest.mark.parametrize("name", ["n1", "never heard of"])
def test_a_second_result_or_one_for_no_intent_is_an_error(journal, name):
    with journal.transaction() as batch:
        batch.intent(intent())
        batch.result("n1", 103.0, Outcome(StepStatus.DONE))
    with pytest.raises(ValueError, match="unknown, or has its result already"), journal.transaction() as batch:
        batch.result(name, 104.0, Outcome(StepStatus.FAILED))


def test_recoveries_are_paired_with_their_ends(journal):
    with journal.transaction() as batch:
        batch.event(fact("recovery.begun", 100.0))
        batch.event(fact("recovery.ended", 160.0))
        batch.event(fact("recovery.begun", 200.0, incident="i2"))
        batch.event(fact("recovery.begun", 210.0, incident="i3", detector="hot", subject=""))
    assert journal.recoveries("llm", "gpu01", 150.0) == [
        Recovery("down", "gpu01", "vllm", 100.0, 160.0),
        Recovery("down", "gpu01", "vllm", 200.0),
        Recovery("hot", "gpu01", "", 210.0),
    ]
    assert [one.begun for one in journal.recoveries("llm", "gpu01", 205.0)] == [210.0]
    assert journal.recoveries("other", "gpu01", 0.0) == []


def test_a_step_that_began_is_known_by_its_place_and_what_it_acted_on(journal):
    told = {"module": "reset_gpu", "path": "detectors.0.recover.0", "subject_acted": "GPU-3"}
    with journal.transaction() as batch:
        batch.event(fact("step.begun", 100.0, step="r1-1", data=told))
    assert journal.steps_begun("llm", "gpu01", 100.0) == [
        StepBegun("reset_gpu", "detectors.0.recover.0", "gpu01", "GPU-3", 100.0)
    ]
    assert journal.steps_begun("llm", "gpu01", 100.5) == []


def test_nothing_of_a_batch_that_raises_is_kept(journal):
    def fail_half_way():
        with journal.transaction() as batch:
            batch.incident(incident())
            batch.event(fact("incident.opened", 100.0))
            raise KeyError("boom")

    with pytest.raises(KeyError, match="boom"):
        fail_half_way()
    assert journal.open_incidents("llm") == []
    assert journal.ask("SELECT count(*) FROM events") == [(0,)]


def test_a_batch_is_of_no_use_after_its_transaction(journal):
    with journal.transaction() as batch:
        pass
    with pytest.raises(RuntimeError, match="is over"):
        batch.event(fact("incident.opened", 100.0))


def test_a_transaction_inside_a_transaction_is_refused(journal):
    with pytest.raises(RuntimeError, match="open already"), journal.transaction(), journal.transaction():
        pass


def test_threads_take_turns(journal):
    def write(number):
        for place in range(20):
            with journal.transaction() as batch:
                batch.event(fact("step.begun", float(place), incident=f"i{number}"))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert journal.ask("SELECT count(*) FROM events") == [(80,)]


@pytest.mark.parametrize("statement", ["UPDATE events SET kind = ''", "DELETE FROM events"])
def test_events_are_append_only(journal, statement):
    with journal.transaction() as batch:
        batch.event(fact("incident.opened", 100.0))
    with pytest.raises(JournalUnusable, match="append-only"):
        journal.ask(statement)


def test_no_text_reaches_the_file_without_being_redacted(tmp_path):
    path = tmp_path / "journal.db"
    with open_journal(str(path), redact=lambda text: text.replace("hf_s3cret", "***")) as journal:
        journal.begin_run(RunStart("r1", "llm", "f", "d", "apply", 1.0, "hf_s3cret"))
        with journal.transaction() as batch:
            batch.event(
                fact("step.ended", 1.0, subject="hf_s3cret", data={"hf_s3cret": ["a hf_s3cret b", {"x": "hf_s3cret"}]})
            )
            batch.incident(incident(data={"error": "hf_s3cret"}))
            batch.intent(intent(params={"argv": ("x", "hf_s3cret")}, title="hf_s3cret"))
            batch.result("n1", 2.0, Outcome(StepStatus.FAILED, error="hf_s3cret", output="hf_s3cret", diff="hf_s3cret"))
            batch.hold("llm", "d", "h", "hf_s3cret", 1.0, 1.0, {"x": b"hf_s3cret"})
            batch.cursor("llm", "d", "h", {"x": {"hf_s3cret"}})
        (data,) = journal.ask("SELECT data FROM events")[0]
    assert data == '{"***":["a *** b",{"x":"***"}]}'
    files = b"".join(one.read_bytes() for one in tmp_path.iterdir())
    assert b"hf_s3cret" not in files


def test_host_text_of_any_kind_can_be_written(journal):
    hostile = "nul \0 surrogate \udcff escape \x1b]0;x\x07 '; DROP TABLE events; --"
    with journal.transaction() as batch:
        batch.incident(incident(subject=hostile, data={"line": hostile, "share": float("nan"), "seen": UNKNOWN}))
    (row,) = journal.open_incidents("llm")
    assert row.subject == hostile.replace("\udcff", "\\udcff")
    assert row.data["line"] == hostile
    assert row.data["seen"] is UNKNOWN
    assert row.data["share"] != row.data["share"]


def test_the_directory_and_the_file_belong_to_their_owner_alone(tmp_path):
    path = tmp_path / "state" / "runbook" / "journal.db"
    open_journal(str(path)).close()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_every_commit_is_durable(journal):
    assert journal.ask("PRAGMA journal_mode") == [("wal",)]
    assert journal.ask("PRAGMA synchronous") == [(2,)]


def test_the_environment_names_the_journal_and_the_argument_comes_first(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNBOOK_JOURNAL", str(tmp_path / "env.db"))
    with open_journal() as journal:
        assert journal.path == str(tmp_path / "env.db")
    with open_journal(str(tmp_path / "given.db")) as journal:
        assert journal.path == str(tmp_path / "given.db")


def test_a_question_about_no_journal_makes_none(tmp_path):
    path = tmp_path / "no" / "journal.db"
    with open_journal(str(path), read_only=True) as journal:
        assert not journal.exists
        assert journal.open_incidents("llm") == []
    assert not path.parent.exists()


def test_one_who_only_reads_cannot_write(journal):
    with open_journal(journal.path, read_only=True) as reader:
        with pytest.raises(JournalUnusable, match="read-only"), reader.transaction() as batch:
            batch.incident(incident())
        assert reader.open_incidents("llm") == []


def test_a_journal_that_another_one_writes_can_be_read_meanwhile(journal):
    with journal.transaction() as batch:
        batch.incident(incident())
        with open_journal(journal.path, read_only=True) as reader:
            assert reader.open_incidents("llm") == []


def test_an_older_journal_is_migrated_and_keeps_what_is_in_it(journal, monkeypatch):
    with journal.transaction() as batch:
        batch.incident(incident())
    journal.close()
    more = "CREATE TABLE later (host TEXT PRIMARY KEY) STRICT;\nINSERT INTO later VALUES ('gpu01');\n"
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, more))
    with pytest.raises(JournalUnusable, match="older runbook"):
        open_journal(journal.path, read_only=True)
    with open_journal(journal.path) as migrated:
        assert migrated.ask("SELECT host FROM later") == [("gpu01",)]
        assert [row.id for row in migrated.open_incidents("llm")] == ["i1"]
        assert migrated.ask("PRAGMA user_version") == [(len(schema.MIGRATIONS),)]


def test_a_migration_that_fails_leaves_the_journal_as_it_was(journal, monkeypatch):
    journal.close()
    before = len(schema.MIGRATIONS)
    monkeypatch.setattr(
        schema, "MIGRATIONS", (*schema.MIGRATIONS, "CREATE TABLE later (host TEXT);\nCREATE nonsense;\n")
    )
    with pytest.raises(JournalUnusable, match="syntax error"):
        open_journal(journal.path)
    connection = sqlite3.connect(journal.path)
    try:
        assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'later'").fetchone() == (0,)
        assert connection.execute("PRAGMA user_version").fetchone() == (before,)
    finally:
        connection.close()


@pytest.mark.parametrize("hostile", [{"$number": "abc"}, {"$number": "nan"}, {"$unseen": True}, {"$$unseen": True}])
def test_what_a_host_says_in_our_own_marks_comes_back_as_it_was_said(journal, hostile):
    with journal.transaction() as batch:
        batch.incident(incident(data={"fields": {"json": hostile}, "unseen": UNKNOWN, "far": float("inf")}))
    (found,) = journal.open_incidents("llm")
    assert found.data == {"fields": {"json": hostile}, "unseen": UNKNOWN, "far": float("inf")}


def test_a_mark_that_an_older_version_wrote_without_a_number_is_a_mapping():
    assert codec.load('{"$number":"abc"}') == {"$number": "abc"}


def test_what_is_nested_without_end_is_cut():
    deep = "x"
    for _ in range(5000):
        deep = {"a": [deep]}
    assert "…" in str(codec.load(codec.dump(deep)))


def test_what_a_pass_reads_at_its_start_is_found_by_indexes_however_long_the_journal_is(journal, monkeypatch):
    asked = []
    really = type(journal).ask

    def ask(self, question, values=()):
        asked.append((question, values))
        return really(self, question, values)

    monkeypatch.setattr(type(journal), "ask", ask)
    journal.open_incidents("llm")
    journal.open_incidents("llm", "gpu01")
    journal.ended_incidents("llm", "gpu01", 1.0)
    journal.failed("llm", "gpu01", 1.0)
    journal.cleared("llm", "gpu01", 1.0)
    journal.holds("llm", "gpu01")
    journal.cursors("llm", "gpu01")
    journal.pools("llm", "gpu01")
    journal.last_run("llm")
    journal.open_intents("llm", "gpu01")
    journal.recoveries("llm", "gpu01", 1.0)
    journal.begun("llm", ("gpu01", "down", "vllm"), 1.0)
    journal.steps_begun("llm", "gpu01", 1.0)
    journal.attempts("llm", "gpu01", ["build"], 20)
    journal.people(1.0)
    journal.unended("llm")
    for question, values in asked:
        plan = [row[3] for row in really(journal, f"EXPLAIN QUERY PLAN {question}", values)]
        long_ones = [
            step for step in plan if step.startswith(("SCAN events", "SCAN incidents", "SCAN runs", "SCAN intents"))
        ]
        assert not long_ones, (question, plan)


def test_transactions_together_are_one_and_nothing_of_it_stands_where_the_last_one_fails(journal):
    with journal.together():
        journal.end_run("r1", 150.0, 0)
        with journal.together(), journal.transaction() as batch:
            batch.incident(incident())
        with journal.transaction() as batch:
            batch.incident(incident("i2"))
    assert [row.id for row in journal.open_incidents("llm")] == ["i1", "i2"]

    def half() -> None:
        with journal.together():
            journal.begin_run(RunStart("r2", "llm", "llm.yaml", "d1", "apply", 160.0, "root@here"))
            journal.begin_run(RunStart("r2", "llm", "llm.yaml", "d1", "apply", 160.0, "root@here"))

    with pytest.raises(ValueError, match="holds that already"):
        half()
    assert journal.unended("llm") == []
    assert [row.id for row in journal.open_incidents("llm")] == ["i1", "i2"]
    with journal.transaction() as batch:
        batch.incident(incident("i4"))
    assert len(journal.open_incidents("llm")) == 3


def test_an_incident_that_changes_in_its_data_alone_is_written_over_the_old(journal):
    for data in ({"rung": 1}, {"rung": 2}):
        with journal.transaction() as batch:
            batch.incident(incident(data=data, updated=100.0 + data["rung"]))
    (row,) = journal.open_incidents("llm")
    assert (row.data, row.updated) == ({"rung": 2}, 102.0)


def test_a_closed_incident_is_not_written_over_by_the_same_state(journal):
    with journal.transaction() as batch:
        batch.incident(incident(state="cured", closed=120.0, data={"by": "us"}))
        batch.incident(incident(state="cured", closed=120.0, data={"by": "others"}))
    ((row,),) = [journal.incident("i1")]
    assert row.data == {"by": "us"}


@pytest.mark.parametrize("value", [float("nan"), {"a": {1, 2}}, {"$x": 1}, "the secret hunter22", {"k": b"hunter22"}])
def test_what_is_not_plain_json_is_dumped_the_long_way(value):
    redact = lambda text: text.replace("hunter22", "***")  # noqa: E731 -- as the store is given one
    column = codec.dump(value, redact)
    assert "hunter22" not in column
    assert column == codec._encoded(codec.plain(value, redact))


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_a_journal_whose_file_was_taken_away_is_told_before_anything_is_written_there(tmp_path, how):
    path = tmp_path / "journal.db"
    with open_journal(str(path)) as journal:
        journal.stands()
        if how == "replaced":
            (tmp_path / "other").write_bytes(path.read_bytes())
            (tmp_path / "other").replace(path)
        else:
            path.unlink()
        with pytest.raises(JournalUnusable, match="deleted or replaced"):
            journal.stands()
