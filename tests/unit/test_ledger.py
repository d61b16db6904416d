# ruff: noqa: PTH108, PTH116, PTH208
# os and not pathlib: names are compared as the kernel tells them
import errno
import fcntl
import os
import threading
import time

import pytest

from runbook.modules import durable
from runbook.modules import ledger as ledgers
from runbook.modules.declare import Refused
from runbook.modules.ledger import Held, Known, Ledger


@pytest.fixture
def ledger(tmp_path):
    return Ledger(str(tmp_path))


def claim(epoch, journal="j", owner="ann@a, process 1", lasts=60.0, beside=False):
    return {"journal": journal, "epoch": epoch, "owner": owner, "lasts": lasts, "beside": beside}


def full(code=errno.ENOSPC):
    def fail(*_args, **_kwargs):
        raise OSError(code, os.strerror(code))

    return fail


def test_an_intent_that_never_began_is_lost_and_says_so(ledger):
    assert ledger.known("i1") == Known("lost", None, begun=False)


def test_an_intent_is_running_while_its_start_is_held_and_lost_after(ledger):
    held = ledger.start("i1", {"subject": "gpu 0"})
    assert ledger.known("i1") == Known("running", None, begun=True)
    os.close(held)
    assert ledger.known("i1") == Known("lost", None, begun=True)
    assert ledger.about("i1")["subject"] == "gpu 0"


def test_a_result_is_known_to_whoever_asks_later(ledger, tmp_path):
    os.close(ledger.start("i1", {}))
    ledger.result("i1", {"status": "done"})
    assert Ledger(str(tmp_path)).known("i1") == Known("result", {"status": "done"}, begun=True)


def test_an_intent_is_not_begun_twice(ledger):
    os.close(ledger.start("i1", {}))
    with pytest.raises(Refused, match="intent i1 was begun before, or called off; it is not done twice"):
        ledger.start("i1", {})


@pytest.mark.parametrize("content", [b"", b'{"status": "do', b"\xff\xfe", b"[]"])
def test_a_half_written_result_counts_as_none(ledger, tmp_path, content):
    os.close(ledger.start("i1", {}))
    (tmp_path / "intents/i1.result.json").write_bytes(content)
    assert ledger.known("i1") == Known("lost", None, begun=True)


@pytest.mark.parametrize("content", [b"", b'{"subj'])
def test_a_half_written_start_did_not_begin_since_nothing_is_done_before_it_is_whole(ledger, tmp_path, content):
    (tmp_path / "intents/i1.started.json").write_bytes(content)
    assert ledger.known("i1") == Known("lost", None, begun=False)
    assert ledger.about("i1") == {}


def test_an_intent_that_was_asked_for_before_it_began_never_begins(ledger):
    assert ledger.ask("i1") == Known("lost", None, begun=False)
    with pytest.raises(Refused, match="begun before, or called off"):
        ledger.start("i1", {})
    assert ledger.ask("i1") == Known("lost", None, begun=False)


