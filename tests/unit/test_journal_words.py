"""What people say: it holds now, an event says it stays, and what is over is not told any more."""

import pytest

from runbook.engine.journal.facts import IncidentRow, RunStart
from runbook.engine.journal.store import open_journal
from runbook.engine.people import Ack, Approval, Maintenance, People, Reset


@pytest.fixture
def journal(tmp_path):
    with open_journal(str(tmp_path / "journal.db")) as opened:
        opened.begin_run(RunStart("r1", "llm", "llm.yaml", "d1", "apply", 100.0, "root@here"))
        with opened.transaction() as batch:
            batch.incident(incident())
        yield opened


def incident(name="i1", state="waiting", closed=None):
    return IncidentRow(name, "llm", "down", "gpu01", "vllm", state, "high", 100.0, 100.0, closed)


def said(journal, kind):
    rows = journal.ask("SELECT runbook, host, detector, subject, incident FROM events WHERE kind = ?", (kind,))
    return rows[-1] if rows else None


def approval(at=110.0, *, granted=True, digest="abc", incident="i1"):
    return Approval(incident, digest, at, at + 86400, "ann@desk", granted, "looks right")


def test_nothing_said_is_nothing(journal):
    assert journal.people(200.0) == People()


def test_the_last_word_about_an_incident_counts(journal):
    with journal.transaction() as batch:
        batch.approve(approval())
        batch.approve(approval(120.0, granted=False))
    assert journal.people(200.0).approvals == {"i1": approval(120.0, granted=False)}
    assert said(journal, "approval.given") == ("llm", "gpu01", "down", "vllm", "i1")
    assert said(journal, "approval.refused") == ("llm", "gpu01", "down", "vllm", "i1")


def test_an_approval_that_has_expired_is_told_and_one_of_an_ended_incident_is_not(journal):
    with journal.transaction() as batch:
        batch.approve(approval())
    assert journal.people(1e9).approvals == {"i1": approval()}
    with journal.transaction() as batch:
        batch.incident(incident(state="cured", closed=130.0))
    assert journal.people(200.0).approvals == {}


def test_an_acknowledgement_holds_until_its_time_or_until_it_is_taken_back(journal):
    word = Ack("i1", 110.0, 500.0, "ann@desk", "on it")
    with journal.transaction() as batch:
        batch.ack(word)
    assert journal.people(499.0).acks == {"i1": word}
    assert journal.people(500.0).acks == {}
    with journal.transaction() as batch:
        assert batch.unack("i1", "ann@desk", 120.0)
        assert not batch.unack("i1", "ann@desk", 121.0), "it was taken back already"
    assert journal.people(130.0).acks == {}
    assert said(journal, "incident.acked") == said(journal, "incident.unacked") != None  # noqa: E711 -- a chain


def test_an_acknowledgement_outlasts_a_recovery_in_vain_and_ends_with_a_cure(journal):
    with journal.transaction() as batch:
        batch.ack(Ack("i1", 110.0, None, "ann@desk"))
        batch.incident(incident(state="unhealed", closed=130.0))
        batch.incident(incident("i2"))
        batch.ack(Ack("i2", 110.0, None, "ann@desk"))
        batch.incident(incident("i2", state="cured", closed=130.0))
    assert set(journal.people(200.0).acks) == {"i1"}


def test_maintenance_begins_ends_and_is_taken_off(journal):
    word = Maintenance("m1", "gpu*", 110.0, 500.0, "ann@desk", "new driver")
    with journal.transaction() as batch:
        batch.maintain(word)
    assert journal.people(109.0).maintenance == ()
    assert journal.people(110.0).maintenance == (word,)
    assert journal.people(500.0).maintenance == ()
    with journal.transaction() as batch:
        assert batch.end_maintenance("m1", "bob@desk", 120.0)
        assert not batch.end_maintenance("m1", "bob@desk", 121.0)
    assert journal.people(130.0).maintenance == ()


def test_the_last_reset_of_a_component_counts(journal):
    with journal.transaction() as batch:
        batch.reset(Reset("hub", "", 110.0, "ann@desk"))
        batch.reset(Reset("hub", "gpu01", 120.0, "ann@desk"))
        batch.reset(Reset("hub", "", 130.0, "bob@desk"))
    assert journal.people(200.0).resets == (
        Reset("hub", "gpu01", 120.0, "ann@desk"),
        Reset("hub", "", 130.0, "bob@desk"),
    )


def test_only_what_is_interrupted_can_be_released(journal):
    with journal.transaction() as batch:
        assert not batch.release("i1", "ann@desk", 110.0)
        batch.incident(incident(state="interrupted"))
        assert batch.release("i1", "ann@desk", 111.0, "looked")
        assert not batch.release("i1", "ann@desk", 112.0)
    assert journal.open_incidents("llm") == []
    assert said(journal, "incident.released") == said(journal, "incident.ended") != None  # noqa: E711 -- a chain


def test_a_pass_that_still_has_a_released_incident_in_hand_does_not_open_it_again(journal):
    with journal.transaction() as batch:
        batch.incident(incident(state="interrupted"))
        batch.release("i1", "ann@desk", 111.0)
        batch.incident(incident(state="interrupted"))
    assert journal.open_incidents("llm") == []


def test_a_pools_active_member_is_the_last_that_was_switched_to(journal):
    with journal.transaction() as batch:
        batch.pool("llm", "gpu01", "endpoints", "b", 110.0)
        batch.pool("llm", "gpu01", "endpoints", "a", 120.0)
        batch.pool("llm", "gpu02", "endpoints", "b", 120.0)
    assert journal.pools("llm", "gpu01") == {"endpoints": "a"}
    assert journal.pools("other", "gpu01") == {}
