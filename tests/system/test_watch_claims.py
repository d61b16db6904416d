"""One watch has a runbook: two real processes on one journal, of which one is stopped, continued and killed."""

import pathlib
import signal
import subprocess
import sys
import time

import pytest

from runbook.engine.errors import Busy, Hung
from runbook.engine.journal import watches
from runbook.engine.journal.locks import Locks
from runbook.engine.journal.store import open_journal

CLAIMANT = pathlib.Path(__file__).with_name("claimant.py")
LASTS, EVERY = 1.2, 0.1  # seconds


@pytest.fixture
def journal(tmp_path):
    with open_journal(str(tmp_path / "journal.db")) as opened:
        yield opened


@pytest.fixture
def begin(journal):
    begun = []

    def start(run, lasts=LASTS):
        command = [sys.executable, str(CLAIMANT), journal.path, run, str(lasts), str(EVERY)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        begun.append(process)
        return process

    yield start
    for process in begun:
        process.kill()  # also what is stopped
        process.wait()
        process.stdout.close()


def says(process, start):
    """Return the next line that begins so."""
    for line in process.stdout:
        if line.startswith(start):
            return line.rstrip("\n")
    raise AssertionError(f"it ended without a word that begins with {start!r}")


def ended(journal, run):
    ((at, code),) = journal.ask("SELECT ended, exit_code FROM runs WHERE id = ?", (run,))
    return at is not None, code


def test_a_watch_that_is_stopped_for_longer_than_its_claim_is_fenced_when_it_goes_on(journal, begin):
    first = begin("r1")
    assert says(first, "took") == "took 1 "
    second = begin("r2")
    says(second, "stands by")
    first.send_signal(signal.SIGSTOP)
    took = says(second, "took")
    assert took.startswith("took 2 ann@desk, r1 hangs, without a sign of life since ")
    assert (ended(journal, "r1"), ended(journal, "r2")) == ((True, None), (False, None))
    with Locks(journal.path, asks_only=True) as locks:
        assert locks.held("run r1")  # its process lives …
        assert not watches.lives(journal, locks)("r1")  # … and does not count
        assert watches.lives(journal, locks)("r2")
    first.send_signal(signal.SIGCONT)
    assert says(first, "fenced").startswith("fenced: `llm` is watched by ann@desk, r2, since ")
    assert first.wait(10) == 4
    assert journal.ask("SELECT count(*) FROM events WHERE detector = 'late'") == [(0,)]
    ((told,),) = journal.ask("SELECT data ->> 'message' FROM events WHERE kind = 'watch.superseded' AND run = 'r1'")
    assert told.endswith(": ann@desk, r2 took over")


def test_a_watch_that_is_stopped_for_less_goes_on(journal, begin):
    first = begin("r1", lasts=60.0)
    says(first, "took")
    second = begin("r2", lasts=60.0)
    says(second, "stands by")
    first.send_signal(signal.SIGSTOP)
    for _ in range(3):
        says(second, "stands by")
    (had, standby) = watches.known(journal)
    first.send_signal(signal.SIGCONT)
    deadline = time.monotonic() + 10
    while watches.known(journal)[0].beat <= had.beat and time.monotonic() < deadline:
        says(second, "stands by")
    now, _ = watches.known(journal)
    assert (now.run, now.epoch, now.told) == ("r1", 1, {"lag": 0.25})
    assert now.beat > had.beat
    assert (standby.run, standby.stands_by) == ("r2", True)


def test_what_was_killed_is_taken_over_at_the_next_beat_though_its_claim_lasts(journal, begin):
    first = begin("r1", lasts=600.0)
    says(first, "took")
    second = begin("r2", lasts=600.0)
    says(second, "stands by")
    first.kill()
    first.wait()
    killed = time.monotonic()
    assert says(second, "took").startswith("took 2 ann@desk, r1 died; its last sign of life was at ")
    assert time.monotonic() - killed < 2 * EVERY + 1.0  # a beat, and a second for a busy machine
    assert ended(journal, "r1") == (True, None)


def test_what_is_given_back_is_taken_at_once_and_nothing_is_said_of_it(journal, begin):
    first = begin("r1", lasts=600.0)
    says(first, "took")
    first.terminate()
    assert first.wait(10) == 0
    assert watches.known(journal) == ()
    assert says(begin("r2"), "took") == "took 2 "
    assert journal.ask("SELECT count(*) FROM events WHERE kind = 'watch.superseded'") == [(0,)]


def test_a_pass_by_hand_is_refused_while_a_watch_lives_and_told_how_to_stop_it(journal, begin):
    first = begin("r1", lasts=60.0)
    says(first, "took")
    with Locks(journal.path) as locks:
        with pytest.raises(Busy, match=r"`llm` is watched \(`runbook watch` by ann@desk, r1, since ") as refused:
            watches.refuse_watched(journal, "llm", locks, time.time())
        assert (refused.value.exit_code, refused.value.where) == (3, journal.path)
        assert "`runbook check`" in refused.value.mend
        assert refused.value.mend.endswith("stop the watch first: end ann@desk, r1")
        first.send_signal(signal.SIGSTOP)
        with pytest.raises(Hung, match="and that hangs: it gave no sign of life since"):
            watches.refuse_watched(journal, "llm", locks, time.time() + 61.0)
        first.kill()
        first.wait()
        watches.refuse_watched(journal, "llm", locks, time.time())


def test_a_watch_stands_by_while_a_pass_is_at_work(journal, begin):
    with Locks(journal.path) as locks:
        assert locks.take("runbook llm")
        first = begin("r1")
        says(first, "stands by")
        watches.refuse_watched(journal, "llm", locks, time.time())
    assert says(first, "took") == "took 1 "
