"""The questions asked of a journal: how things stand, which incident is meant, what was tried and worked."""

import json
import time
from dataclasses import replace

import pytest
from click.testing import CliRunner

from runbook.engine import restore
from runbook.engine.cli import status, trends
from runbook.engine.errors import UserError
from runbook.engine.journal import leases
from runbook.engine.journal.ask import detector, find, runs
from runbook.engine.journal.ask import standing as questions
from runbook.engine.journal.ask.left import DOWN
from runbook.engine.journal.ask.rates import stats
from runbook.engine.journal.ask.story import story
from runbook.engine.journal.ask.trends import trends as trends_of
from runbook.engine.journal.facts import Fact, IncidentRow, RunStart
from runbook.engine.journal.queries import Asked, incidents
from runbook.engine.journal.store import open_journal
from runbook.engine.model import Lease
from runbook.engine.people import Reset
from runbook.engine.report import levels, standing_document
from runbook.engine.report import standing as report
from runbook.engine.report import story as story_report
from runbook.engine.report.clock import moment
from runbook.engine.report.paint import Paint

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


def test_of_what_ended_unhealed_the_newest_of_a_subject_stands(journal):
    run(journal, "r1", NOW - 900.0, ended("old", NOW - 890.0, "r1", "unhealed"))
    run(journal, "r2", NOW - 60.0, ended("new", NOW - 50.0, "r2", "unhealed"))
    keep(journal, incident("old", "unhealed", at=NOW - 899.0, closed=NOW - 890.0),
         incident("new", "unhealed", closed=NOW - 50.0))  # fmt: skip
    stands = questions.standing(journal, NOW)
    assert [one.id for one in stands.incidents] == ["new"]
    assert stands.conditions == {"new": "status != 200"}
    assert report.exit_code(stands) == 2


def unhealed(journal, state="unhealed", *, at=NOW - 890.0):
    run(journal, "r1", at - 10.0, ended("ill", at, "r1", state))
    keep(journal, incident("ill", state, at=at - 9.0, closed=at))


def shown(journal):
    return [one.id for one in questions.standing(journal, NOW).incidents]


def hold(journal, seen):
    with journal.transaction() as batch:
        batch.hold("serving", *ABOUT_ROW, NOW - 900.0, seen, {})


UNKNOWN = {"host": "gpu01", "detector": "server down", "data": {"reason": "no permission"}}


@pytest.mark.parametrize("state", ["unhealed", "unverified"])
def test_a_pass_that_looked_and_found_nothing_tells_that_it_is_well(journal, state):
    unhealed(journal, state)
    assert shown(journal) == ["ill"]
    hold(journal, NOW - 895.0)  # seen true before, and not since
    run(journal, "r2", NOW - 60.0)
    stands = questions.standing(journal, NOW)
    assert (stands.incidents, report.exit_code(stands)) == ((), 0)


@pytest.mark.parametrize(
    ("begun", "facts"),
    [
        ({"chosen": ["xid"], "detectors": 1}, []),  # --detector
        ({"detectors": 1}, []),  # an older version did not say which
        ({"hosts": ["gpu02"]}, []),  # -l
        ({"order": ["xid"], "detectors": 1}, [Fact("run.ended", NOW, "r2")]),  # it was another then
        ({}, [Fact("look.unknown", NOW - 50.0, "r2", **UNKNOWN)]),
        ({}, [Fact("host.unreachable", NOW - 50.0, "r2", "gpu01", data={"reason": "no route"})]),
    ],
)
def test_a_pass_that_did_not_see_it_hides_nothing(journal, begun, facts):
    unhealed(journal)
    run(journal, "r2", NOW - 60.0, facts, **begun)
    if "order" in begun:
        run(journal, "r3", NOW - 30.0, detectors=1, chosen=["xid"])
    assert shown(journal) == ["ill"]


def test_a_pass_that_was_killed_hides_nothing(journal):
    unhealed(journal)
    run(journal, "r2", NOW - 60.0, ended=False)
    stands = questions.standing(journal, NOW)
    assert ([one.id for one in stands.incidents], report.exit_code(stands)) == (["ill"], 2)


