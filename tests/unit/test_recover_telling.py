"""`tell`: what people are told of incidents, how often, and when not; under a virtual clock."""

import dataclasses
import textwrap

import pytest
from fleet import HOUR, Fleet, done

from runbook.engine.language import cases
from runbook.engine.model import Outcome, Record, Seen, StepStatus
from runbook.engine.people import Ack, Maintenance, People
from runbook.engine.recover import kept
from runbook.engine.recover.commands import Notify, Over, Stop, Told
from runbook.engine.recover.state import Settings
from runbook.engine.rehearse import suite as suites

BOOK = """
name: servers
hosts: all
{top}
detectors:
  - name: server down
    http: http://127.0.0.1:8000/health
    when: status != 200
    severity: high
    {own}
    {recover}
    verify: {{within: 4s}}
"""
RESTART = "recover: [{restart_daemon: {unit: vllm}}]"
APPROVED = "recover: [{restart_daemon: {unit: vllm}, mode: approve}]"


def http(status):
    fields = {"url": "u", "status": status, "ok": status == 200, "latency": 0.1, "body": "", "json": None,
              "error": "", "cert_days_left": None}  # fmt: skip
    return Seen((Record("u", fields),))


class Hears(Fleet):
    """Keeps every message with its time."""

    def _plan(self, settings):
        return super()._plan(dataclasses.replace(settings, settle=10.0))  # as in a watch

    def perform(self, command):
        if isinstance(command, Notify):
            self.messages.append((round(self.now - 1_000_000.0), command))
        super().perform(command)

    @property
    def kinds_told(self):
        return [message.kind for _, message in self.messages]


@pytest.fixture
def fleet(tmp_path):
    def made(tell="tell: {}", *, recover=RESTART, own="", **more):
        text = BOOK.format(top=tell, recover=recover, own=own)
        Hears.messages = []
        return Hears(tmp_path, textwrap.dedent(text), **more)

    return made


def ill_until(cured):
    """A host that is ill until so many steps were done."""

    def look(fleet, host):
        return http(200 if sum(each == host for each, _ in fleet.over) >= cured else 503)

    return look


def test_a_fault_that_is_cured_before_it_could_be_told_is_one_message(fleet):
    run = fleet(looks={"server down": ill_until(1)}, acts={"restart_daemon": done(1.0)}).go()
    ((at, said),) = run.messages
    assert said.kind == "cured"
    assert said.title == "server down on a is over"
    assert said.message.splitlines() == ["a · u: status 503", "it lasted 1s"]
    assert (said.severity, said.incident, said.host) == ("high", run.one("server down", subject="u").id, "a")
    assert at == 4  # three seconds, for more of its kind


def test_a_slow_cure_is_told_when_the_fault_opens_and_when_it_is_over(fleet):
    run = fleet(looks={"server down": ill_until(1)}, acts={"restart_daemon": done(60.0)}).go()
    assert run.kinds_told == ["open", "cured"]
    assert run.messages[0][0] == 3
    assert "its recovery is going on" in run.messages[0][1].message


def test_a_recovery_in_vain_is_told_with_its_reason(fleet):
    run = fleet(
        looks={"server down": http(503)}, acts={"restart_daemon": Outcome(StepStatus.FAILED, error="no unit vllm")}
    )
    run.go()
    assert run.kinds_told == ["unhealed"]
    assert "no unit vllm" in run.messages[0][1].message


def test_what_is_tried_again_in_vain_is_no_news_until_it_is_time_for_a_reminder(fleet):
    failed = {"restart_daemon": Outcome(StepStatus.FAILED, error="no unit vllm")}
    run = fleet("tell: {remind: 1h}\nlimit: 100 per 1h", looks={"server down": http(503)}, acts=failed).go()
    for _ in range(11):  # for fifty-five minutes
        run.again(after=300.0)
    assert len([each for each in run.done if each[1] == "restart_daemon"]) == 12
    assert run.kinds_told == ["unhealed"]
    for _ in range(3):
        run.again(after=300.0)
    assert run.kinds_told == ["unhealed", "unhealed"]
    run.looks["server down"] = http(200)
    run.again(after=300.0)
    run.looks["server down"] = http(503)
    run.again(after=300.0)
    assert run.kinds_told == ["unhealed", "unhealed", "cured", "unhealed"]
    assert "it is well again" in run.messages[2][1].message


