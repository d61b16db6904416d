"""What a run decides and what the journal says by then: a recovery begins on what holds in its own transaction."""

import time

import pytest

from runbook.engine import restore
from runbook.engine.errors import Fenced
from runbook.engine.journal import watches
from runbook.engine.journal.facts import Fact, RunStart
from runbook.engine.journal.locks import Locks
from runbook.engine.journal.store import open_journal
from runbook.engine.keep import Keeper
from runbook.engine.language import load, render
from runbook.engine.model import Outcome, Record, Seen, StepStatus
from runbook.engine.people import Maintenance
from runbook.engine.recover.advance import advance
from runbook.engine.recover.commands import Act, Ended, Happened, Looked, Recover, Resume
from runbook.engine.recover.state import Plan, Settings

BOOK = """
name: {name}
{top}
detectors:
  - name: ill
    file: /x
    when: exists
    mode: auto
    limit: 3 per 1h
    verify: {{within: 5m}}
    recover: [{{shell: {{script: mend}}}}, {{shell: {{script: mend more}}}}]
"""


class Run:
    """A run that only writes: what its steps do, the test says."""

    def __init__(self, folder, name, run, top="", known=None, *, watches_for=None):
        file = folder / f"{name}.yaml"
        file.write_text(BOOK.format(name=name, top=top))
        runbook = load.load(file)
        self.journal = open_journal(str(folder / "journal.db"))
        self.locks = Locks(self.journal.path)
        assert self.locks.take(f"run {run}")
        self.claim = None
        if watches_for is not None:
            wanted = watches.Claim(name, "", run, f"ann@desk, {run}")
            self.claim = watches.take(self.journal, wanted, self.locks, time.time(), lasts=watches_for, every=1.0)
            assert self.claim is not None
        self.journal.begin_run(RunStart(run, name, str(file), "", "apply", time.time(), "ann@desk"))
        scope = render.Scope(runbook, host="h", run={"id": run, "scratch": ""}, secrets={})
        plan = Plan(runbook, run, Settings(), 60.0, {"h": scope})
        lives = watches.lives(self.journal, self.locks)
        self.state, cursors = restore.load(plan, self.journal, "h", 0.0, time.time(), lives)
        self.keeper = Keeper(self.journal, name, run, {"h": cursors}, locks=self.locks, claim=self.claim)
        self.run = run
        self.acts = []
        for event in (self.keeper.told(time.time()), Resume(known or {}), Recover()):
            assert self.put(event) is None

    def put(self, event):
        now = time.time()
        after, commands = advance(self.state, event, now)
        facts = [
            Fact(each.kind, now, self.run, each.host, each.detector, each.subject, each.incident, each.operation, each.step, each.data)
            for each in commands if isinstance(each, Happened)
        ]  # fmt: skip
        told, self.released = self.keeper.keep(self.state, after, event, commands, facts, {}, now)
        if told is None:
            self.state = after
            self.acts += [each for each in commands if isinstance(each, Act)]
        return told

    def sees_it(self, exists=True):
        return self.put(Looked("h", {"ill": Seen((Record("/x", {"path": "/x", "exists": exists}),), {})}))

    def end_step(self):
        ended = Ended(self.acts[-1].intent, Outcome(StepStatus.DONE, changed=True))
        while told := self.put(ended):
            self.put(told)

    @property
    def incident(self):
        (found,) = self.state.incidents.values()
        return found

    def die(self):
        self.journal.close()
        self.locks.close()


@pytest.fixture
def begin(tmp_path):
    runs = []

    def begun(name, run, top="", known=None, watches_for=None):
        runs.append(Run(tmp_path, name, run, top, known, watches_for=watches_for))
        return runs[-1]

    yield begun
    for run in runs:
        if run.locks is not None:
            run.journal.close()
            run.locks.close()


def die(run):
    run.die()
    run.locks = None


def intents(journal):
    return [(name, epoch) for name, epoch in journal.ask("SELECT id, epoch FROM intents ORDER BY at, id")]


def test_an_intent_is_written_with_the_lease_that_it_is_sent_under(begin):
    run = begin("one", "r1")
    assert run.sees_it() is None
    lease = run.keeper.lease("h", "/x")
    assert lease.incident == run.incident.id
    assert [epoch for _, epoch in intents(run.journal)] == [lease.epoch]


def test_what_another_run_has_taken_since_is_not_begun_and_nothing_of_the_turn_is_written(begin):
    first, second = begin("one", "r1"), begin("two", "r2")
    first.sees_it()
    before = second.journal.ask("SELECT count(*) FROM events")
    told = second.sees_it()
    assert told.leases["h", "/x"].run == "r1"
    assert second.journal.ask("SELECT count(*) FROM events") == before
    assert [name[:2] for name, _ in intents(second.journal)] == ["r1"]
    assert second.put(told) is None
    assert second.sees_it() is None
    assert (second.acts, second.incident.state.value) == ([], "suppressed")
    assert "of one" in second.incident.reason


