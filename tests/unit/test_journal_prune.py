"""Forgetting: what is old goes, and what anybody still counts or waits for stays; exporting: everything, as stored."""

import json

import pytest

from runbook.engine.errors import JournalUnusable
from runbook.engine.journal import export as exporting
from runbook.engine.journal import leases, prune, schema
from runbook.engine.journal.batch import Batch
from runbook.engine.journal.facts import Fact, IncidentRow, IntentRow, RunStart
from runbook.engine.journal.store import open_journal
from runbook.engine.model import Lease, Outcome, StepStatus
from runbook.engine.people import Ack, Approval, Maintenance

OLD, YOUNG, CUT = 100.0, 900.0, 500.0


@pytest.fixture
def journal(tmp_path):
    with open_journal(str(tmp_path / "journal.db"), redact=lambda text: text.replace("s3cret", "***")) as opened:
        for run, at in (("old", OLD), ("young", YOUNG)):
            opened.begin_run(RunStart(run, "llm", "llm.yaml", "d1", "apply", at, "root@here"))
            opened.end_run(run, at + 1, 0)
        yield opened


def incident(name, at, closed=None):
    state = "cured" if closed else "open"
    return IncidentRow(name, "llm", "down", "gpu01", "vllm", state, "high", at, at, closed, {"reason": "s3cret"})


def fact(kind, at, **more):
    return Fact(kind, at, "old", **{"host": "gpu01", **more})


def kinds(journal):
    return [kind for (kind,) in journal.ask("SELECT kind FROM events ORDER BY seq")]


def test_what_is_old_is_forgotten_and_what_is_young_stays(journal):
    with journal.transaction() as batch:
        batch.incident(incident("i1", OLD, closed=OLD + 5))
        batch.incident(incident("i2", YOUNG, closed=YOUNG + 5))
        batch.event(fact("look.unknown", OLD))
        batch.event(fact("incident.opened", OLD, incident="i1"))
        batch.event(fact("incident.opened", YOUNG, incident="i2"))
        batch.intent(IntentRow("n1", "old", "gpu01", "vllm", "i1", "", "shell", "shell", {}, OLD))
        batch.result("n1", OLD + 1, Outcome(StepStatus.DONE))
    assert prune.prune(journal, CUT) == prune.Pruned(events=2, incidents=1, runs=1)
    assert kinds(journal) == ["incident.opened"]
    assert journal.ask("SELECT id FROM incidents") == [("i2",)]
    assert journal.ask("SELECT id FROM runs") == [("young",)]
    assert journal.ask("SELECT count(*) FROM intents") == [(0,)]
    assert prune.prune(journal, CUT) == prune.Pruned()


def test_an_open_incident_keeps_its_events_its_intents_and_what_people_said_of_it(journal):
    with journal.transaction() as batch:
        batch.incident(incident("i1", OLD))
        batch.event(fact("incident.opened", OLD, incident="i1"))
        batch.event(fact("step.ended", OLD, incident="i1"))
        batch.intent(IntentRow("n1", "old", "gpu01", "vllm", "i1", "", "shell", "shell", {}, OLD))
        batch.result("n1", OLD + 1, Outcome(StepStatus.DONE))
        batch.ack(Ack("i1", OLD, None, "ann@desk"))
        batch.approve(Approval("i1", "d", OLD, OLD + 1, "ann@desk"))
    before = list(exporting.export(journal))
    assert prune.prune(journal, CUT) == prune.Pruned()
    assert list(exporting.export(journal)) == before, "its run stays as well"


def test_an_intent_without_a_result_stays_since_the_next_pass_asks_for_it(journal):
    with journal.transaction() as batch:
        batch.intent(IntentRow("n1", "old", "gpu01", "", "", "build", "command", "build", {}, OLD))
    prune.prune(journal, CUT)
    assert [row.id for row in journal.open_intents("llm", "gpu01")] == ["n1"]
    assert ("old",) in journal.ask("SELECT id FROM runs")


def test_recoveries_and_their_steps_stay_since_a_limit_may_count_for_ever(journal):
    with journal.transaction() as batch:
        batch.incident(incident("i1", OLD, closed=OLD + 5))
        for kind in ("recovery.begun", "step.begun", "step.ended", "recovery.ended"):
            batch.event(fact(kind, OLD, incident="i1", detector="down", subject="vllm"))
    prune.prune(journal, CUT)
    assert kinds(journal) == ["recovery.begun", "step.begun", "recovery.ended"]
    assert [one.begun for one in journal.recoveries("llm", "gpu01", 0.0)] == [OLD]
    assert len(journal.steps_begun("llm", "gpu01", 0.0)) == 1


@pytest.mark.parametrize(
    ("counted", "left"), [(60.0, ["recovery.begun"]), (350.0, ["recovery.begun"] * 2), (None, ["recovery.begun"] * 2)]
)
def test_recoveries_go_when_no_limit_of_the_last_run_counts_them_any_more(journal, monkeypatch, counted, left):
    monkeypatch.setattr(prune, "LASTED", 100.0)
    with journal.transaction() as batch:
        batch.event(Fact("run.begun", OLD, "old", data={"counted": None}))
        batch.event(Fact("run.begun", YOUNG, "young", data={"counted": counted}))
        for number, at in enumerate((OLD, CUT - 110.0)):
            batch.incident(incident(f"i{number}", at, closed=at + 5))
            batch.event(fact("recovery.begun", at, incident=f"i{number}", detector="down", subject="vllm"))
    prune.prune(journal, CUT)
    assert kinds(journal)[1:] == left


