"""Components: their error rate and level, from the attempts of the operations that need them."""

from dataclasses import replace

import pytest

from runbook.engine.detect.attempts import Attempt
from runbook.engine.detect.components import level, look
from runbook.engine.errors import RunbookInvalid
from runbook.engine.language import load
from runbook.engine.model import Lacking, Seen
from runbook.engine.people import Reset
from tests.unit.world import DONE, World, failed, seen

RUNBOOK = """
name: example
components: {hub: {window: 10}}
operations:
  - name: download
    command: [fetch]
    component: hub
    retry: {strategy: immediate, attempts: 8}
detectors:
  - name: hub ill
    component: hub
    when: level >= 'unhealthy'
"""


@pytest.fixture
def hub(tmp_path):
    file = tmp_path / "hub.yaml"
    file.write_text(RUNBOOK, encoding="utf-8")
    return load.load(file)


@pytest.mark.parametrize(
    ("rate", "expected"),
    [(0, "healthy"), (4.99, "healthy"), (5, "degraded"), (19.9, "degraded"), (20, "unhealthy"), (50, "critical")],
)
def test_the_level_follows_the_error_rate(rate, expected):
    assert level(rate) == expected


def test_below_five_attempts_nothing_is_said(hub):
    attempts = [Attempt(1.0, ok=False, seconds=1.0)] * 4
    assert look(hub, "hub", {("localhost", "hub"): attempts}, "localhost") == Lacking(
        "it takes 5 attempts to say anything: `hub` has 4"
    )


def test_the_mean_latency_is_that_of_successes(hub):
    attempts = [Attempt(1.0, ok=True, seconds=2.0)] * 3 + [Attempt(1.0, ok=False, seconds=60.0)] * 2
    found = look(hub, None, {("localhost", "hub"): attempts, ("elsewhere", "hub"): []}, "localhost")
    assert isinstance(found, Seen)
    (record,) = found.records
    assert record.subject == "hub"
    assert dict(record.fields) == {
        "name": "hub", "error_rate": 40.0, "attempts": 5, "latency_mean": 2.0, "level": "unhealthy",
    }  # fmt: skip


def test_a_components_failures_open_an_incident(tmp_path):
    left = [failed("503")] * 5
    world = World(tmp_path, RUNBOOK, looks={}, acts={"download": lambda _: left.pop(0) if left else DONE})
    world.go()
    opened = [told for told in world.told if told.kind == "incident.opened"]
    assert [(told.detector, told.subject, told.data["fields"]["level"]) for told in opened] == [
        ("hub ill", "hub", "critical")
    ]


def test_only_the_last_attempts_count(tmp_path):
    left = [failed("503")] * 2
    world = World(tmp_path, RUNBOOK, looks={}, acts={"download": lambda _: left.pop(0) if left else DONE})
    before = {("localhost", "hub"): tuple(Attempt(float(at), ok=False, seconds=1.0) for at in range(10))}
    world.state = replace(world.state, attempts=before)
    world.go()
    (kept,) = world.state.attempts.values()
    assert [attempt.ok for attempt in kept] == [False] * 12 + [True]
    (opened,) = [told for told in world.told if told.kind == "incident.opened"]
    assert (opened.data["fields"]["attempts"], opened.data["fields"]["error_rate"]) == (10, 90.0)


def test_what_was_before_a_person_set_it_back_counts_no_more(hub):
    attempts = [Attempt(float(at), ok=False, seconds=1.0) for at in range(1, 7)]
    known = {("localhost", "hub"): attempts}
    assert isinstance(look(hub, "hub", known, "localhost"), Seen)
    for host, says in (("", Lacking), ("localhost", Lacking), ("other", Seen)):
        resets = [Reset("hub", host, 3.0, "anna@desk"), Reset("other", "", 9.0, "anna@desk")]
        assert isinstance(look(hub, "hub", known, "localhost", resets), says)


def test_a_component_that_nothing_feeds_is_refused(tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text(RUNBOOK.replace("component: hub\n    when", "component: hob\n    when"), encoding="utf-8")
    with pytest.raises(RunbookInvalid) as refused:
        load.load(file)
    (finding,) = refused.value.findings
    assert (finding.code, finding.message, finding.hint) == (
        "RB012",
        "there is no component `hob`",
        "did you mean hub?",
    )


def test_a_detectors_incident_makes_the_component_as_ill_as_its_severity_says(tmp_path):
    text = (
        "name: t\ncomponents: {hub: {}}\noperations: [{name: fetch, command: [fetch], component: hub}]\ndetectors:\n"
        "  - {name: short, health: , when: memory_available < 1GB, component: hub, severity: SEVERITY}\n"
        "  - {name: hub ill, component: hub, when: level >= 'degraded'}\n"
    )
    for severity, expected in (("low", "degraded"), ("high", "unhealthy"), ("critical", "critical")):
        world = World(tmp_path, text.replace("SEVERITY", severity), looks={"short": seen({"memory_available": 1})})
        world.go()
        opened = [told for told in world.told if told.kind == "incident.opened" and told.detector == "hub ill"]
        assert [told.data["fields"]["level"] for told in opened] == [expected]


def test_a_detector_about_a_component_that_nothing_feeds_is_refused(tmp_path):
    file = tmp_path / "x.yaml"
    text = "name: t\ncomponent: hob\ncomponents: {hub: {}}\ndetectors: [{name: d, port: 80, when: not open}]\n"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(RunbookInvalid) as refused:
        load.load(file)
    (finding,) = refused.value.findings
    assert (finding.message, finding.hint, finding.span.line) == ("there is no component `hob`", "did you mean hub?", 2)


def test_beside_another_probe_component_says_whom_a_detector_is_about(tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text(RUNBOOK + "  - {name: web, http: 'http://127.0.0.1/', component: hub, when: not ok}\n")
    found = load.load(file).detectors
    assert [(each.name, each.probe, each.component) for each in found] == [
        ("hub ill", "component", None),
        ("web", "http", "hub"),
    ]
