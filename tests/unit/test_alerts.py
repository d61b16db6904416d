"""What an Alertmanager tells, as looks: whom it is about, what is remembered, and what is not known any more."""

import json
import textwrap
import time

import pytest
from fleet import Fleet, done

from runbook.engine.alerts import homes, look
from runbook.engine.alerts.hearing import Hearing
from runbook.engine.alerts.homes import Homes
from runbook.engine.alerts.inbox import AT_ONCE, ROOM, STRANGERS, Full, Inbox
from runbook.engine.alerts.payload import Unfit, message
from runbook.engine.alerts.residents import Residents
from runbook.engine.language import cases, load
from runbook.engine.language.render import Scope
from runbook.engine.model import UNKNOWN, Lacking, NotSeen, Seen
from runbook.engine.recover.state import Plan
from runbook.engine.rehearse import suite as suites

HOUR = 3600.0
BOOK = """
name: servers
hosts: all
limit: 3 per 1h
detectors:
  - name: server down
    alert: {receiver: llm, alertname: VllmDown, labels: {team: llm}}
    severity: low
    recover: [{restart_daemon: {unit: vllm}}]
"""


def alert(instance="gpu01:8000", status="firing", name="VllmDown", **labels):
    known = {"alertname": name, "instance": instance, "team": "llm", "severity": "critical", "job": "vllm", **labels}
    return {
        "status": status,
        "labels": known,
        "annotations": {"summary": "it is down"},
        "startsAt": "2026-11-22T17:00:00.123456789Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph",
    }


def told(*alerts, now, group="g", **more):
    body = {"receiver": "other", "groupKey": group, "alerts": alerts, "truncatedAlerts": 0, **more}
    return message(json.dumps(body).encode(), "llm", now)


NOW = 1_795_370_000.0  # shortly after the alerts begin


class World:
    """A runbook over an inventory, and an inbox; cursors are kept as the journal would."""

    def __init__(self, path, text=BOOK, hosts=("gpu01.lan", "gpu02.lan"), alone=False):
        file = path / "runbook.yaml"
        file.write_text(text)
        runbook = load.load(file)
        scopes = {host: Scope(runbook, host=host) for host in hosts}
        groups = {} if alone else dict.fromkeys(hosts, frozenset())
        self.plan = Plan(runbook, "run", scopes=scopes, groups=groups)
        self.inbox = Inbox()
        self.cursors = {}

    def look(self, host="gpu01.lan", now=NOW, inbox=True):
        detector = self.plan.runbook.detectors[0]
        heard = Residents(self.inbox, homes.of(self.plan)) if inbox else None
        seen = look.look(self.plan, detector, host, heard, self.cursors.get(host, {}), now)
        if isinstance(seen, Seen):
            self.cursors[host] = json.loads(json.dumps(seen.state))
        return seen

    def statuses(self, **more):
        return [record.fields["status"] for record in self.look(**more).records]


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_an_alert_is_a_record_of_the_host_that_its_instance_names(world):
    world.inbox.put(told(alert(), alert("gpu02.lan:8000", namespace="a"), now=NOW))
    (record,) = world.look(now=NOW + 10).records
    assert record.subject == "VllmDown{instance=gpu01:8000}"
    fields = record.fields
    assert (fields["status"], fields["severity"], fields["job"]) == ("firing", "critical", "vllm")
    assert (fields["summary"], fields["receiver"], fields["silent_for"]) == ("it is down", "llm", 10.0)
    assert fields["labels"]["team"] == "llm"
    assert fields["age"] == pytest.approx(NOW + 10 - 1_795_366_800.123456)
    (other,) = world.look("gpu02.lan").records
    assert other.subject == "VllmDown{instance=gpu02.lan:8000}"


def test_only_alerts_of_the_receiver_the_name_and_the_labels_are_seen(world):
    world.inbox.put(told(alert(name="GpuHot"), alert(team="other"), now=NOW))
    body = json.dumps({"alerts": [alert()], "groupKey": "g"}).encode()
    world.inbox.put(message(body, "elsewhere", NOW))
    assert world.look().records == ()


