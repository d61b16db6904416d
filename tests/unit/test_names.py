from dataclasses import dataclass
from typing import Literal

import pytest

from runbook.engine.language import names, params
from runbook.engine.language.expression import parse
from runbook.engine.language.nearest import nearest
from runbook.modules.declare import Duration, Kind, Percent, Record, Size


@dataclass(frozen=True)
class Gauge(Record):
    temperature: float | None = None
    used: Percent = 0.0
    cpu_percent: Percent = 0.0
    free: Size = 0
    uptime: Duration = 0.0
    state: Literal["idle", "busy", "gone"] = "idle"


FIELDS = params.fields(Gauge)


def condition(text):
    return parse(text, template=False)


def test_mentions_say_where_each_name_stands_and_whether_it_may_be_undefined():
    text = "incident.path == x and (y is defined or json['a'].b[i].c | default(z))"
    found = {(each.path, each.guarded): text[each.offset : each.end] for each in names.mentions(condition(text))}
    assert found == {
        ("incident.path", False): "incident.path",
        ("x", False): "x",
        ("y", True): "y",
        ("json.a.b", True): "json['a'].b",
        ("i", False): "i",
        ("z", False): "z",
    }


def test_mentions_in_a_template_have_offsets_in_its_text():
    text = "disk of {{ incident.host }} is {{ state }}"
    found = names.mentions(parse(text, template=True))
    assert [text[each.offset : each.end] for each in found] == ["incident.host", "state"]


def test_attributes_are_names_with_what_is_read_from_them():
    assert names.attributes(condition("a.b.c > a.d and e['f'] and e")) == {
        ("a", ("b", "c")),
        ("a", ("d",)),
        ("e", ("f",)),
        ("e", ()),
    }


def test_literals_are_found_on_either_side_with_their_unit_and_place():
    text = "temperature > 50GB and 10m <= uptime and state in ['idle', \"oom\"] and a.b != -5 and used is gt(90%)"
    found = [
        (each.name, each.operator, each.value, each.kind, text[each.offset : each.end])
        for each in names.literals(condition(text))
    ]
    assert found == [
        ("temperature", ">", 50 * 10**9, Kind.SIZE, "50GB"),
        ("uptime", ">=", 600.0, Kind.DURATION, "10m"),
        ("state", "in", "idle", None, "'idle'"),
        ("state", "in", "oom", None, '"oom"'),
        ("a.b", "!=", -5, None, "-5"),
        ("used", ">", 90.0, Kind.PERCENT, "90%"),
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("temperature > 95 and temperature < 90", "temperature > 95 and temperature < 90 can't hold together"),
        ("temperature > 95 and used > 1 and 90 > temperature", "can't hold together"),
        ("temperature > 5 and temperature <= 5", "can't hold together"),
        ("95 < temperature < 90", "can't hold together"),
        ("temperature == 1 and temperature == 2", "temperature == 1 and temperature == 2 can't hold together"),
        ("state == 'idle' and state != 'idle'", "can't hold together"),
        ("state in ['idle', 'busy'] and state == 'gone'", "can't hold together"),
        ("state == 'idel'", "state is one of idle, busy, gone"),
        ("state in ['a', 'b']", "state is one of idle, busy, gone"),
        ("state > 'gone'", "state is one of"),
        ("state < 'busy' and state != 'idle'", "can't hold together"),
        ("used > 100", "used is between 0 and 100"),
        ("used < 0", "used is between 0 and 100"),
        ("used == 101%", "used is between 0 and 100"),
        ("uptime < 0", "uptime is never negative"),
        ("free > 2GB and free < 1GB", "free > 2GB and free < 1GB"),
        ("used > 100 or temperature > 5 and temperature < 4", "used is between"),
        ("temperature > 5 and (used > 100 or used < 0)", "used is between"),
        ("false", "it is false"),
        ("temperature > 5 and false", "it is false"),
    ],
)
def test_a_condition_that_can_not_be_true_is_told_with_the_reason(text, reason):
    assert reason in names.impossible(condition(text), FIELDS)


@pytest.mark.parametrize(
    "text",
    [
        "temperature > 85 or temperature < 5",
        "temperature > 85 and temperature < 90",
        "temperature >= 5 and temperature <= 5",
        "used >= 100",
        "used > 100 or temperature > 5",
        "cpu_percent > 300",
        "state in ['idle', 'typo']",
        "state != 'idle' and state != 'busy'",
        "state >= 'busy'",
        "state not in ['idle']",
        "state in [x, 'other']",
        "not (used > 100)",
        "other == 1 and other != 2",
        "a.x == 1 and a.y == 2",
        "temperature == none",
        "temperature",
        "true",
        "x > y and x < y",
        "temperature | round > 100",
        "'a' in state",
    ],
)
def test_a_condition_that_can_be_true_is_left_alone(text):
    assert names.impossible(condition(text), FIELDS) is None


def test_a_records_closed_sets_become_members_that_compare():
    made = names.members("component", {"name": "hub", "level": "critical", "error_rate": 60.0})
    assert made == {"name": "hub", "level": "critical", "error_rate": 60.0}
    assert condition("level > 'unhealthy' and level >= 'degraded'").evaluate(made) is True
    assert condition("level < 'unhealthy'").evaluate(made) is False


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("temprature", "temperature"),
        ("TEMPERATURE", "temperature"),
        ("oom-hots", "oom_host"),
        ("zzz", None),
        ("", None),
    ],
)
def test_the_nearest_name_is_the_one_that_was_meant(word, expected):
    assert nearest(word, ["temperature", "oom_host", "state"]) == expected
