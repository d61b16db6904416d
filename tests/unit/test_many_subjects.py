"""A host can have, or make up, any number of subjects: what each costs does not grow with how many there are."""

from __future__ import annotations

import sys

import many_hosts
import pytest
from world import World, seen

from runbook.engine.recover import looks
from runbook.engine.report.gather import Gather

BOOK = """
name: many
detectors:
  - name: made up
    gpu:
    when: temperature > 85
    limit: 9 per 1h
    verify: {every: 1s, within: 2s}
    recover: [{command: [cool]}]
"""


def calls(work):
    """Return how many functions are called while something is done: unlike time, the same on every machine."""
    count = 0

    def called(_frame, event, _argument):
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(called)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def a_pass(path, subjects):
    ill = seen(*({"subject": f"g{number}", "temperature": 90} for number in range(subjects)))
    world = World(path, BOOK, looks={"made up": ill})
    spent = calls(lambda: world.go(5.0))
    assert len(world.done) == subjects  # each was recovered
    return spent


def a_report(subjects):
    gather = Gather()
    facts = [many_hosts.begun(["gpu01"])]
    for number in range(subjects):
        facts += many_hosts.restarted("gpu01", 1.0, (f"{number:08x}", "server down", f"vllm{number}"))
    spent = calls(lambda: [gather.add(fact) for fact in facts])
    (host,) = gather.report().hosts
    assert [one.state for one in host.incidents] == ["cured"] * subjects
    return spent


def test_deciding_on_four_times_as_many_subjects_takes_four_times_as_long(tmp_path, monkeypatch):
    monkeypatch.setattr(looks, "AT_ONCE", 10_000)
    assert a_pass(tmp_path, 400) < 5 * a_pass(tmp_path, 100)


def test_a_report_of_four_times_as_many_incidents_takes_four_times_as_long():
    assert a_report(400) < 5 * a_report(100)


@pytest.mark.parametrize("subject", ["", "vllm"])
def test_an_incident_that_was_pending_is_the_one_that_opens(subject):
    gather = Gather()
    about = ("", "server down", subject)
    gather.add(many_hosts.begun(["gpu01"]))
    gather.add(many_hosts.fact("incident.pending", 0.0, "gpu01", about, since=many_hosts.START, hold=30.0))
    gather.add(many_hosts.fact("incident.pending", 0.0, "gpu01", ("", "server down", "other"), since=0.0, hold=30.0))
    gather.add(many_hosts.opened("gpu01", 30.0, ("0000abcd", "server down", subject)))
    (host,) = gather.report().hosts
    assert [(one.subject, one.id, one.state) for one in host.incidents] == [
        *([] if subject else [("", "0000abcd", "open")]),
        ("other", "", "pending"),
        *([(subject, "0000abcd", "open")] if subject else []),
    ]
