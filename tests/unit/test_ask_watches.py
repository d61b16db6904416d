"""How watches stand, and how things stand while one goes on for months: `status`, `history`, forgetting."""

from __future__ import annotations

import json
import time

import pytest
from click.testing import CliRunner

from runbook.engine.cli import history, status
from runbook.engine.journal import prune, watches
from runbook.engine.journal.ask import runs, standing
from runbook.engine.journal.ask.left import blind
from runbook.engine.journal.facts import Fact, IncidentRow, RunStart
from runbook.engine.journal.locks import Locks
from runbook.engine.journal.store import open_journal
from runbook.engine.journal.watches import Claim
from runbook.engine.report import standing as report
from runbook.engine.report import standing_document
from runbook.engine.report.paint import Paint

NOW = time.time()
DAY = 86400.0
BEGUN = {"runbook": "serving", "hosts": ["gpu01"], "order": ["server down", "xid"], "every": 30.0}
TOLD = {
    "lag": 0.004,
    "next": NOW + 12.0,
    "hosts": 2,
    "detectors": 3,
    "listening": 4,
    "stop": "systemctl stop runbook-serving",
}


@pytest.fixture
def journal(tmp_path):
    with open_journal(str(tmp_path / "journal.db")) as opened:
        yield opened


@pytest.fixture
def watch(journal):
    """Begins watches; each holds its lock until the test is over, or it is killed."""
    held = {}

    def begin(name, at=NOW - 2 * DAY, beat=NOW - 1.0, told=TOLD, *, lives=True):
        held[name] = Locks(journal.path)
        held[name].take(f"run {name}")
        claim = watches.take(
            journal, Claim("serving", "", name, f"root@vm, process {name}"), held[name], at, lasts=30.0, every=10.0
        )
        if claim is not None:
            journal.begin_run(RunStart(name, "serving", "/etc/serving.yaml", "d", "watch", at, "root@vm"))
            tell(journal, Fact("run.begun", at, name, data=BEGUN))
            assert watches.beat(journal, claim, beat, 30.0, told)
        if not lives:
            held.pop(name).close()

    yield begin
    for locks in held.values():
        locks.close()


def tell(journal, *facts):
    with journal.transaction() as batch:
        for fact in facts:
            batch.event(fact)


def stands(journal, now=NOW):
    with Locks(journal.path, asks_only=True) as locks:
        return standing.standing(journal, now, alive=lambda run: locks.held(f"run {run}"))


def text(journal, now=NOW):
    found = stands(journal, now)
    return report.exit_code(found), "\n".join(report.lines(Paint(columns=100), found, now))


def test_a_watch_that_lives_is_told_with_its_lag_and_its_next_look_and_so_is_who_stands_by(journal, watch):
    watch("r1")
    watch("r2", at=NOW)
    code, said = text(journal)
    first, second, third = said.splitlines()[1:4]
    assert first.startswith("serving  alive since ")
    assert first.endswith("(2d), last sign of life 1s ago")
    assert second.strip() == "next look in 12s, lag 4ms, 3 detectors on 2 hosts, 4 of 6 heard at once"
    assert "stands by since" in third
    assert "(root@vm, process r2), last sign of life 0s ago" in third
    assert (code, said.splitlines()[-1]) == (0, "all is well")
    assert "LAST PASS" not in said


def test_a_watch_that_died_or_hangs_is_a_fault_and_says_what_to_type(journal, watch):
    watch("r1", lives=False)
    code, said = text(journal)
    assert code == 2
    assert "DIED: last sign of life at " in said
    assert said.splitlines()[-1] == "the watch of serving died: systemctl restart runbook-serving"
    watch("r2", at=NOW - 100.0, beat=NOW - 90.0, told={"stop": "kill 77"})
    code, said = text(journal)
    assert code == 2
    assert "HANGS, or can't write this journal: last sign of life at " in said
    assert said.splitlines()[-1] == "the watch of serving hangs: kill 77; runbook watch /etc/serving.yaml"


def test_a_watch_that_only_observes_says_why(journal, watch):
    watch("r1", told={**TOLD, "observing": "--max-mode observe", "degraded": ["inotify is used up"]})
    _, said = text(journal)
    assert "only observes: --max-mode observe" in said
    assert "inotify is used up" in said


def test_a_watch_that_was_stopped_in_good_order_is_no_fault_and_its_run_is_the_last_pass(journal, watch):
    watch("r1")
    watches.release(journal, "r1", NOW)
    journal.end_run("r1", NOW, 0)
    code, said = text(journal)
    assert code == 0
    assert "LAST PASS" in said
    assert "  now (" in said  # that is when it ended
    assert ", watch for 2d, exit 0" in said
    code, said = text(journal, NOW + 180.0)
    assert "  3m ago (" in said


def test_the_document_has_the_watches(journal, watch):
    watch("r1")
    (told,) = standing_document.document(stands(journal), NOW)["watches"]
    assert (told["runbook"], told["state"], told["run_id"], told["epoch"], told["every_s"]) == (
        *("serving", "watching", "r1", 1, 10.0),
    )
    assert (told["last_sign"], told["told"]["lag"]) == (NOW - 1.0, 0.004)


def test_status_is_of_one_moment_with_the_watch_in_it_and_says_that_the_watch_goes_on(journal, watch):
    watch("r1", beat=time.time())  # `status` asks the clock, and this file was read a while ago
    row = IncidentRow("i1", "serving", "server down", "gpu01", "", "open", "high", NOW - 60.0, NOW, None, {})
    with journal.transaction() as batch:
        batch.incident(row)
    done = CliRunner().invoke(status.command, ["--journal", journal.path, "--format", "json"], standalone_mode=False)
    told = json.loads(done.stdout)
    assert done.return_value == told["exit_code"] == 2
    assert [one["next"] for one in told["incidents"]] == ["the watch decides"]
    assert [one["state"] for one in told["watches"]] == ["watching"]