def test_the_last_attempts_of_each_operation_stay_since_breakers_are_told_from_them(journal, monkeypatch):
    monkeypatch.setattr(prune, "ATTEMPTS", 2)
    with journal.transaction() as batch:
        for number in range(5):
            batch.event(fact("attempt.ended", OLD + number, operation="build", data={"ok": True, "status": "done"}))
        batch.event(fact("attempt.ended", OLD, operation="serve", data={"member": "b", "ok": False}))
        for number in range(2):
            batch.event(fact("attempt.ended", OLD + number, operation="serve", data={"member": "a", "ok": True}))
    prune.prune(journal, CUT)
    left = journal.ask("SELECT operation, at FROM events ORDER BY operation, seq")
    assert left == [("build", OLD + 3), ("build", OLD + 4), ("serve", OLD), ("serve", OLD), ("serve", OLD + 1)]


def test_a_run_that_is_at_work_stays_and_a_killed_one_goes(journal):
    for run in ("at work", "killed"):
        journal.begin_run(RunStart(run, "llm", "", "", "watch", OLD, "root@here"))
    prune.prune(journal, CUT, alive=lambda run: run == "at work")
    assert {run for (run,) in journal.ask("SELECT id FROM runs")} == {"young", "at work"}


def test_leases_and_maintenance_that_are_over_go(journal):
    with journal.transaction() as batch:
        for subject, until in (("a", OLD + 1), ("b", YOUNG)):
            leases.take(journal, batch, Lease("gpu01", subject, "young", "ann@desk", "llm", taken=OLD, until=until))
        batch.maintain(Maintenance("m1", "*", OLD, OLD + 1, "ann@desk"))
        batch.maintain(Maintenance("m2", "*", OLD, None, "ann@desk"))
    prune.prune(journal, CUT)
    assert journal.ask("SELECT subject FROM leases") == [("b",)]
    assert [word.id for word in journal.people(CUT).maintenance] == ["m2"]


def test_events_are_append_only_again_after_a_pruning_and_after_one_that_failed(journal, monkeypatch):
    with journal.transaction() as batch:
        batch.event(fact("look.unknown", OLD))
        batch.event(fact("look.unknown", YOUNG))

    writing = Batch.write

    def stopped(batch, statement, values):
        if "DELETE FROM events" in statement:  # the trigger is lifted by now
            raise KeyboardInterrupt
        return writing(batch, statement, values)

    with monkeypatch.context() as patched:
        patched.setattr(Batch, "write", stopped)
        with pytest.raises(KeyboardInterrupt):
            prune.prune(journal, CUT)
    assert kinds(journal) == ["look.unknown", "look.unknown"]
    for _ in range(2):
        with pytest.raises(JournalUnusable, match="append-only"):
            journal.ask("DELETE FROM events")
        prune.prune(journal, CUT)
    assert kinds(journal) == ["look.unknown"]


def test_many_events_are_forgotten_in_several_transactions(journal, monkeypatch):
    monkeypatch.setattr(prune, "_AT_ONCE", 10)
    with journal.transaction() as batch:
        for number in range(35):
            batch.event(fact("look.unknown", OLD + number))
        batch.event(fact("look.unknown", YOUNG))
    assert prune.prune(journal, CUT).events == 35
    assert kinds(journal) == ["look.unknown"]


def test_an_export_has_every_row_of_every_table_without_secrets(journal):
    with journal.transaction() as batch:
        batch.incident(incident("i1", YOUNG))
        batch.event(fact("step.ended", YOUNG, incident="i1", data={"output": "s3cret", "changed": True}))
        batch.cursor("llm", "oom", "gpu01", {"offset": 10})
        batch.ack(Ack("i1", YOUNG, None, "ann@desk", "on it"))
    rows = list(exporting.export(journal))
    assert rows[0] == {"journal": journal.id, "schema": len(schema.MIGRATIONS)}
    assert "s3cret" not in json.dumps(rows)
    tables = {name for (name,) in journal.ask("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert set(exporting.TABLES) == tables - {"sqlite_sequence", "about", "sqlite_stat1"}
    by_table = {}
    for row in rows[1:]:
        by_table.setdefault(row["table"], []).append(row)
    assert [run["id"] for run in by_table["runs"]] == ["old", "young"]
    assert by_table["events"][0]["data"] == {"output": "***", "changed": True}
    assert by_table["cursors"][0]["state"] == {"offset": 10}
    assert by_table["acks"][0]["reason"] == "on it"
    assert by_table["incidents"][0]["state"] == "open"


def test_an_export_is_of_one_moment(journal):
    with journal.transaction() as batch:
        batch.event(fact("look.unknown", YOUNG))
    with open_journal(journal.path, read_only=True) as reader:
        stream = exporting.export(reader)
        next(stream)
        next(stream)
        with journal.transaction() as batch:
            batch.event(fact("look.seen", YOUNG))
        assert [row["kind"] for row in stream if row["table"] == "events"] == ["look.unknown"]