def test_one_that_is_told_to_open_only_does_so_once_though_each_try_is_an_incident(fleet):
    failed = {"restart_daemon": Outcome(StepStatus.FAILED, error="no unit vllm")}
    tell = "tell: {about: open, remind: 1h}\nlimit: 100 per 1h"
    run = fleet(tell, looks={"server down": http(503)}, acts=failed).go()
    for _ in range(5):
        run.again(after=300.0)
    assert run.kinds_told == ["open"]


def test_what_waits_says_how_to_approve_it_and_is_told_again_until_somebody_takes_it_on(fleet):
    run = fleet("tell: {remind: 1h, channels: [oncall]}", recover=APPROVED, looks={"server down": http(503)}).go()
    incident = run.one("server down", subject="u")
    ((_, said),) = run.messages
    assert (said.kind, said.channels) == ("waiting", ("oncall",))
    assert f"runbook approve {incident.id}" in said.message
    for _ in range(13):  # cron, each five minutes
        run.again(after=300.0)
    assert run.kinds_told == ["waiting", "remind"]
    assert run.messages[1][0] == pytest.approx(HOUR + 300, abs=300)
    run.people = People(acks={incident.id: Ack(incident.id, run.now, None, "eva")})
    for _ in range(30):
        run.again(after=300.0)
    assert run.kinds_told == ["waiting", "remind"]
    run.people = People()
    run.again(after=300.0)
    assert run.kinds_told == ["waiting", "remind", "remind"]


def test_a_storm_over_many_hosts_is_one_message(fleet):
    hosts = tuple(f"gpu{number:03}" for number in range(300))
    run = fleet(recover="", hosts=hosts, looks={"server down": http(503)}).go()
    ((_, said),) = run.messages
    assert said.title == "server down on 300 hosts"
    lines = said.message.splitlines()
    assert lines[0] == "gpu000 · u: status 503"
    assert lines[20:] == ["and 280 more", "300 open"]
    run.again(after=60.0)
    assert len(run.messages) == 1


def test_hosts_that_follow_within_the_fold_join_and_later_ones_are_a_message_of_their_own(fleet):
    down = {"a"}
    run = fleet(
        recover="", hosts=("a", "b", "c"), looks={"server down": lambda _, host: http(503 if host in down else 200)}
    )
    run.go(wait=2.0)
    down.add("b")
    run.round()
    run.settle()
    assert [said.title for _, said in run.messages] == ["server down on 2 hosts"]
    down.add("c")
    run.again(after=60.0)
    assert [said.title for _, said in run.messages] == ["server down on 2 hosts", "server down on c"]


def test_maintenance_silences_and_what_still_stands_after_it_is_told_then(fleet):
    run = fleet(recover="", hosts=("a", "b"), looks={"server down": http(503)})
    run.people = People(maintenance=(Maintenance("m", "a", 0.0, run.now + 1000, "eva"),))
    run.go()
    assert [said.title for _, said in run.messages] == ["server down on b"]
    run.people = People()
    run.again(after=1200.0)
    assert [said.title for _, said in run.messages] == ["server down on b", "server down on a"]


def test_what_ended_in_maintenance_is_not_told_after_it(fleet):
    run = fleet(looks={"server down": ill_until(0)}, recover="")
    run.looks["server down"] = http(503)
    run.people = People(maintenance=(Maintenance("m", "a", 0.0, run.now + 30, "eva"),))
    run.go()
    run.looks["server down"] = http(200)
    run.round()
    run.people = People()
    run.put(Told(run.people))
    run.settle()
    run.again(after=40.0)
    assert run.messages == []


