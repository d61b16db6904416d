"""A condition taken apart: each part as it is written, what it says, and of which values."""

import pytest

from runbook.engine.inquire import parts
from runbook.engine.language import expression
from runbook.engine.model import UNKNOWN
from runbook.engine.report.inquiry import places

VALUES = {"temperature": 61, "memory_used_percent": 97, "state": "idle", "name": "a100", "age": UNKNOWN, "limit": 85}


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("temperature > 85", [("temperature > 85", False)]),
        ("temperature > 85 or memory_used_percent > 95",
         [("temperature > 85", False), ("memory_used_percent > 95", True)]),
        ("(temperature > 85) and (state == 'idle' or state == 'mixed')",
         [("temperature > 85", False), ("state == 'idle'", True), ("state == 'mixed'", False)]),
        ("not (state == 'idle') and temperature > 1", [("not (state == 'idle')", False), ("temperature > 1", True)]),
        ("name.startswith('a') and age > 3", [("name.startswith('a')", True), ("age > 3", UNKNOWN)]),
        ("state in ['idle', 'mixed'] and temperature < limit",
         [("state in ['idle', 'mixed']", True), ("temperature < limit", True)]),
    ],
)  # fmt: skip
def test_each_part_is_told_by_itself(written, told):
    found = list(parts(expression.parse(written, template=False), VALUES))
    assert [(one.text, one.holds) for one in found] == told


def test_a_part_has_the_values_that_it_mentions():
    (first, second) = parts(expression.parse("temperature > limit and state == 'x'", template=False), VALUES)
    assert first.values == {"limit": 85, "temperature": 61}
    assert second.values == {"state": "idle"}


def test_what_is_not_known_is_unknown_and_no_error():
    (one,) = parts(expression.parse("nosuch > 3", template=False), VALUES)
    assert (one.holds, one.values) == (UNKNOWN, {})


def test_how_far_a_log_was_read_is_told_by_file():
    kept = '65024 2360943 400 1795 {"offset":20,"lines":1,"head":"x","seen":12.5}'
    cursor = {"cursors": {"/var/log/*.log": {"/var/log/app.log": kept, "/var/log/new.log": "1 2 7 4 "}}}
    assert list(places(cursor)) == [
        ("/var/log/app.log", {"asked": "/var/log/*.log", "size": 400, "offset": 20, "lines": 1, "seen": 12.5}),
        ("/var/log/new.log", {"asked": "/var/log/*.log", "size": 7}),
    ]
    assert list(places({})) == []
    assert next(places({"cursors": {"/x": {"/x": "{broken"}}}))[0] == "/x"
