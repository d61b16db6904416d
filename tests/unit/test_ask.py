"""The questions asked of a journal: how things stand, which incident is meant, what was tried and worked."""

import json
import time

import pytest
from click.testing import CliRunner

from runbook.engine.cli import status, trends
from runbook.engine.errors import UserError
from runbook.engine.journal.ask import detector, find, runs
from runbook.engine.journal.ask import standing as questions
from runbook.engine.journal.ask.rates import stats
from runbook.engine.journal.ask.story import story
from runbook.engine.journal.facts import Fact, IncidentRow, RunStart
from runbook.engine.journal.queries import Asked, incidents
from runbook.engine.journal.store import open_journal
from runbook.engine.people import Reset
from runbook.engine.report import standing as report

NOW = time.time()
ABOUT = {"host": "gpu01", "detector": "server down", "subject": "vllm"}


def run(journal, name, at, facts=(), *, runbook="serving", command="apply", ended=True, **begun):
    journal.begin_run(RunStart(name, runbook, f"/etc/{runbook}.yaml", "d", command, at, "root@here"))
    data = {"runbook": runbook, "hosts": ["gpu01"], "order": ["server down", "xid"], **begun}
    with journal.transaction() as batch:
        batch.event(Fact("run.begun", at, name, data=data))
        for fact in facts:
            batch.event(fact)
    if ended:
        journal.end_run(name, at + 5.0, 0)


def incident(name, state, *, at=NOW - 60.0, closed=None, **data):
    return IncidentRow(name, "serving", *ABOUT_ROW, state, "high", at, at, closed, {"since": at - 30.0, **data})


ABOUT_ROW = ("server down", "gpu01", "vllm")


@pytest.fixture
def journal(tmp_path):
    with open_journal(str(tmp_path / "journal.db")) as opened:
        yield opened


def keep(journal, *rows):
    with journal.transaction() as batch:
        for row in rows:
            batch.incident(row)


def test_an_incident_is_found_by_the_beginning_of_its_id(journal):
    keep(journal, incident("abc1", "open"), incident("abd2", "cured", closed=NOW), incident("abx", "open"))
    assert find.incident(journal, "abd").id == "abd2"
    assert find.incident(journal, " ABC1 ").id == "abc1"
    with pytest.raises(UserError, match="ab begins several ids") as told:
        find.incident(journal, "ab")
    named = [line.split()[:2] for line in told.value.mend.splitlines()[1:]]
    assert named == [["abc1", "open,"], ["abx", "open,"], ["abd2", "cured,"]]


def test_of_several_ids_that_begin_so_the_one_that_is_open_is_meant(journal):
    keep(journal, *(incident(f"ab{number}", "cured", closed=NOW) for number in range(9)), incident("abz", "waiting"))
    assert find.incident(journal, "ab").id == "abz"


def test_an_id_that_begins_another_is_itself(journal):
    keep(journal, incident("abc", "open"), incident("abcd", "open"))
    assert find.incident(journal, "abc").id == "abc"


@pytest.mark.parametrize("asked", ["", "zz", "%", "_", "a%", "'"])
def test_what_begins_no_id_is_said(journal, asked):
    keep(journal, incident("abc1", "open"))
    with pytest.raises(UserError, match="there is no incident"):
        find.incident(journal, asked)


def ended(name, at, run_id, to):
    about = {**ABOUT, "incident": name}
    return [Fact("incident.opened", at - 9.0, run_id, **about, data={"when": "status != 200"}),
            Fact("incident.ended", at, run_id, **about, data={"to": to})]  # fmt: skip


def test_what_the_last_pass_left_unhealed_stands_and_what_an_earlier_one_left_does_not(journal):
    run(journal, "r1", NOW - 900.0, ended("old", NOW - 890.0, "r1", "unhealed"))
    run(journal, "r2", NOW - 60.0, ended("new", NOW - 50.0, "r2", "unhealed"))
    keep(journal, incident("old", "unhealed", at=NOW - 899.0, closed=NOW - 890.0),
         incident("new", "unhealed", closed=NOW - 50.0))  # fmt: skip
    stands = questions.standing(journal, NOW)
    assert [one.id for one in stands.incidents] == ["new"]
    assert stands.conditions == {"new": "status != 200"}
    assert report.exit_code(stands) == 2


def test_what_is_open_again_stands_once(journal):
    run(journal, "r1", NOW - 60.0, ended("first", NOW - 50.0, "r1", "unhealed"))
    keep(journal, incident("first", "unhealed", closed=NOW - 50.0), incident("again", "suppressed", at=NOW - 40.0))
    assert [one.id for one in questions.standing(journal, NOW).incidents] == ["again"]


@pytest.mark.parametrize(
    ("state", "code"),
    [("open", 2), ("suppressed", 2), ("observed", 2), ("recovering", 2), ("interrupted", 2), ("waiting", 3),
     ("verifying", 3)],
)  # fmt: skip
def test_the_exit_code_of_a_state(journal, state, code):
    run(journal, "r1", NOW - 60.0)
    keep(journal, incident("abc", state))
    assert report.exit_code(questions.standing(journal, NOW)) == code