def test_a_host_that_answers_again_is_not_told_as_unreachable(journal, watch):
    watch("r1")
    tell(journal, Fact("host.unreachable", NOW - 50.0, "r1", "gpu01", data={"reason": "no route"}))
    assert set(blind(journal, "r1")) == {("gpu01", "")}
    tell(journal, Fact("host.reached", NOW - 40.0, "r1", "gpu01"))
    assert blind(journal, "r1") == {}


@pytest.mark.parametrize(("ago", "left"), [(600.0, []), (5.0, ["i1"])])
def test_what_ended_unhealed_is_well_when_a_watch_has_looked_since_and_it_does_not_hold(journal, watch, ago, left):
    watch("r1")
    row = IncidentRow(
        "i1", "serving", "server down", "gpu01", "vllm", "unhealed", "high", NOW - DAY, NOW - ago, NOW - ago, {}
    )
    with journal.transaction() as batch:
        batch.incident(row)
    assert [one.id for one in stands(journal).incidents] == left
    with journal.transaction() as batch:
        batch.hold("serving", "server down", "gpu01", "vllm", NOW - DAY, NOW - 500.0, {})
    assert [one.id for one in stands(journal).incidents] == ["i1"]


def test_history_has_a_watch_that_began_long_before_with_what_happened_since(journal, watch):
    watch("r1", at=NOW - 30 * DAY)
    for name, at in (("old", NOW - 20 * DAY), ("new", NOW - DAY)):
        about = {"host": "gpu01", "detector": "server down", "incident": name}
        tell(journal, Fact("incident.opened", at, "r1", **about, data={"severity": "high"}),
             Fact("incident.ended", at + 9.0, "r1", **about, data={"to": "cured", "opened": at}))  # fmt: skip
    said = CliRunner().invoke(history.command, ["--journal", journal.path], standalone_mode=False).stdout
    assert "serving watch: 1 healed, goes on" in said
    told = CliRunner().invoke(history.command, ["--journal", journal.path, "--format", "json"], standalone_mode=False)
    (run,) = json.loads(told.stdout)["runs"]
    assert (run["lives"], run["ended"]) == (True, None)
    assert [one["id"] for one in run["hosts"]["gpu01"]["incidents"]] == ["new"]


def test_history_tells_of_the_newest_incidents_of_a_watch_and_how_many_there_were_before(journal, watch):
    watch("r1")
    for number in range(30):
        about = {"host": "gpu01", "detector": f"ill {number:02}", "incident": f"i{number}"}
        tell(journal, Fact("incident.opened", NOW - 3000.0 + number, "r1", **about, data={"severity": "high"}))
    said = CliRunner().invoke(history.command, ["--journal", journal.path], standalone_mode=False).stdout
    assert "… 10 incidents before those below (--incidents lists them)" in said
    assert "ill 09" not in said
    assert "ill 10" in said


def test_a_watch_that_was_taken_over_is_told_so(journal, watch):
    watch("r1", at=NOW - 100.0, beat=NOW - 90.0)
    watch("r2", at=NOW - 10.0, beat=NOW)
    said = CliRunner().invoke(history.command, ["--journal", journal.path], standalone_mode=False).stdout
    assert "another watch took over (1m30s)" in said


def test_a_run_that_goes_on_keeps_how_it_began_and_what_it_could_not_see_last(journal, watch):
    watch("r1", at=NOW - 100 * DAY)
    old = NOW - 95 * DAY
    tell(
        journal,
        Fact("look.unknown", old, "r1", "gpu01", "xid", data={"reason": "first"}),
        Fact("look.unknown", old + 1, "r1", "gpu01", "xid", data={"reason": "last"}),
        Fact("notified", old + 2, "r1", "gpu01"),
    )
    with Locks(journal.path, asks_only=True) as locks:
        gone = prune.prune(journal, NOW - 90 * DAY, watches.lives(journal, locks))
    assert gone == prune.Pruned(events=2)
    assert runs.latest(journal)[0].begun["order"] == ["server down", "xid"]
    assert blind(journal, "r1") == {("gpu01", "xid"): ("last", old + 1)}


def test_a_watch_forgets_in_slices_and_gives_the_journal_back(journal, monkeypatch):
    monkeypatch.setattr(prune, "_FIRST", 10)
    monkeypatch.setattr(prune, "_AT_ONCE", 10)
    journal.begin_run(RunStart("r1", "serving", "", "", "apply", NOW - 100 * DAY, "root@vm"))
    journal.end_run("r1", NOW - 99 * DAY, 0)
    tell(journal, *(Fact("look.unknown", NOW - 99 * DAY, "r1", "gpu01", "xid") for _ in range(95)))
    opened = []

    def again():
        opened.append(open_journal(journal.path))
        return opened[-1]

    forget = prune.Forgetting(again, 90 * DAY, lambda _: lambda _run: False)
    turns = 0
    while forget():
        turns += 1
        journal.begin_run(RunStart(f"w{turns}", "serving", "", "", "apply", NOW, "root@vm"))  # others write meanwhile
    assert turns >= 10
    assert journal.ask("SELECT count(*) FROM events") == [(0,)]
    assert journal.ask("SELECT count(*) FROM runs WHERE id = 'r1'") == [(0,)]
    assert len(opened) == 1
    assert forget() in (True, False)
    assert len(opened) == 2
    forget.close()