def test_a_lease_is_kept_from_step_to_step_and_given_back_at_the_end(begin):
    run = begin("one", "r1")
    run.sees_it()
    lease = run.keeper.lease("h", "/x")
    run.end_step()
    assert run.keeper.lease("h", "/x") == lease
    assert {epoch for _, epoch in intents(run.journal)} == {lease.epoch}
    run.end_step()
    assert run.incident.state.value == "verifying"
    assert run.keeper.lease("h", "/x") == lease
    run.sees_it(exists=False)
    assert run.state.incidents == {}
    assert (run.keeper.lease("h", "/x"), run.released) == (None, [lease])
    assert begin("two", "r2").keeper.told(time.time()).leases == {}


def test_the_next_pass_of_a_killed_run_takes_its_lease_over_with_a_higher_epoch(begin):
    first = begin("one", "r1")
    first.sees_it()
    lease = first.keeper.lease("h", "/x")
    die(first)
    assert begin("one", "r3").keeper.lease("h", "/x").epoch > lease.epoch


def test_a_killed_recovery_whose_subject_another_runbook_has_taken_waits_and_does_nothing(begin):
    first = begin("one", "r1")
    first.sees_it()
    die(first)
    second = begin("two", "r2")
    assert second.sees_it() is None
    assert second.acts
    third = begin("one", "r3", known={first.acts[0].intent: Outcome(StepStatus.DONE)})
    assert (third.acts, third.keeper.leases) == ([], ())
    second.end_step()
    second.end_step()
    second.sees_it(exists=False)
    told = third.keeper.news(third.state, time.time())
    assert third.put(told) is None
    assert third.sees_it() is None
    assert [act.order.params["script"] for act in third.acts] == ["mend more"], "it goes on where it stood"


def lapse(run):
    """Let a run's leases be over, as when its process was stopped for longer than they last."""
    with run.journal.transaction() as batch:
        batch.write("UPDATE leases SET until = 1 WHERE run = ?", (run.run,))


@pytest.fixture
def overtaken(begin):
    """Return a run whose subject another one took and healed while it was not let run, after its last step."""
    first, second = begin("one", "r1"), begin("two", "r2")
    first.sees_it()
    first.end_step()
    first.end_step()
    assert first.incident.state.value == "verifying"
    lapse(first)
    assert second.sees_it() is None
    second.end_step()
    second.end_step()
    second.sees_it(exists=False)
    return first


def test_a_run_that_was_overtaken_does_not_say_what_became_of_it_and_looks_again_at_its_next_pass(overtaken):
    run = overtaken
    told = run.sees_it(exists=False)
    assert list(told.lost) == [run.incident.id]
    assert run.put(told) is None
    assert run.sees_it(exists=False) is None
    assert (run.incident.state.value, run.state.ended, run.keeper.leases) == ("suppressed", {}, ())
    assert "took over its recovery: `ill` of two; the next pass looks again" in run.incident.reason
    rows = run.journal.ask("SELECT kind FROM events WHERE incident = ? AND kind = 'recovery.ended'", (run.incident.id,))
    assert rows == []


def test_news_that_others_write_does_not_hide_that_a_run_was_overtaken(overtaken):
    told = overtaken.keeper.news(overtaken.state, time.time())
    assert list(told.lost) == [overtaken.incident.id]
    assert overtaken.put(told) is None
    assert overtaken.keeper.news(overtaken.state, time.time()) is None, "it was told once"


def test_an_overtaken_run_begins_no_further_step(begin):
    first, second = begin("one", "r1"), begin("two", "r2")
    first.sees_it()
    lapse(first)
    second.sees_it()
    second.end_step()
    second.end_step()
    second.sees_it(exists=False)
    first.end_step()
    assert (len(first.acts), first.incident.state.value) == (1, "suppressed")
    assert first.keeper.leases == ()


def test_the_pass_after_one_that_was_overtaken_verifies_what_it_left_or_ends_it(begin, overtaken):
    run = overtaken
    run.put(run.sees_it(exists=False))
    assert run.sees_it(exists=False) is None
    die(run)
    again = begin("one", "r3")
    assert again.incident.state.value == "suppressed"
    assert again.sees_it() is None
    assert (again.incident.state.value, again.acts) == ("verifying", []), "its steps were done; they are looked after"
    assert again.keeper.lease("h", "/x")
    again.sees_it(exists=False)
    assert [each.state.value for each in again.state.ended.values()] == ["cured"]


def test_people_are_heard_up_to_the_moment_in_which_a_recovery_begins(begin):
    run, person = begin("one", "r1"), begin("two", "r2")
    with person.journal.transaction() as batch:
        batch.maintain(Maintenance("m1", "h", time.time() - 1, None, "ann@desk", "new driver"))
    told = run.sees_it()
    assert [word.id for word in told.people.maintenance] == ["m1"]
    run.put(told)
    assert run.sees_it() is None
    assert (run.acts, run.incident.state.value) == ([], "suppressed")


def test_a_limit_counts_what_others_have_begun_since_the_state_was_read(begin):
    run = begin("one", "r1")
    with open_journal(run.journal.path) as other, other.transaction() as batch:
        for _ in range(3):
            batch.event(Fact("recovery.begun", time.time(), "r1", "h", "ill", "/x", "i0"))
    told = run.sees_it()
    assert len(told.begun["h", "ill", "/x"]) == 3
    run.put(told)
    assert run.sees_it() is None
    assert run.acts == []
    assert "limit reached: 3 recoveries" in run.incident.reason