def test_the_last_word_about_a_look_counts(journal):
    about = {"host": "gpu01", "detector": "xid"}
    unknown = Fact("look.unknown", NOW - 50.0, "r1", **about, data={"reason": "no permission"})
    seen = Fact("look.seen", NOW - 40.0, "r1", **about)
    run(journal, "r1", NOW - 60.0, [seen, unknown])
    (blind,) = questions.standing(journal, NOW).blind
    assert (blind.detector, blind.reason) == ("xid", "no permission")
    run(journal, "r2", NOW - 30.0, [Fact("look.unknown", NOW - 50.0, "r2", **about, data={"reason": "x"}),
                                    Fact("look.seen", NOW - 40.0, "r2", **about)])  # fmt: skip
    assert questions.standing(journal, NOW).blind == ()


def test_a_host_that_did_not_answer_is_exit_4(journal):
    run(journal, "r1", NOW - 60.0, [Fact("host.unreachable", NOW - 55.0, "r1", "gpu01", data={"reason": "no route"})])
    stands = questions.standing(journal, NOW)
    assert (stands.blind[0].detector, report.exit_code(stands)) == ("", 4)


def test_each_runbook_has_its_own_last_pass(journal):
    run(journal, "r1", NOW - 900.0, runbook="nodes")
    run(journal, "r2", NOW - 60.0)
    run(journal, "r3", NOW - 30.0, runbook="adhoc", command="run")
    assert [one.runbook for one in runs.latest(journal)] == ["serving", "nodes"]
    assert [one.runbook for one in runs.latest(journal, "nodes")] == ["nodes"]


def test_a_pass_that_comes_no_more_is_overdue(journal):
    for number in range(8):
        run(journal, f"r{number}", NOW - 3600.0 - number * 120.0)
    (last,) = runs.latest(journal)
    assert last.every == pytest.approx(120.0)
    assert last.overdue(NOW) == pytest.approx(3480.0)
    assert last.overdue(NOW - 3600.0 + 200.0) is None
    shown = CliRunner().invoke(status.command, ["--journal", journal.path]).output
    assert "OVERDUE by 58m" in shown


def attempts(at, *oks, operation="ask", **data):
    return [
        Fact("attempt.ended", at + place, "r1", "gpu01", operation=operation,
             data={"ok": ok, "module": "http_request", "duration": 2.0, "attempt": 1, **data})
        for place, ok in enumerate(oks)
    ]  # fmt: skip


HUB = {"hub": {"operations": ["ask"], "member": "", "window": 10, "breaker": {"failures": 3, "timeout": 60.0}}}
POOL = {"ends.a": {"operations": ["ask"], "member": "a", "window": 20, "breaker": None},
        "ends.b": {"operations": ["ask"], "member": "b", "window": 20, "breaker": None}}  # fmt: skip


def test_the_level_of_a_component_is_that_of_its_window(journal):
    run(journal, "r1", NOW - 60.0, attempts(NOW - 50.0, *[False] * 5, *[True] * 9, False), components=HUB)
    stands = questions.standing(journal, NOW)
    (hub,) = report.levels(stands.components, stands.people.resets, NOW)
    assert (hub.health.attempts, hub.health.error_rate, hub.health.level) == (10, 10.0, "degraded")
    assert (hub.breaker.position.value, hub.breaker.failures) == ("open", 3)  # told from more than the window


def test_a_reset_makes_a_component_new(journal):
    run(journal, "r1", NOW - 60.0, attempts(NOW - 50.0, False, False, False, False, False), components=HUB)
    (hub,) = report.levels(questions.standing(journal, NOW).components, (), NOW)
    assert (hub.health.level, hub.breaker.position.value) == ("critical", "open")
    with journal.transaction() as batch:
        batch.reset(Reset("hub", "", NOW, "me"))
    stands = questions.standing(journal, NOW)
    (hub,) = report.levels(stands.components, stands.people.resets, NOW)
    assert (hub.health.level, hub.breaker.position.value) == (None, "closed")


def test_members_of_a_pool_are_told_apart_and_the_active_one_is_named(journal):
    facts = attempts(NOW - 50.0, *[True] * 5, member="a") + attempts(NOW - 40.0, *[False] * 6, member="b")
    run(journal, "r1", NOW - 60.0, facts, components=POOL)
    with journal.transaction() as batch:
        batch.pool("serving", "gpu01", "ends", "a", NOW - 30.0)
    stands = questions.standing(journal, NOW)
    found = {one.name: one.health.level for one in report.levels(stands.components, (), NOW)}
    assert found == {"ends.a": "healthy", "ends.b": "critical"}
    assert [(one.pool, one.member) for one in stands.pools] == [("ends", "a")]
    shown = CliRunner().invoke(status.command, ["--journal", journal.path]).output
    assert "ends on gpu01       a" in shown
    rates = {one.name: (one.attempts, one.successes) for one in stats(journal, Asked()).components}
    assert rates == {"ends.a": (5, 5), "ends.b": (6, 0)}


