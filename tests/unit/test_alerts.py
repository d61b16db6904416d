"""What an Alertmanager tells, as looks: whom it is about, what is remembered, and what is not known any more."""

import json
import textwrap

import pytest
from fleet import Fleet, done

from runbook.engine.alerts import homes, look
from runbook.engine.alerts.hearing import Hearing
from runbook.engine.alerts.homes import Homes
from runbook.engine.alerts.inbox import ROOM, Full, Inbox
from runbook.engine.alerts.payload import Unfit, message
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
        heard = self.inbox if inbox else None
        seen = look.look(self.plan, detector, host, homes.of(self.plan), heard, self.cursors.get(host, {}), now)
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
    assert record.subject == "VllmDown{job=vllm, team=llm}"
    fields = record.fields
    assert (fields["status"], fields["severity"], fields["job"]) == ("firing", "critical", "vllm")
    assert (fields["summary"], fields["receiver"], fields["silent_for"]) == ("it is down", "llm", 10.0)
    assert fields["labels"]["team"] == "llm"
    assert fields["age"] == pytest.approx(NOW + 10 - 1_795_366_800.123456)
    (other,) = world.look("gpu02.lan").records
    assert other.subject == "VllmDown{job=vllm, namespace=a, team=llm}"


def test_only_alerts_of_the_receiver_the_name_and_the_labels_are_seen(world):
    world.inbox.put(told(alert(name="GpuHot"), alert(team="other"), now=NOW))
    body = json.dumps({"alerts": [alert()], "groupKey": "g"}).encode()
    world.inbox.put(message(body, "elsewhere", NOW))
    assert world.look().records == ()


def test_a_warning_and_the_same_when_it_is_critical_are_one_subject(world):
    world.inbox.put(told(alert(severity="warning"), alert(severity="critical"), now=NOW))
    assert len({record.subject for record in world.look().records}) == 1


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
        (json.dumps({"alerts": [alert(**{f"l{n}": "x" for n in range(65)})]}).encode(), "more than 64 labels"),
    ],
)
def test_what_is_no_message_is_refused_with_the_reason(body, why):
    with pytest.raises(Unfit, match=why):
        message(body, "llm", NOW)


def test_texts_and_times_are_bounded(world):
    lying = alert(note="x" * 10_000)
    lying |= {"startsAt": "9999-01-01T00:00:00Z", "annotations": {"summary": "y" * 10_000}, "fingerprint": "z" * 9000}
    (one,) = told(lying, now=NOW, group="k" * 100_000).alerts
    assert (len(one.labels["note"]), len(one.summary), len(one.fingerprint), len(one.group)) == (512, 2048, 64, 64)
    assert one.starts_at == NOW
    assert len(look.subject(one, "instance")) <= 160


def test_there_is_an_end_to_what_is_remembered_and_what_is_over_goes_first():
    inbox = Inbox()
    for start in range(0, ROOM, 500):
        inbox.put(told(*(alert(n=str(start + n), status="resolved") for n in range(500)), now=NOW))
    inbox.heard()
    for start in range(0, ROOM, 500):
        inbox.put(told(*(alert(f=str(start + n)) for n in range(500)), now=NOW))
    assert {each.status for each in inbox.alerts("llm")} == {"firing"}
    with pytest.raises(Full, match="2000 alerts fire already"):
        inbox.put(told(alert(one="more"), now=NOW))


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
