"""Leases in the journal, and the kernel's word on who lives."""

import subprocess
import sys

import pytest

from runbook.engine.journal import leases
from runbook.engine.journal.facts import RunStart
from runbook.engine.journal.locks import Locks
from runbook.engine.journal.store import open_journal
from runbook.engine.model import Lease

NOW = 1_800_000_000.0


@pytest.fixture
def journal(tmp_path):
    with open_journal(str(tmp_path / "journal.db")) as opened:
        for run, runbook in (("r1", "one"), ("r2", "two"), ("r3", "one")):
            opened.begin_run(RunStart(run, runbook, "", "", "apply", NOW, "ann@desk"))
        yield opened


def wish(run="r1", runbook="one", incident="i1", at=NOW, subject="vllm"):
    return Lease("gpu01", subject, run, "ann@desk, process 1", runbook, "down", incident, 0, at, at + leases.LASTS)


def taken(journal, wanted):
    with journal.transaction() as batch:
        return leases.take(journal, batch, wanted)


def everyone(_run):
    return True


def nobody(_run):
    return False


def test_a_lease_is_seen_by_others_while_its_run_lives(journal):
    lease = taken(journal, wish())
    assert leases.others(journal, "r2", "two", everyone, NOW) == {("gpu01", "vllm"): lease}
    assert leases.others(journal, "r1", "one", everyone, NOW) == {}, "it is ours"
    assert leases.others(journal, "r2", "two", nobody, NOW) == {}, "its run was killed"


def test_every_taking_has_a_higher_epoch_whatever_the_clock_says(journal):
    epochs = [taken(journal, wish(at=at)).epoch for at in (NOW, NOW, NOW - 5000, NOW + 7)]
    assert epochs == sorted(set(epochs))
    with journal.transaction() as batch:
        leases.release(batch, leases.take(journal, batch, wish()), NOW)
    assert taken(journal, wish()).epoch > epochs[-1] + 1


def test_the_epochs_of_a_journal_restored_from_a_backup_are_not_below_what_hosts_have_seen(journal):
    assert taken(journal, wish(at=NOW)).epoch >= int(NOW)


def test_what_is_given_back_is_free_and_what_somebody_else_took_since_is_not_given_back(journal):
    lease = taken(journal, wish())
    later = taken(journal, wish("r2", "two", "i2"))
    with journal.transaction() as batch:
        leases.release(batch, lease, NOW)
    assert leases.others(journal, "r1", "one", everyone, NOW) == {("gpu01", "vllm"): later}
    assert not leases.is_ours(journal, lease)
    with journal.transaction() as batch:
        leases.release(batch, later, NOW)
    assert leases.others(journal, "r1", "one", everyone, NOW) == {}


def test_a_lease_that_is_not_renewed_runs_out(journal):
    taken(journal, wish())
    assert leases.others(journal, "r2", "two", everyone, NOW + leases.LASTS) == {}
    with journal.transaction() as batch:
        leases.renew(batch, "r1", NOW + 2 * leases.LASTS)
    assert leases.others(journal, "r2", "two", everyone, NOW + leases.LASTS)


def test_a_run_that_ended_in_good_order_and_left_a_verification_keeps_its_lease_for_the_next_pass(journal):
    taken(journal, wish())
    journal.end_run("r1", NOW + 5, 3)
    assert leases.others(journal, "r2", "two", nobody, NOW + 6), "others wait for its next pass"
    assert leases.others(journal, "r3", "one", nobody, NOW + 6) == {}, "its next pass goes on with it"


def test_hosts_under_recovery_are_those_of_other_runbooks_that_a_killed_run_left_too(journal):
    taken(journal, wish("r2", "two", "i2"))
    assert leases.elsewhere(journal, "r1", "one", NOW) == {"gpu01"}
    assert leases.elsewhere(journal, "r9", "two", NOW) == frozenset(), "those of the same runbook are its incidents"
    assert leases.elsewhere(journal, "r1", "one", NOW + leases.LASTS) == frozenset()


def test_a_name_is_held_by_one_even_within_one_process_and_free_when_it_is_closed(tmp_path):
    place = str(tmp_path / "journal.db")
    with Locks(place) as first, Locks(place) as second:
        assert first.take("run 1")
        assert not second.take("run 1")
        assert second.held("run 1")
        assert not first.held("run 1"), "our own is no other's"
        first.give("run 1")
        assert not second.held("run 1")
        assert first.take("run 1")
    with Locks(place) as third:
        assert not third.held("run 1")


def test_kill_gives_a_name_back_at_once(tmp_path):
    place = str(tmp_path / "journal.db")
    code = (
        "import sys, time\nfrom runbook.engine.journal.locks import Locks\n"
        "locks = Locks(sys.argv[1])\nprint(locks.take('run 1'), flush=True)\ntime.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, place], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline() == "True\n"
        with Locks(place) as locks:
            assert locks.held("run 1")
            child.kill()
            child.wait()
            assert not locks.held("run 1")
    finally:
        child.kill()
        child.communicate()


def test_others_writing_is_noticed_and_our_own_is_not(journal):
    version = journal.version
    taken(journal, wish())
    assert journal.version == version
    with open_journal(journal.path) as other:
        taken(other, wish(subject="gpu 0"))
    assert journal.version != version


def test_whoever_only_asks_makes_nothing_and_sees_who_lives(tmp_path):
    place = str(tmp_path / "journal.db")
    with Locks(place, asks_only=True) as asking:
        assert not asking.held("run 1")
    assert list(tmp_path.iterdir()) == []
    with Locks(place) as living, Locks(place, asks_only=True) as asking:
        living.take("run 1")
        assert asking.held("run 1")
        assert not asking.held("run 2")