def test_no_label_but_the_instance_makes_another_subject(world):
    others = [alert(severity="warning"), alert(job="b"), alert(node="c"), alert(pod="d" * 200)]
    world.inbox.put(told(alert(), *others, now=NOW))
    seen = world.look().records
    assert (len(seen), {record.subject for record in seen}) == (5, {"VllmDown{instance=gpu01:8000}"})
    long = message(json.dumps({"alerts": [alert("x" * 190 + end) for end in "ab"]}).encode(), "llm", NOW)
    assert len({look.subject(each) for each in long.alerts}) == 2


def test_who_makes_up_instances_without_end_makes_no_more_subjects_than_are_told_apart(world):
    seen = set()
    for day in range(3):
        now = NOW + day * 86400.0
        world.inbox.put(told(*(alert(f"gpu01:{day}{port}") for port in range(40)), now=now, group=f"g{day}"))
        seen |= {record.subject for record in world.look(now=now).records}
    assert "VllmDown{instance=gpu01:00}" in seen
    assert seen == {*world.cursors["gpu01.lan"]["subjects"], "other alerts: VllmDown"}
    assert len(seen) == look.APART + 1
    later = NOW + 12 * 86400.0
    world.inbox.put(told(alert("gpu01:9999"), now=later))
    assert "VllmDown{instance=gpu01:9999}" in {record.subject for record in world.look(now=later).records}


def test_of_several_alerts_of_a_subject_the_one_that_fires_longest_is_first(world):
    old = {**alert(job="b"), "startsAt": "2026-11-22T16:00:00Z"}
    over = {**alert(status="resolved", job="c"), "startsAt": "2026-11-22T15:00:00Z"}
    world.inbox.put(told(alert(), over, old, now=NOW))
    assert [record.fields["job"] for record in world.look().records] == ["b", "vllm", "c"]


def test_half_a_character_is_replaced_wherever_it_is(world):
    half = "\ud800"
    given = alert(**{f"l{half}": f"x{half}"}) | {"annotations": {"summary": half, "description": half}}
    given |= {"fingerprint": f"f{half}", "generatorURL": half}
    for heard in (told(given, now=NOW, group=half), message(json.dumps({"alerts": [given]}).encode(), half, NOW)):
        assert (heard.receiver, heard.alerts[0].fingerprint) in {("llm", "f?"), ("?", "f?")}
        assert json.dumps([heard.receiver, heard.group, heard.alerts[0].kept()], ensure_ascii=False).encode()
    body = json.dumps({"receiver": half, "alerts": [given]}).encode()
    assert message(body, "", NOW).receiver == "?"


def test_what_fires_still_does_after_a_restart_until_it_is_resolved(world):
    world.inbox.put(told(alert(), now=NOW))
    assert world.statuses() == ["firing"]
    world.inbox = Inbox()  # another process
    assert world.statuses(now=NOW + HOUR) == ["firing"]
    world.inbox.put(told(alert(status="resolved"), now=NOW + 2 * HOUR))
    assert world.statuses(now=NOW + 2 * HOUR) == ["resolved"]
    world.inbox = Inbox()
    assert world.statuses(now=NOW + 3 * HOUR) == ["resolved"]
    assert world.statuses(now=NOW + 27 * HOUR) == []
    world.inbox.put(told(alert(), now=NOW + 28 * HOUR))
    assert world.statuses(now=NOW + 28 * HOUR) == ["firing"]


def test_what_its_groups_last_message_left_out_is_unknown_and_no_cure(world):
    world.inbox.put(told(alert(), alert(job="b"), now=NOW))
    world.inbox.put(told(alert(), now=NOW + 60))
    assert world.statuses(now=NOW + 60) == ["firing", UNKNOWN] or world.statuses(now=NOW + 60) == [UNKNOWN, "firing"]
    world.inbox = Inbox()
    assert UNKNOWN in world.statuses(now=NOW + 61)  # and it stays so
    world.inbox.put(told(alert(), alert(job="b"), now=NOW + 120))
    assert world.statuses(now=NOW + 120) == ["firing", "firing"]


