"""Correlations that join on a `subject:` across hosts: one job, one incident, wherever its members hold."""

from itertools import permutations

import pytest

from runbook.engine.model import NotSeen
from tests.unit.fleet import Fleet
from tests.unit.world import seen

TEXT = """
name: t
detectors:
  - name: stalled
    metric: {{json: /x.json, field: loss, name: job}}
    when: value < 1
  - name: idle
    metric: {{json: /y.json, field: load, name: job}}
    when: value < 5
  - name: hung
    {word}: [stalled, idle]
    subject: "{{{{ name }}}}"
    within: 10m
    verify: {{within: 20s}}
    limit: 1 per 1h
    {extra}
    recover: [{{command: [restart, "{{{{ incident.subject }}}}"], name: restart}}]
"""
HOSTS = ("a", "b", "c")


def jobs(**values):
    return seen(*[{"name": name, "value": value} for name, value in values.items()])


def fleet(tmp_path, stalled, idle, *, word="all", extra="", hosts=HOSTS) -> Fleet:
    looks = {"stalled": seen(), "idle": seen()}
    looks |= {(host, "stalled"): look for host, look in stalled.items()}
    looks |= {(host, "idle"): look for host, look in idle.items()}
    text = TEXT.format(word=word, extra=extra).replace(", name: job", "")
    return Fleet(tmp_path, text, hosts=hosts, looks=looks)


def test_members_join_on_the_job_though_they_hold_on_different_hosts(tmp_path):
    world = fleet(tmp_path, {"b": jobs(j7=0, j8=9)}, {"c": jobs(j7=1), "a": jobs(j8=1)})
    world.go()
    assert world.done == [("b", "restart")]
    assert [each.key for each in world.incidents()] == [("b", "hung", "j7")]


@pytest.mark.parametrize("order", list(permutations(HOSTS)))
def test_one_job_on_all_hosts_is_one_incident_on_the_first_of_them_whoever_answers_first(tmp_path, order):
    every = dict.fromkeys(HOSTS, jobs(j7=0))
    world = fleet(tmp_path, every, every)
    world.go(order)
    assert [each.key for each in world.incidents()] == [("a", "hung", "j7")]
    assert world.done == [("a", "restart")]


def test_what_holds_of_different_jobs_does_not_join(tmp_path):
    world = fleet(tmp_path, {"a": jobs(j7=0)}, {"a": jobs(j8=0)})
    world.go()
    assert world.incidents() == []


def test_it_is_cured_when_a_member_is_well_on_every_host(tmp_path):
    look = lambda world, host: jobs(j7=9 if world.over else 0)  # noqa: E731
    world = fleet(tmp_path, {"a": look, "b": look}, {"c": jobs(j7=0)})
    world.go()
    assert world.one("hung", "a", "j7").state.value == "cured"


def test_while_one_host_is_still_ill_it_is_not_cured(tmp_path):
    look = lambda world, host: jobs(j7=9 if world.over else 0)  # noqa: E731
    world = fleet(tmp_path, {"a": look, "b": jobs(j7=0)}, {"c": jobs(j7=0)})
    world.go()
    assert world.one("hung", "a", "j7").state.value == "unhealed"


def test_an_unknown_member_is_unknown_and_nothing_is_done(tmp_path):
    world = fleet(tmp_path, {"a": jobs(j7=0)}, {"a": NotSeen("no access")})
    world.go()
    assert (world.incidents(), world.done) == ([], [])


def test_a_job_that_ended_takes_its_incident_with_it(tmp_path):
    world = fleet(tmp_path, {"a": jobs(j7=0)}, {"b": jobs(j7=0)}, extra="mode: approve")
    world.go()
    assert world.one("hung", "a", "j7").state.value == "waiting"
    world.looks.update({("a", "stalled"): seen(), ("b", "idle"): seen()})
    world.again(after=601)
    assert (world.one("hung", "a", "j7").state.value, world.done) == ("cured", [])
    world.again()
    assert [name for _, name in world.state.said if "\x1f" in name] == []


def test_a_hold_stays_with_its_host_from_pass_to_pass(tmp_path):
    world = fleet(tmp_path, {"b": jobs(j7=0)}, {"c": jobs(j7=0)}, extra="for: 5m")
    world.go()
    world.looks[("a", "stalled")] = jobs(j7=0)
    world.again(after=301)
    assert world.done == [("b", "restart")]


def test_a_sequence_wants_its_order_across_hosts_too(tmp_path):
    world = fleet(tmp_path, {"b": jobs(j7=0)}, {"c": jobs(j7=9)}, word="sequence")
    world.go()
    assert world.done == []
    world.looks[("c", "idle")] = jobs(j7=0)
    world.again()
    assert world.done == [("b", "restart")]