def test_hosts_that_other_runbooks_recover_count_against_max_unavailable(begin):
    first = begin("one", "r1")
    second = begin("two", "r2", "max_unavailable: 1")
    with open_journal(first.journal.path) as other, other.transaction() as batch:
        batch.write(
            "INSERT INTO leases VALUES ('elsewhere', '', 'r1', 'one', 'ill', 'i9', 'ann@desk', 1, ?, ?, NULL)",
            (time.time(), time.time() + 60),
        )
    told = second.sees_it()
    assert told.elsewhere == {"elsewhere"}
    second.put(told)
    assert second.sees_it() is None
    assert second.acts == []
    assert "max_unavailable is 1" in second.incident.reason


def test_leases_are_renewed_when_half_of_their_time_is_over(begin):
    run = begin("one", "r1")
    run.sees_it()
    now = time.time()
    assert not run.keeper.renew(now + 60)
    assert run.keeper.renew(now + 600)
    assert run.keeper.lease("h", "/x").until == now + 600 + 900
    assert begin("two", "r2").keeper.told(now + 1200).leases["h", "/x"].until == now + 600 + 900


def test_news_are_told_once_and_silence_costs_no_reading(begin):
    run, other = begin("one", "r1"), begin("two", "r2")
    run.keeper.news(run.state, time.time())
    assert run.keeper.news(run.state, time.time()) is None
    other.sees_it()
    told = run.keeper.news(run.state, time.time())
    assert set(told.leases) == {("h", "/x")}
    run.put(told)
    assert run.keeper.news(run.state, time.time()) is None


def test_what_a_live_run_of_the_same_runbook_has_in_hand_is_not_touched(begin):
    """As a call from Python has, while `apply` of its runbook begins."""
    first = begin("one", "r1")
    first.sees_it()
    second = begin("one", "r2")
    assert second.keeper.left("h") == []
    assert second.state.incidents == {}
    while told := second.sees_it():
        second.put(told)
    assert (second.acts, second.incident.state.value) == ([], "suppressed")
    first.end_step()
    first.end_step()
    first.sees_it(exists=False)
    assert first.state.incidents == {}


def test_what_a_killed_run_of_the_same_runbook_left_is_taken_up(begin):
    first = begin("one", "r1")
    first.sees_it()
    die(first)
    second = begin("one", "r2")
    assert [row.id for row in second.keeper.left("h")] == [first.acts[0].intent]
    assert second.incident.id == first.incident.id


def test_what_a_watch_that_hangs_had_in_hand_goes_on_under_a_higher_epoch(begin):
    first = begin("one", "r1", watches_for=-1.0)  # its claim has lapsed, and its process lives
    first.sees_it()
    done = Outcome(StepStatus.DONE, changed=True)
    second = begin("one", "r2", known={first.acts[0].intent: done}, watches_for=60.0)
    assert second.incident.id == first.incident.id
    assert second.keeper.lease("h", "/x").epoch > first.keeper.lease("h", "/x").epoch
    assert [act.order.params["script"] for act in second.acts] == ["mend more"]


def test_what_a_watch_that_hangs_has_sent_is_asked_for_by_its_successor_alone(begin):
    first = begin("one", "r1", watches_for=-1.0)
    first.sees_it()
    assert begin("one", "r3").keeper.left("h") == []
    second = begin("one", "r2", watches_for=60.0)
    assert [left.id for left in second.keeper.left("h")] == [first.acts[0].intent]


def test_a_watch_from_which_another_took_over_writes_and_sends_nothing_more(begin):
    first = begin("one", "r1", watches_for=-1.0)
    first.sees_it()
    second = begin("one", "r2", watches_for=60.0)
    before = (second.journal.ask("SELECT count(*) FROM events"), intents(second.journal))
    assert not watches.beat(first.journal, first.claim, time.time(), 60.0, {})
    with pytest.raises(Fenced, match=r"`one` is watched by ann@desk, r2, since .*: this watch lost it"):
        first.end_step()
    with pytest.raises(Fenced, match="`one` is watched by"):
        first.keeper.fact(Fact("look.unknown", time.time(), "r1", "h", "ill", data={"reason": "?"}))
    with pytest.raises(Fenced, match="`one` is watched by"):
        first.keeper.renew(time.time() + 899.0)
    assert len(first.acts) == 1
    assert (second.journal.ask("SELECT count(*) FROM events"), intents(second.journal)) == before


def test_leases_of_a_watch_that_hangs_keep_other_runbooks_out_until_another_took_over(begin):
    first, other = begin("one", "r1", watches_for=-1.0), begin("two", "r3")
    first.sees_it()
    assert other.sees_it().leases["h", "/x"].run == "r1"
    second = begin("one", "r2", watches_for=60.0)
    assert second.journal.ask("SELECT count(*) FROM leases WHERE run = 'r1'") == [(0,)]
    assert other.keeper.told(time.time()).leases["h", "/x"].run == "r2"