def test_a_start_that_is_called_off_between_its_file_and_its_lock_is_refused(ledger, tmp_path, monkeypatch):
    really = fcntl.flock
    other = Ledger(str(tmp_path))
    asked = []

    def flock(held, how):
        if how == fcntl.LOCK_EX and not asked:
            asked.append(None)
            asked.append(other.ask("i1"))
        really(held, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(Refused, match="called off by a later run"):
        ledger.start("i1", {})
    assert asked[1] == Known("lost", None, begun=False)


def test_asking_for_what_began_calls_nothing_off(ledger):
    held = ledger.start("i1", {})
    assert ledger.ask("i1") == Known("running", None, begun=True)
    ledger.result("i1", {"status": "done"})
    os.close(held)
    assert ledger.ask("i1") == Known("result", {"status": "done"}, begun=True)


def test_an_intent_from_before_these_records_may_have_begun(ledger, tmp_path):
    born = os.stat(tmp_path / "born").st_mtime
    assert ledger.ask("i1", born - 120) == Known("lost", None, begun=True)
    assert ledger.ask("i2", born - 10) == Known("lost", None, begun=False), "its agent was still starting"


def test_an_intent_that_is_older_than_what_is_kept_may_have_begun(ledger, tmp_path):
    os.utime(tmp_path / "born", (0, 0))
    assert ledger.ask("i1", time.time() - ledgers.KEPT - 1).begun
    assert not ledger.ask("i2", time.time() - ledgers.KEPT + 60).begun


def test_where_an_intent_cannot_be_called_off_it_counts_as_begun(ledger, monkeypatch, capsys):
    monkeypatch.setattr(durable, "overwrite", full(errno.EROFS))
    assert ledger.ask("i1") == Known("lost", None, begun=True)
    assert "i1 can't be called off" in capsys.readouterr().err


@pytest.mark.parametrize("intent", ["", "../x", "a/b", ".hidden", "x" * 129, "a\nb"])
def test_an_intent_with_a_name_that_is_no_id_is_refused(ledger, intent):
    with pytest.raises(Refused, match="not an intent's id"):
        ledger.known(intent)


def test_undos_come_last_first_and_a_half_written_one_is_left_out(ledger, tmp_path):
    ledger.keep_undo("i1", {"n": 1})
    ledger.keep_undo("i1", {"n": 2})
    with (tmp_path / "intents/i1.undo.jsonl").open("ab") as file:
        file.write(b'{"n": 3')
    assert ledger.undos("i1") == [{"n": 2}, {"n": 1}]


def test_what_was_undone_is_not_undone_twice(ledger):
    ledger.keep_undo("i1", {"n": 1})
    ledger.undone("i1")
    assert ledger.undos("i1") == []


def test_a_start_that_cannot_be_written_refuses_the_step_and_leaves_no_trace(ledger, monkeypatch):
    monkeypatch.setattr(durable, "overwrite", full(errno.EROFS))
    with pytest.raises(Refused, match="Read-only file system"):
        ledger.start("i1", {})
    assert ledger.known("i1") == Known("lost", None, begun=False)


def test_a_full_disk_is_met_with_the_space_set_aside_so_that_the_step_that_frees_it_can_run(
    ledger, monkeypatch, tmp_path
):
    written = durable.overwrite

    def overwrite(held, value, **more):
        if (tmp_path / "reserve").exists():
            full()()
        written(held, value, **more)

    monkeypatch.setattr(durable, "overwrite", overwrite)
    os.close(ledger.start("i1", {}))
    assert ledger.known("i1").begun


def test_a_disk_that_stays_full_refuses_the_step(ledger, monkeypatch):
    monkeypatch.setattr(durable, "overwrite", full())
    with pytest.raises(Refused, match="No space left on device"):
        ledger.start("i1", {})


def test_what_cannot_be_undone_later_is_refused(ledger, monkeypatch):
    monkeypatch.setattr(durable, "append", full())
    with pytest.raises(Refused, match="how to undo it can't be kept, so it was not done"):
        ledger.keep_undo("i1", {})


def test_a_line_that_did_not_fit_does_not_spoil_the_next(tmp_path, monkeypatch):
    path = str(tmp_path / "f")
    durable.append(path, b"first\n")
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full())
        with pytest.raises(OSError, match="No space"):
            durable.append(path, b"second\n")
    durable.append(path, b"third\n")
    assert (tmp_path / "f").read_bytes() == b"first\nthird\n"


def test_a_lower_epoch_is_refused_and_an_equal_or_higher_one_is_not(ledger):
    for epoch in (5, 5, 6):
        with ledger.subject("gpu 0", claim(epoch), 1.0):
            pass
    with (
        pytest.raises(Held, match=r"epoch 5 is over: a later lease \(6\) acted on gpu 0") as refused,
        ledger.subject("gpu 0", claim(5), 1.0),
    ):
        pass
    assert refused.value.data["held"]["by"] == "ann@a, process 1"


def test_epochs_are_compared_within_one_journal_and_one_subject(ledger):
    with ledger.subject("gpu 0", claim(9), 1.0):
        pass
    assert ledger.hold("gpu 0", claim(9), release=True)
    with ledger.subject("gpu 0", claim(1, "another"), 1.0), ledger.subject("gpu 1", claim(1), 1.0):
        pass


def test_another_journals_lease_holds_between_its_steps_until_it_is_given_back(ledger):
    with ledger.subject("gpu 0", claim(9), 1.0):
        pass
    with pytest.raises(Held, match="ann@a, process 1 recovers gpu 0 by another journal") as refused:
        ledger.subject("gpu 0", claim(1, "another"), 1.0).__enter__()
    assert refused.value.data["held"]["by"] == "ann@a, process 1"
    assert not ledger.hold("gpu 0", claim(8), release=True), "an older lease of the same journal gives nothing back"
    assert ledger.hold("gpu 0", claim(9), release=True)
    with ledger.subject("gpu 0", claim(1, "another"), 1.0):
        pass


def test_another_journals_lease_is_over_when_its_time_is(ledger):
    with ledger.subject("gpu 0", claim(9, lasts=-2.0), 1.0):
        pass
    with ledger.subject("gpu 0", claim(1, "another"), 1.0):
        pass
    assert not ledger.hold("gpu 0", claim(9)), "what somebody else has taken is not renewed"


