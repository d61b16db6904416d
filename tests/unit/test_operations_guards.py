"""What a snapshot keeps is put back when an operation after it, with `rollback: true`, is lost."""

from __future__ import annotations

import pytest

from runbook.engine.model import Outcome, StepStatus
from tests.unit.world import World, failed

RUNBOOK = """
name: t
writable: [/srv/app]
operations:
  - name: first
    snapshot: /srv/app/a
    {extra}
  - name: second
    snapshot: /srv/app
  - name: edit
    edit_config: {{path: /srv/app/a.json, set: {{port: 1}}}}
  - name: serve
    command: [serve]
    {rollback}
"""
SAME = Outcome(StepStatus.DONE, changed=False, duration=1.0)  # as the last one holds it already


def world(tmp_path, rollback="rollback: true", extra="", **acts):
    return World(tmp_path, RUNBOOK.format(rollback=rollback, extra=extra), looks={}, acts=acts)


def intents(one, *titles):
    return [next(act.intent for act in one.sent if act.order.name == title) for title in titles]


@pytest.mark.parametrize("second", [None, SAME], ids=["new", "unchanged"])
def test_the_lost_operation_is_undone_and_then_the_snapshots_the_last_first_and_no_other_operation(tmp_path, second):
    one = world(tmp_path, serve=failed(), **({"second": second} if second else {}))
    one.go()
    assert one.undone == intents(one, "serve", "second", "first")


def test_without_rollback_and_without_a_loss_no_snapshot_is_put_back(tmp_path):
    lost = world(tmp_path, rollback="", serve=failed())
    lost.go()
    well = world(tmp_path)
    well.go()
    assert (lost.undone, well.undone) == ([], [])


def test_a_snapshot_that_was_left_out_or_refused_has_nothing_to_put_back(tmp_path):
    one = world(tmp_path, extra="when: false", second=failed("no room"))
    one.go()
    assert one.undone == []
    one = world(tmp_path, extra="when: false", serve=failed())
    one.go()
    assert one.undone == intents(one, "serve", "second")