def test_a_truncated_message_and_one_of_another_group_leave_nothing_out(world):
    world.inbox.put(told(alert(), now=NOW))
    world.inbox.put(told(alert(job="b"), now=NOW + 60, truncatedAlerts=3))
    world.inbox.put(told(alert(job="c"), now=NOW + 60, group="h"))
    assert world.statuses(now=NOW + 60) == ["firing"] * 3


def test_what_is_not_repeated_for_twice_its_interval_is_unknown_and_at_last_forgotten(world):
    world.inbox.put(told(alert(), now=NOW))
    assert world.statuses(now=NOW + 7.9 * HOUR) == ["firing"]
    assert world.statuses(now=NOW + 8.1 * HOUR) == [UNKNOWN]
    assert world.statuses(now=NOW + 8 * 24 * HOUR) == []


def test_nothing_listens_outside_of_a_watch_and_nothing_is_forgotten_for_that(world):
    world.inbox.put(told(alert(), now=NOW))
    world.look()
    assert world.look(inbox=False) == Lacking("only `runbook watch --alerts ADDRESS` hears alerts")
    world.inbox = Inbox()
    assert world.statuses() == ["firing"]


def test_a_parameter_that_can_not_be_filled_in_is_unknown(tmp_path):
    world = World(tmp_path, BOOK.replace("labels: {team: llm}", 'labels: {team: "{{ nobody }}"}'))
    assert isinstance(world.look(), NotSeen)


@pytest.mark.parametrize(
    ("label", "host"),
    [
        ("gpu01.lan:9400", "gpu01.lan"),
        ("GPU01.lan.", "gpu01.lan"),
        ("gpu01", "gpu01.lan"),
        ("gpu01.other.org", None),  # another machine of that name
        ("gpu09.lan", "gpu09"),
        ("10.0.0.1:9100", "gpu01.lan"),
        ("[fd00::2]:9100", "gpu02.lan"),
        ("http://user@gpu02.lan:8000/health?x", "gpu02.lan"),
        ("node7", None),  # of two
        ("10.0.0", None),
        ("", None),
        ("gpu01.lan; rm -rf /", None),
        ("gpu01.lan\n", "gpu01.lan"),
    ],
)
def test_a_label_names_a_host_by_its_name_its_address_or_its_short_name(label, host):
    known = {"gpu01.lan": "10.0.0.1", "gpu02.lan": "fd00::2", "node7.a": "", "node7.b": "", "gpu09": ""}
    assert Homes(known).home(label) == host


def test_without_an_inventory_every_alert_is_about_this_machine(tmp_path):
    world = World(tmp_path, hosts=("localhost",), alone=True)
    world.inbox.put(told(alert("anything at all"), now=NOW))
    assert len(world.look("localhost").records) == 1


def test_a_message_concerns_its_hosts_and_those_that_it_leaves_out_and_strangers_are_told_once(world):
    hearing = Hearing(world.inbox, lambda host, _: world.cursors.get(host, {}))
    first = told(alert(), alert("stranger:1"), now=NOW)
    world.inbox.put(first)
    concerned, ignored = hearing.concerned(world.plan, first)
    assert concerned == {"gpu01.lan": ["server down"]}
    assert ignored == ["`VllmDown` is ignored: its label instance='stranger:1' names no host of servers"]
    world.look()
    second = told(alert("gpu02.lan"), alert("stranger:1"), now=NOW + 1)
    concerned, ignored = hearing.concerned(world.plan, second)
    assert set(concerned) == {"gpu01.lan", "gpu02.lan"}
    assert ignored == []


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"{", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "no message of an Alertmanager"),
        (b'{"alerts": [1]}', "no labels"),
        (b'{"alerts": [{"labels": {}, "status": "ill"}]}', "neither firing nor resolved"),
        (json.dumps({"alerts": [alert()] * 1001}).encode(), "1001 alerts in one message"),
    ],
)
def test_what_is_no_message_is_refused_with_the_reason(body, why):
    with pytest.raises(Unfit, match=why):
        message(body, "llm", NOW)