def test_a_condition_that_a_later_pass_saw_true_stands(journal):
    unhealed(journal)
    run(journal, "r2", NOW - 60.0)
    hold(journal, NOW - 55.0)
    assert shown(journal) == ["ill"]
    run(journal, "r3", NOW - 30.0)  # and this one did not see it so
    assert shown(journal) == []


def test_a_later_incident_of_the_same_subject_says_how_it_is(journal):
    unhealed(journal)
    keep(journal, incident("again", "cured", at=NOW - 800.0, closed=NOW - 790.0))
    assert shown(journal) == []
    keep(journal, incident("third", "unverified", at=NOW - 700.0, closed=NOW - 690.0))
    assert shown(journal) == ["third"]


def test_what_ended_unhealed_is_told_for_a_week(journal):
    assert DOWN == restore.DOWN
    unhealed(journal, at=NOW - DOWN + 60.0)
    assert shown(journal) == ["ill"]
    assert questions.standing(journal, NOW + 120.0).incidents == ()


def test_a_detector_that_the_runbook_has_no_more_is_ill_no_more(journal):
    unhealed(journal)
    run(journal, "r2", NOW - 60.0, order=["xid"], detectors=1, chosen=[])
    assert shown(journal) == []


def test_what_was_released_stands_until_a_pass_has_looked(journal):
    run(journal, "r1", NOW - 900.0)
    keep(journal, incident("cut", "interrupted", at=NOW - 890.0))
    with journal.transaction() as batch:
        batch.release("cut", "ann@here", NOW - 500.0)
    stands = questions.standing(journal, NOW)
    assert ([one.state for one in stands.incidents], report.exit_code(stands)) == (["released"], 2)
    assert report.summary(stands, NOW) == "1 released: the next pass decides anew"
    ran = CliRunner().invoke(status.command, ["--journal", journal.path], standalone_mode=False)
    assert "next  the next pass decides anew" in ran.output
    run(journal, "r2", NOW - 400.0, chosen=["xid"], detectors=1)
    assert shown(journal) == ["cut"]
    run(journal, "r3", NOW - 300.0)
    stands = questions.standing(journal, NOW)
    assert (stands.incidents, report.exit_code(stands)) == ((), 0)


def test_a_pass_that_did_not_end_is_not_well_and_one_at_work_is(journal):
    run(journal, "r1", NOW - 60.0, ended=False)
    stands = questions.standing(journal, NOW)
    assert (report.exit_code(stands), report.summary(stands, NOW)) == (4, "1 pass did not end: run it again")
    assert [one["at_work"] for one in standing_document.document(stands, NOW)["passes"]] == [False]
    stands = questions.standing(journal, NOW, alive=lambda name: name == "r1")
    assert (report.exit_code(stands), report.summary(stands, NOW)) == (0, "all is well")
    run(journal, "r2", NOW - 50.0, ended=False)
    journal.end_run("r2", NOW - 45.0, 130)  # Ctrl-C
    stands = questions.standing(journal, NOW)
    assert (report.exit_code(stands), report.summary(stands, NOW)) == (4, "1 pass did not end: run it again")
    run(journal, "r3", NOW - 40.0)
    assert report.exit_code(questions.standing(journal, NOW)) == 0


def leased(journal, **changes):
    refused = {"guard": "lease", "ok": False, "reason": "root@here, process 7 recovers it: `xid`", "until": NOW + 600.0}
    answers = [{"guard": "mode", "ok": True}, refused]
    run(journal, "r1", NOW - 60.0)
    keep(journal, incident("held", "suppressed", answers=answers, until=NOW + 600.0))
    lease = Lease(*("gpu01", "vllm", "r9", "root@here, process 7", "nodes", "xid", "i9"), taken=NOW, until=NOW + 600.0)
    with journal.transaction() as batch:
        return leases.take(journal, batch, replace(lease, **changes))


def following_of(journal, alive=lambda _: True):
    (one,) = standing_document.document(questions.standing(journal, NOW, alive=alive), NOW)["incidents"]
    return one["next"]