def test_a_story_has_the_root_and_what_followed(journal):
    folded = [{"id": "leaf", "host": "gpu02", "detector": "xid"}]
    keep(journal, incident("root", "recovering", folded=folded), incident("leaf", "suppressed", root="root"))
    with journal.transaction() as batch:
        batch.event(Fact("incident.opened", NOW, "r1", **ABOUT, incident="root", data={"when": "status != 200"}))
    told = story(journal, find.incident(journal, "root"), NOW)
    assert ([one.id for one in told.folded], told.root) == (["leaf"], None)
    told = story(journal, find.incident(journal, "leaf"), NOW)
    assert told.root.id == "root"


def test_what_follows_from_another_is_told_with_it_and_counted_apart(journal):
    run(journal, "r1", NOW - 60.0)
    folded = [{"id": "leaf", "host": "gpu02", "detector": "xid", "signature": "", "count": 3}]
    about = ("xid", "gpu02", "GPU-1")
    leaf = IncidentRow("leaf", "serving", *about, "suppressed", "high", NOW, NOW, None, {"root": "root"})
    keep(journal, incident("root", "recovering", folded=folded), leaf)
    shown = CliRunner().invoke(status.command, ["--journal", journal.path]).output
    assert "leaf" not in shown
    assert "led to xid on gpu02\n" in shown
    assert "1 recovering, 1 following" in shown
    told = CliRunner().invoke(status.command, ["--journal", journal.path, "--format", "json"]).output
    assert {one["id"]: one["root"] for one in json.loads(told)["incidents"]} == {"root": None, "leaf": "root"}


def test_a_runbook_that_only_programs_use_has_their_last_call(journal):
    run(journal, "r1", NOW - 60.0, runbook="api", command="call")
    run(journal, "r2", NOW - 900.0)
    run(journal, "r3", NOW - 50.0, command="call")
    assert {one.runbook: one.id for one in runs.latest(journal)} == {"api": "r1", "serving": "r2"}


def test_incidents_are_listed_by_state_newest_first(journal):
    keep(journal, incident("a", "cured", at=NOW - 50.0, closed=NOW), incident("b", "open", at=NOW - 40.0),
         incident("c", "cured", at=NOW - 30.0, closed=NOW))  # fmt: skip
    assert [one.id for one in incidents(journal, Asked())] == ["c", "b", "a"]
    assert [one.id for one in incidents(journal, Asked(), ("cured",), 1)] == ["c"]
    assert incidents(journal, Asked(host="gpu02")) == []


def test_a_detector_of_several_runbooks_has_to_be_told_which(journal):
    run(journal, "r1", NOW - 60.0)
    run(journal, "r2", NOW - 50.0, runbook="nodes")
    with pytest.raises(UserError, match="several runbooks have a detector `xid`"):
        detector.known(journal, "xid", "gpu01")
    assert detector.known(journal, "xid", "gpu01", "nodes").run.id == "r2"
    with pytest.raises(UserError, match="neither an incident nor a detector `xidd`") as told:
        detector.known(journal, "xidd", "gpu01")
    assert told.value.mend == "did you mean `xid`?"


def test_a_wait_that_is_too_short_and_a_limit_reached_daily_are_told_by_the_command(journal):
    day, facts = 86400.0, []
    for number in range(4):
        at = NOW - number * day - 3600.0
        for attempt, (ok, delay) in enumerate([(False, None), (False, 2.0), (True, 30.0)], 1):
            about = {"host": "gpu01", "operation": f"ask{number}" if number > 3 else "ask"}
            if delay:
                facts.append(Fact("attempt.delayed", at, "r1", **about, data={"attempt": attempt, "delay": delay}))
            data = {"attempt": attempt, "ok": ok, "duration": 1.0}
            facts.append(Fact("attempt.ended", at + 1.0, "r1", **about, data=data))
        facts.append(Fact("guard.refused", at, "r1", **ABOUT, incident=f"i{number}", data={"guard": "limit"}))
        keep(journal, incident(f"i{number}", "unhealed", at=at, closed=at + 60.0))
    run(journal, "r1", NOW - 5 * day, facts)
    out = CliRunner().invoke(trends.command, ["--journal", journal.path, "--since", "30d"]).output
    one_line = " ".join(out.split())
    assert "ask: its first wait (2s) is always too short (0 of 4 worked after it)" in one_line
    assert "server down: its limit is reached every day on which it fires (4)" in one_line
    told = CliRunner().invoke(trends.command, ["--journal", journal.path, "--since", "30d", "--format", "json"]).output
    (series,) = json.loads(told)["operations"]
    assert (series["attempts"], series["successes"], series["slope_s"], series["direction"]) == (12, 4, 0.0, "unclear")


def test_an_index_answers_every_question_that_is_asked_often(journal):
    plans = [
        ("SELECT data FROM events WHERE incident = 'x' AND incident <> ''", "events_by_incident"),
        ("SELECT id FROM incidents WHERE closed IS NULL", "incidents_open"),
        ("SELECT id FROM runs WHERE runbook = 'x' ORDER BY started DESC LIMIT 5", "runs_by_runbook"),
    ]
    for question, index in plans:
        (plan, *_) = [row[3] for row in journal.ask(f"EXPLAIN QUERY PLAN {question}")]
        assert index in plan