def test_texts_and_times_are_bounded(world):
    lying = alert(note="x" * 10_000)
    lying |= {"startsAt": "9999-01-01T00:00:00Z", "annotations": {"summary": "y" * 10_000}, "fingerprint": "z" * 9000}
    (one,) = told(lying, now=NOW, group="k" * 100_000).alerts
    assert (len(one.labels["note"]), len(one.summary), len(one.fingerprint), len(one.group)) == (200, 500, 64, 64)
    assert one.starts_at == NOW
    assert len(look.subject(one)) <= 160


def test_three_hundred_of_the_largest_alerts_are_well_under_a_megabyte(world):
    text = "\x01" * 10_000  # six bytes a character
    largest = [
        {**alert(**{f"{n}{label}": "v" * 5000 for label in range(16)}), "generatorURL": text, "fingerprint": f"{n}"}
        | {"annotations": {"summary": "s" * 5000, "description": text}}
        for n in range(look.MOST)
    ]
    world.inbox.put(told(*largest, now=NOW, group="g" * 200))
    assert len(world.look().records) == look.MOST
    assert 300_000 < len(json.dumps(world.cursors["gpu01.lan"])) < 750_000


def test_an_alert_of_too_many_labels_is_left_out_alone_and_that_is_told_once(world):
    many = alert(**{f"l{n}": "x" for n in range(40)})
    heavy = alert(name="Heavy", **{f"{n}" * 30: "\x01" * 200 for n in range(10, 30)})
    heard = told(many, heavy, alert(), now=NOW)
    assert (len(heard.alerts), heard.whole) == (1, False)  # what is left out may fire
    hearing = Hearing(world.inbox, lambda *_: {})
    why = "is ignored: it has more than 32 labels, or too long ones"
    assert hearing.concerned(world.plan, heard)[1] == [f"`VllmDown` {why}", f"`Heavy` {why}"]
    assert hearing.concerned(world.plan, heard)[1] == []


def fill(inbox, receiver, count=ROOM):
    for start in range(0, count, 500):
        given = [alert(f=str(start + n)) for n in range(500)]
        inbox.put(message(json.dumps({"alerts": given}).encode(), receiver, NOW)).taken()


def test_there_is_an_end_to_what_is_remembered_and_what_is_over_goes_first():
    inbox = Inbox()
    inbox.alerts("llm")
    for start in range(0, ROOM, 500):
        inbox.put(told(*(alert(n=str(start + n), status="resolved") for n in range(500)), now=NOW))
    fill(inbox, "llm")
    assert {each.status for each in inbox.alerts("llm")} == {"firing"}
    with pytest.raises(Full, match="2000 alerts of the receiver `llm` fire already"):
        inbox.put(told(alert(one="more"), now=NOW))


def test_who_fills_the_room_of_another_receiver_or_makes_up_many_makes_nobody_deaf():
    inbox = Inbox()
    inbox.put(told(alert(), now=NOW)).taken()
    assert len(inbox.alerts("llm")) == 1  # a detector asks
    for n in range(3 * STRANGERS):
        fill(inbox, f"made up {n}")
        while inbox.heard():
            pass
    assert sum(len(room.alerts) for room in inbox._rooms.values()) <= ROOM * STRANGERS + 1
    inbox.put(told(alert(one="more"), now=NOW))
    assert len(inbox.alerts("llm")) == 2


def test_that_a_room_is_full_is_told_once_an_hour(world):
    hearing = Hearing(world.inbox, lambda *_: {})
    world.look()
    fill(world.inbox, "llm")
    while world.inbox.heard():
        pass
    for _ in range(5):
        with pytest.raises(Full):
            world.inbox.put(told(alert(one="more"), now=NOW))
    (said,) = world.inbox.heard()
    why = "alerts are refused: 2000 alerts of the receiver `llm` fire already"
    assert hearing.concerned(world.plan, said.message) == ({}, [why])


def test_a_message_whose_sender_gave_up_is_not_taken_in_and_some_are_at_once():
    calls = []
    inbox = Inbox(lambda: calls.append(1))
    posts = [inbox.put(told(alert(), now=NOW)) for _ in range(AT_ONCE + 3)]
    assert posts[0].wait(0.0) is False
    calls.clear()
    assert inbox.heard() == posts[1 : AT_ONCE + 1]
    assert calls == [1]  # there is more
    assert inbox.heard() == posts[AT_ONCE + 1 :]
    assert (inbox.heard(), calls) == ([], [1])