def test_a_lease_that_is_over_is_not_waited_for(journal):
    taken = leased(journal)
    latest = f"the next pass asks again (the lease ends by {moment(NOW + 600.0, NOW)} at the latest)"
    assert following_of(journal) == latest
    assert following_of(journal, alive=lambda _: False) == "the next pass asks again"  # its run was killed
    told = story(journal, find.incident(journal, "held"), NOW, lambda _: True)
    assert story_report.document(told, NOW)["incident"]["next"] == latest
    with journal.transaction() as batch:
        leases.release(batch, taken, NOW)
    assert following_of(journal) == "the next pass asks again"
    told = story(journal, find.incident(journal, "held"), NOW, lambda _: True)
    assert story_report.document(told, NOW)["incident"]["next"] == "the next pass asks again"


def test_of_a_lease_in_another_journal_only_its_last_moment_is_known(journal):
    leased(journal, holder="ann@elsewhere, process 9")
    assert "at the latest" in following_of(journal, alive=lambda _: False)


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


def test_a_pass_that_comes_no_more_is_overdue(journal, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: NOW)
    for number in range(7):
        run(journal, f"r{number}", NOW - 3600.0 - number * 120.0)
    assert runs.latest(journal)[0].every is None  # somebody may have run so many by hand
    run(journal, "r7", NOW - 3600.0 - 7 * 120.0)
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
    (hub,) = levels.levels(stands.components, stands.people.resets, NOW)
    assert (hub.health.attempts, hub.health.error_rate, hub.health.level) == (10, 10.0, "degraded")
    assert (hub.breaker.position.value, hub.breaker.failures) == ("open", 3)  # told from more than the window


def test_a_reset_makes_a_component_new(journal):
    run(journal, "r1", NOW - 60.0, attempts(NOW - 50.0, False, False, False, False, False), components=HUB)
    (hub,) = levels.levels(questions.standing(journal, NOW).components, (), NOW)
    assert (hub.health.level, hub.breaker.position.value) == ("critical", "open")
    with journal.transaction() as batch:
        batch.reset(Reset("hub", "", NOW, "me"))
    stands = questions.standing(journal, NOW)
    (hub,) = levels.levels(stands.components, stands.people.resets, NOW)
    assert (hub.health.level, hub.breaker.position.value) == (None, "closed")


def test_members_of_a_pool_are_told_apart_and_the_active_one_is_named(journal):
    facts = attempts(NOW - 50.0, *[True] * 5, member="a") + attempts(NOW - 40.0, *[False] * 6, member="b")
    run(journal, "r1", NOW - 60.0, facts, components=POOL)
    with journal.transaction() as batch:
        batch.pool("serving", "gpu01", "ends", "a", NOW - 30.0)
    stands = questions.standing(journal, NOW)
    found = {one.name: one.health.level for one in levels.levels(stands.components, (), NOW)}
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