def test_only_what_about_and_min_severity_ask_for_is_told(fleet):
    run = fleet("tell: {about: [unhealed]}", looks={"server down": ill_until(1)}).go()
    assert run.messages == []
    run = fleet("tell: {min_severity: critical}", looks={"server down": http(503)}).go()
    assert run.messages == []
    run = fleet("tell: {about: open}", looks={"server down": ill_until(1)}).go()
    assert run.kinds_told == ["open"]
    assert "it is over already" in run.messages[0][1].message


def test_a_detector_says_otherwise_than_the_runbook(fleet):
    run = fleet(own="tell: false", looks={"server down": http(503)}).go()
    assert run.messages == []
    run = fleet("", own="tell: {channels: [mine]}", looks={"server down": ill_until(1)}).go()
    assert [said.channels for _, said in run.messages] == [("mine",)]


def test_a_runbook_without_it_tells_nobody(fleet):
    run = fleet("", looks={"server down": http(503)}).go()
    assert run.messages == []


def test_a_run_that_is_killed_after_a_message_does_not_say_it_again_and_before_it_the_next_one_does(fleet):
    run = fleet(recover="", looks={"server down": http(503)})
    run.go(wait=1.0)  # killed before it was told
    assert run.messages == []
    run.again(after=5.0)
    assert run.kinds_told == ["open"]
    journalled = [kept.restored(kept.plain(each)) for each in run.incidents()]
    run.state = dataclasses.replace(run.state, incidents={each.key: each for each in journalled})
    run.again(after=5.0)
    assert run.kinds_told == ["open"]


def test_a_cure_that_a_killed_run_did_not_tell_of_is_told_by_the_next(fleet):
    run = fleet("tell: {about: [cured]}", looks={"server down": ill_until(1)}, acts={"restart_daemon": done(1.0)})
    run.go(wait=2.0)
    assert (run.states(), run.messages) == ({"a": "cured"}, [])
    run.again(after=30.0)
    assert run.kinds_told == ["cured"]
    run.again(after=30.0)
    assert run.kinds_told == ["cured"]


@pytest.mark.parametrize("last", [Stop(), Over()])
def test_a_run_that_ends_tells_at_once_what_waits_for_more(fleet, last):
    run = fleet(recover="", looks={"server down": http(503)})
    run.go(wait=0.0)
    assert run.messages == []
    run.put(last)
    assert run.kinds_told == ["open"]
    assert run.state.wake is None


def test_a_pass_with_nothing_else_to_do_tells_at_its_end_and_waits_for_nothing(fleet):
    run = fleet(recover="", looks={"server down": http(503)})
    run.state = dataclasses.replace(run.state, plan=dataclasses.replace(run.state.plan, settings=Settings()))
    run.go()
    assert (run.now, run.state.wake, run.messages) == (1_000_000.0, None, [])
    run.put(Over())
    assert run.kinds_told == ["open"]


def test_a_reminder_keeps_no_watch_awake(fleet):
    run = fleet("tell: {remind: 1h}", recover="", looks={"server down": http(503)}).go()
    assert run.state.wake is None
    assert run.now == 1_000_003.0


def test_a_case_says_what_people_are_told(tmp_path):
    text = BOOK.format(top="tell: {remind: 1h}", recover=APPROVED, own="limit: 3 per 1h").replace("hosts: all", "")
    (tmp_path / "serve.yaml").write_text(textwrap.dedent(text))
    file = tmp_path / "serve.test.yaml"
    file.write_text(
        textwrap.dedent("""
        cases:
          - name: it waits, is told again, and is told to be over
            every: 1m
            lasts: 3h
            happens:
              - see: {server down: {url: u, status: 503}}
              - at: 150m
                people: {approve: server down}
              - after: restart_daemon
                see: {server down: {url: u, status: 200}}
            expect:
              notified: [runbook approve, runbook approve, runbook approve, it lasted 2h30m]
        """)
    )
    suite, findings, _ = cases.examine(file)
    assert suite is not None, findings
    (result,) = suites.run(suite, lambda case: True)
    assert "\n".join(line for each in result.differences for line in each.lines) == ""
