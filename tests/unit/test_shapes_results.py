"""What a host answers about a step, where something in it is missing or beyond all measure."""

from __future__ import annotations

import pytest

from runbook.engine.fleet import shapes
from runbook.modules import wire


def test_a_whole_result_is_taken_as_it_came():
    whole = wire.result("done", changed=True)
    assert shapes.result({"seq": 1, "result": whole}) == {"seq": 1, "known": "result", "result": whole}


@pytest.mark.parametrize("changed", [None, 1, "yes"])
def test_a_result_that_does_not_say_whether_it_changed_anything_is_lost_and_says_why(changed):
    found = shapes.result({"seq": 1, "result": {**wire.result("done"), "changed": changed}})["result"]
    assert (found["status"], "whether it changed anything" in found["error"]) == ("lost", True)


def test_a_number_that_no_report_could_divide_makes_its_look_unknown():
    look = {"id": "a", "status": "seen", "state": {}, "records": [{"subject": "", "fields": {"size": 10**1000}}]}
    (found,) = shapes.looks({"seq": 1, "looks": [look]}, {"a": {}})["looks"]
    assert (found["status"], "too many digits" in found["reason"]) == ("unknown", True)