def test_a_large_message_for_many_hosts_and_detectors_takes_little_time(tmp_path):
    one = BOOK[BOOK.index("  - name") :]
    text = BOOK.replace(one, "".join(one.replace("server down", f"down {n}") for n in range(10)))
    hosts = [f"gpu{n:02}.lan" for n in range(31)]
    world = World(tmp_path, text, hosts)
    hearing = Hearing(world.inbox, lambda *_: {})
    hearing.concerned(world.plan, told(now=NOW))  # what the detectors ask for is made out once
    heard = told(*(alert(f"gpu{n % 40:02}:{n}", job=str(n)) for n in range(1000)), now=NOW)
    world.inbox.put(heard)
    begun = time.process_time()
    found, ignored = hearing.concerned(world.plan, heard)
    spent = time.process_time() - begun
    assert (len(found), {len(each) for each in found.values()}, len(ignored)) == (31, {10}, 225)
    assert spent < 0.1
    begun = time.process_time()
    seen = [hearing.looks(world.plan, host, names, NOW) for host, names in found.items()]
    assert sum(len(each.records) for every in seen for each in every.values()) == 7750
    assert time.process_time() - begun < 0.6


def records(status="firing", **fields):
    from runbook.engine.model import Record

    known = {"alert": "VllmDown", "name": "VllmDown", "severity": "critical", "labels": {}, **fields}
    return Seen((Record("VllmDown", {**known, "status": status}),))


def test_an_alert_opens_an_incident_of_the_runbooks_severity_and_its_resolution_is_the_cure(tmp_path):
    def answer(fleet, _):
        return records("resolved" if fleet.over and fleet.now > 1_000_300 else "firing")

    run = Fleet(tmp_path, BOOK, looks={"server down": answer}, acts={"restart_daemon": done(1.0)}).go()
    incident = run.one("server down", subject="VllmDown")
    assert (incident.severity, incident.state.value) == ("low", "cured")
    assert run.done == [("a", "restart_daemon")]  # after five minutes: a group is told of that seldom


@pytest.mark.parametrize("label", ["critical", "auto", "destructive"])
def test_no_label_raises_mode_or_impact(tmp_path, label):
    text = BOOK.replace("restart_daemon: {unit: vllm}", "clear_cache: {path: /srv/x, older_than: 7d}")
    looks = {"server down": records(severity=label, labels={"severity": label, "mode": "auto", "impact": "none"})}
    run = Fleet(tmp_path, text, looks=looks).go()
    assert run.one("server down", subject="VllmDown").state.value == "waiting"
    assert run.done == []


def test_whatever_its_condition_says_a_resolved_alert_is_over_and_one_that_is_not_known_of_is_neither(tmp_path):
    text = BOOK.replace(
        "severity: low", "severity: low\n    when: severity == 'critical'\n    clear: severity == 'none'"
    )
    seen = {"server down": records()}
    run = Fleet(tmp_path, text.replace("recover: [{restart_daemon: {unit: vllm}}]", ""), looks=seen).go()
    assert run.states() == {"a": "open"}
    run.looks["server down"] = records(UNKNOWN)
    run.again()
    assert run.states() == {"a": "open"}
    assert run.one("server down", subject="VllmDown").blind
    run.looks["server down"] = records("resolved")
    run.again()
    assert run.states() == {"a": "cured"}


def test_a_case_sees_alerts(tmp_path):
    (tmp_path / "serve.yaml").write_text(BOOK.replace("hosts: all\n", ""))
    file = tmp_path / "serve.test.yaml"
    file.write_text(
        textwrap.dedent("""
        cases:
          - name: a restart is the answer to the alert
            happens:
              - see: {server down: {alert: VllmDown, severity: critical}}
              - after: restart_daemon
                see: {server down: {alert: VllmDown, status: resolved}}
            expect: {incidents: [{detector: server down, state: cured}], steps: [restart_daemon]}
        """)
    )
    suite, findings, _ = cases.examine(file)
    assert suite is not None, findings
    (result,) = suites.run(suite, lambda case: True)
    assert [line for each in result.differences for line in each.lines] == []