def test_a_lease_that_is_renewed_holds_on(ledger):
    with ledger.subject("gpu 0", claim(9, lasts=-2.0), 1.0):
        pass
    assert ledger.hold("gpu 0", claim(9, lasts=60.0))
    with pytest.raises(Held):
        ledger.subject("gpu 0", claim(1, "another"), 1.0).__enter__()


def test_steps_beside_each_other_share_their_subject_and_others_wait(ledger, tmp_path):
    other = Ledger(str(tmp_path))
    with (
        ledger.subject("gpu 0", claim(1, beside=True), 1.0),
        other.subject("gpu 0", claim(1, beside=True), 0.0),
        pytest.raises(Refused, match="another step acts on gpu 0"),
        other.subject("gpu 0", claim(1), 0.0),
    ):
        pass


def test_what_is_remembered_of_a_subject_is_whole_at_every_moment(ledger, tmp_path):
    """A process that dies in the middle leaves the old words or the new ones: they are written in one piece."""
    with ledger.subject("gpu 0", claim(9, owner="somebody with a long name@a machine with a longer one"), 1.0):
        pass
    with ledger.subject("gpu 0", claim(10, owner="a"), 1.0):
        pass
    (name,) = os.listdir(tmp_path / "locks")
    assert durable.parsed((tmp_path / "locks" / name).read_bytes())["epochs"] == {"j": 10}


def test_a_subject_that_is_held_is_refused_when_patience_ends(ledger, tmp_path):
    other = Ledger(str(tmp_path))
    with (
        ledger.subject("gpu 0", claim(1), 1.0),
        pytest.raises(Refused, match="another step acts on gpu 0 at the moment"),
        other.subject("gpu 0", claim(1), 0.05),
    ):
        pass


def test_a_subject_is_had_as_soon_as_it_is_free(ledger, tmp_path):
    released = threading.Event()

    def hold():
        with Ledger(str(tmp_path)).subject("gpu 0", claim(1), 1.0):
            released.set()
            time.sleep(0.1)

    holder = threading.Thread(target=hold)
    holder.start()
    assert released.wait(5)
    with ledger.subject("gpu 0", claim(1), 5.0):
        pass
    holder.join()


def test_a_lock_that_was_pruned_while_it_was_waited_for_does_not_count(ledger, tmp_path, monkeypatch):
    path = str(tmp_path / "locks/x")
    really = fcntl.flock
    pruned = []

    def flock(held, how):
        really(held, how)
        if not pruned:
            pruned.append(os.unlink(path))

    monkeypatch.setattr(fcntl, "flock", flock)
    held = durable.lock(path, 0.0)
    assert os.fstat(held).st_ino == os.stat(path).st_ino
    os.close(held)


def test_intents_are_forgotten_after_seven_days_all_of_their_records_together(ledger, tmp_path):
    now = time.time()
    for intent, age in (("old", 8), ("young", 6)):
        os.close(ledger.start(intent, {}))
        ledger.result(intent, {"status": "done"})
        then = now - age * 86400
        os.utime(tmp_path / f"intents/{intent}.result.json", (then, then))
        os.utime(tmp_path / f"intents/{intent}.started.json", (now - 20 * 86400,) * 2)
    ledger.prune(now)
    assert sorted(os.listdir(tmp_path / "intents")) == ["young.result.json", "young.started.json"]


def test_an_old_lock_is_forgotten_unless_somebody_holds_it(ledger, tmp_path):
    for subject in ("free", "held"):
        with ledger.subject(subject, claim(1), 1.0):
            pass
    for name in os.listdir(tmp_path / "locks"):
        os.utime(tmp_path / "locks" / name, (0, 0))
    with ledger.subject("held", claim(1), 1.0):
        ledger.prune(time.time())
        assert len(os.listdir(tmp_path / "locks")) == 1


def test_as_much_is_set_aside_as_there_is_and_more_when_there_is_more(ledger, tmp_path, monkeypatch):
    (tmp_path / "reserve").unlink()
    really = durable.replace
    room = [100_000]

    def replace(path, body):
        if len(body) > room[0]:
            full()()
        really(path, body)

    monkeypatch.setattr(durable, "replace", replace)
    os.close(ledger.start("i1", {}))
    ledger.result("i1", {"status": "done"})
    assert (tmp_path / "reserve").stat().st_size == 64 << 10
    room[0] = 1 << 30
    ledger.result("i1", {"status": "done"})
    assert (tmp_path / "reserve").stat().st_size == 256 << 10