def test_the_last_word_about_each_look_counts_however_many_there_were_since(journal):
    hosts = [f"gpu{number:02}" for number in range(8)]
    run(journal, "r1", NOW - 900.0, command="watch", ended=False, hosts=hosts)
    with journal.transaction() as batch:
        batch.event(Fact("host.unreachable", NOW - 800.0, "r1", "gpu00", data={"reason": "no route"}))
        batch.event(Fact("look.unknown", NOW - 799.0, "r1", "gpu01", data={"detector": "xid", "reason": "no driver"}))
        for number in range(24_000):
            kind = ("look.unknown", "look.seen")[number // 6 % 2]
            about = {"detector": "server down", "reason": "timed out"}
            batch.event(Fact(kind, NOW - 700.0 + number / 100, "r1", hosts[2 + number % 6], data=about))
        batch.event(Fact("look.unknown", NOW - 300.0, "r1", "gpu03", data={"detector": "xid", "reason": "busy"}))
    found = questions.standing(journal, NOW).blind
    assert [(one.host, one.detector, one.reason) for one in found] == [
        ("gpu00", "", "no route"), ("gpu01", "xid", "no driver"), ("gpu03", "xid", "busy"),
    ]  # fmt: skip
    assert [one.host for one in questions.standing(journal, NOW, host="gpu03").blind] == ["gpu03"]


def test_what_holds_is_pending_until_its_incident_opens_however_often_it_broke_before(journal):
    run(journal, "r1", NOW - 900.0, command="watch", ended=False)
    with journal.transaction() as batch:
        for number in range(300):
            told = {"since": NOW - 800.0 + number, "hold": 60.0}
            for subject in ("a", "b", "c"):
                about = {"host": "gpu01", "detector": "server down", "subject": subject}
                batch.event(Fact("incident.pending", NOW - 800.0 + number, "r1", **about, data=told))
        about = {"host": "gpu01", "detector": "server down", "subject": "b", "incident": "i1"}
        batch.event(Fact("incident.opened", NOW - 400.0, "r1", **about))
        for subject in ("a", "b"):
            batch.hold("serving", "server down", "gpu01", subject, NOW - 501.0, NOW - 10.0, {})
    (held,) = questions.standing(journal, NOW).pending
    assert (held.subject, held.since, held.seen, held.data["since"]) == ("a", NOW - 501.0, NOW - 10.0, NOW - 501.0)


def test_consequences_of_one_kind_on_a_host_are_told_once_with_their_number(journal):
    run(journal, "r1", NOW - 60.0)
    about = {"id": "", "host": "gpu01", "detector": "crash", "signature": "nccl.abort"}
    keep(journal, incident("root", "cured", closed=NOW, folded=[{**about, "count": 2} for _ in range(8)]))
    told = story(journal, find.incident(journal, "root"), NOW)
    shown = [line.strip() for line in story_report.lines(Paint(), told, NOW)]
    assert [line for line in shown if line.startswith("led to")] == ["led to nccl.abort on gpu01 (16 times)"]


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


def test_a_host_that_no_pass_ever_had_is_not_known(journal):
    run(journal, "r1", NOW - 900.0, hosts=["login01"])
    run(journal, "r2", NOW - 800.0, [Fact("look.unknown", NOW - 790.0, "r2", "gpu02", data={"reason": "x"})])
    run(journal, "r3", NOW - 60.0)
    for host in ("gpu01", "gpu02", "login01"):
        assert detector.known(journal, "xid", host).fired == 0
    with pytest.raises(UserError, match="no pass of serving ever had a host `gpu011`") as told:
        detector.known(journal, "xid", "gpu011")
    assert told.value.mend == "did you mean `gpu01`?"
    with pytest.raises(UserError) as told:
        detector.known(journal, "xid", "zz")
    assert told.value.mend == "there were gpu01, gpu02, login01"


def test_stats_and_trends_have_the_same_mean_and_what_was_refused_was_not_tried(journal):
    step = {"module": "restart_daemon", "duration": 2.0}
    run(journal, "r1", NOW - 60.0, [
        *attempts(NOW - 50.0, True, True, duration=2.0), *attempts(NOW - 45.0, False, duration=30.0),
        *attempts(NOW - 40.0, False, duration=0.0, status="refused"),
        *(Fact("step.ended", NOW - 30.0, "r1", **ABOUT, data={**step, "status": word})
          for word in ("done", "done", "refused")),
    ])  # fmt: skip
    counted, gone = stats(journal, Asked()), trends_of(journal, Asked())
    (operation,), (restart,) = counted.operations, counted.steps
    assert (operation.attempts, operation.successes, operation.mean, operation.p95) == (3, 2, 2.0, 2.0)
    assert (restart.attempts, restart.successes, restart.rate) == (2, 2, 1.0)
    for rate, series in ((operation, gone.operations[0]), (restart, gone.steps[0])):
        assert (rate.mean, rate.attempts) == (series.trend.mean, series.trend.attempts)


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


def test_what_is_pending_is_told_as_it_was_when_somebody_last_looked():
    held = questions.Held("watch", "n1", "daemon stays down", "", NOW - 524.0, NOW - 522.0, {"hold": 120.0})
    (line,) = report.lines(Paint(), questions.Standing(pending=(held,)), NOW)
    assert line.endswith("pending, 2s of 2m when last seen, 8m42s ago")
    (line,) = report.lines(Paint(), questions.Standing(pending=(replace(held, seen=NOW),)), NOW)
    assert line.endswith("pending, 8m44s of 2m")
