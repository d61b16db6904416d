"""Operations: fallbacks, undoing, presets, and what an earlier run left in flight."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runbook.engine.decide import tolerance
from runbook.engine.decide.guards import Caps
from runbook.engine.model import Impact, Mode, Outcome, StepStatus
from runbook.engine.recover.state import Settings
from runbook.engine.recover.work import Left
from tests.unit.world import DONE, World, failed

RUNBOOK = """
name: t
{top}
operations:
  - name: download
    command: [fetch]
    register: got
    {extra}
  - name: serve
    command: [serve, "{{{{ got.output | default('nothing') }}}}"]
{rest}
"""
MIRRORS = "fallback: [{command: [m1], name: m1}, {command: [m2], name: m2}]"


def world(tmp_path, *, extra="", top="", rest="", **acts: object) -> World:
    more = {name.replace("_", " "): script for name, script in acts.items()}
    return World(tmp_path, RUNBOOK.format(extra=extra, top=top, rest=rest), looks={}, acts=more)


def ended(one: World) -> dict[str, dict[str, object]]:
    return {told.operation: dict(told.data) for told in one.told if told.kind == "operation.ended"}


def states(one: World) -> dict[str, object]:
    return {name: told["state"] for name, told in ended(one).items()}


def said(text: str) -> Outcome:
    return Outcome(StepStatus.DONE, changed=True, output=text, duration=1.0)


# fallbacks


def test_fallbacks_are_tried_in_turn_when_the_attempts_are_used_up(tmp_path):
    one = world(tmp_path, extra=f"retry: {{attempts: 2, base: 1s}}\n    {MIRRORS}", download=failed(), m1=failed("no"))
    one.go()
    assert one.done == ["download", "download", "m1", "m2", "serve"]
    assert (ended(one)["download"]["state"], ended(one)["download"]["fallback"]) == ("succeeded", "m2")
    assert ended(one)["download"]["after"] == "boom"
    phases = [(told.data["title"], told.data["phase"]) for told in one.told if told.kind == "step.ended"]
    assert phases == [("m1", "fallback"), ("m2", "fallback")]


def test_without_a_failure_no_fallback_is_tried(tmp_path):
    one = world(tmp_path, extra=MIRRORS)
    one.go()
    assert one.done == ["download", "serve"]


def test_when_all_is_lost_the_error_names_each(tmp_path):
    one = world(tmp_path, extra=MIRRORS, download=failed("down"), m1=failed("no"), m2=failed("never"))
    one.go()
    assert states(one) == {"download": "failed", "serve": "skipped"}
    assert ended(one)["download"]["error"] == "down; fallback m1: no; fallback m2: never"


def test_what_a_fallback_said_is_the_operations_result(tmp_path):
    one = world(tmp_path, extra=MIRRORS, download=failed(), m1=said("weights"))
    one.go()
    assert one.sent[-1].order.params["argv"] == ("serve", "weights")


def test_a_fallback_that_its_when_leaves_out_did_not_do_it(tmp_path):
    fallbacks = (
        "fallback: [{command: [m1], name: m1, when: error.exit_code == 9}, "
        '{command: [m2, "{{ error.message }}"], name: m2, when: error.exit_code == 1}]'
    )
    one = world(tmp_path, extra=fallbacks, download=failed("boom"))
    one.go()
    assert one.done == ["download", "m2", "serve"]
    assert one.sent[1].order.params["argv"] == ("m2", "boom")


def test_a_fallback_may_wait_and_tell(tmp_path):
    one = world(tmp_path, extra="fallback: [{wait: 1m}]", download=failed())
    start = one.now
    one.go()
    assert states(one)["download"] == "succeeded"
    assert one.now - start == pytest.approx(61.0)


def test_an_error_detectors_incident_is_cured_by_the_fallback_and_says_so(tmp_path):
    rest = "detectors:\n  - name: down\n    error: boom\n    retry: false\n"
    one = world(tmp_path, extra=MIRRORS, rest=rest, download=failed())
    one.go()
    (closed,) = [told.data for told in one.told if told.kind == "incident.ended"]
    assert (closed["to"], closed["reason"]) == ("cured", "by the fallback m1")


# undoing


def test_when_all_is_lost_what_was_done_is_undone_the_last_first(tmp_path):
    one = world(
        tmp_path,
        extra=f"rollback: true\n    retry: {{attempts: 2, base: 1s}}\n    {MIRRORS}",
        download=replace(failed("half"), changed=True),
        m1=failed("no"),
        m2=failed("never"),
    )
    one.go()
    assert [act.order.name for act in one.sent] == ["download", "download", "m1", "m2"]
    assert one.undone == [act.intent for act in reversed(one.sent)]
    assert states(one) == {"download": "failed", "serve": "skipped"}
    assert "undone" not in ended(one)["download"]  # there was nothing to undo


def test_what_was_undone_and_what_could_not_be_are_told(tmp_path):
    one = world(tmp_path, extra="rollback: true", download=failed("half"))
    one.undoes["run1-1"] = Outcome(StepStatus.DONE, actions=({"action": "restore", "what": "/srv/x"},))
    one.go()
    assert ended(one)["download"]["undone"] == [
        {"status": "done", "error": "", "actions": [{"action": "restore", "what": "/srv/x"}]}
    ]
    one = world(tmp_path, extra="rollback: true", download=failed("half"))
    one.undoes["run1-1"] = Outcome(StepStatus.REFUSED, error="/srv/x was changed since")
    one.go()
    assert ended(one)["download"]["undone"][0]["error"] == "/srv/x was changed since"
    assert ended(one)["download"]["state"] == "failed"


def test_an_operation_that_a_fallback_saved_is_not_undone(tmp_path):
    one = world(tmp_path, extra=f"rollback: true\n    {MIRRORS}", download=failed())
    one.go()
    assert one.undone == []


def test_without_rollback_nothing_is_undone(tmp_path):
    one = world(tmp_path, download=failed())
    one.go()
    assert (one.undone, states(one)["download"]) == ([], "failed")


def test_check_undoes_nothing(tmp_path):
    one = world(tmp_path, extra="rollback: true", download=failed())
    one.state = replace(one.state, plan=replace(one.state.plan, settings=Settings(check=True)))
    one.go()
    assert (one.undone, states(one)["download"]) == ([], "failed")


# presets

POOLED = (
    "pools: {{p: {{members: [{{name: a}}, {{name: b}}, {{name: c}}]}}}}\n"
    "operations:\n  - name: ask\n    pool: p\n    command: [ask, '{{{{ member.name }}}}']\n"
    "    retry: {{attempts: 2, base: 1s}}\n    {extra}\n"
)


@pytest.mark.parametrize(
    ("preset", "asked"),
    [
        ("none", ["a"]),
        ("low", ["a", "a"]),
        ("medium", ["a", "a"]),
        ("high", ["a", "b", "c", "a", "b", "c", "mirror"]),
        ("critical", ["a", "b", "c", "a", "b", "c", "mirror"]),
    ],
)
def test_a_preset_says_how_far_an_operation_goes(tmp_path, preset, asked):
    text = f"name: t\nfault_tolerance: {preset}\n" + POOLED.format(
        extra="fallback: [{command: [mirror], name: mirror}]"
    ).replace("{{{{", "{{").replace("}}}}", "}}")
    one = World(tmp_path, text, looks={}, acts={"ask": failed()})
    one.go()
    words = [act.order.params["argv"][-1] for act in one.sent]
    assert words == asked


@pytest.mark.parametrize(("preset", "votes"), [("high", ["a"]), ("critical", ["a", "b", "c"])])
def test_majorities_are_for_critical_runbooks(tmp_path, preset, votes):
    text = f"name: t\nfault_tolerance: {preset}\n" + POOLED.format(extra="redundancy: 3")
    one = World(tmp_path, text, looks={})
    one.go()
    assert [act.order.params["argv"][-1] for act in one.sent] == votes


def test_none_runs_no_error_detectors_recovery(tmp_path):
    rest = "detectors:\n  - name: down\n    error: boom\n    recover: [{command: [up], name: up}]\n"
    one = world(tmp_path, top="fault_tolerance: none", rest=rest, download=failed())
    one.go()
    assert one.done == ["download"]
    assert one.states() == {"down": "unhealed"}


@pytest.mark.parametrize(
    ("module", "least"),
    [
        ("notify", "low"),
        ("wait_for", "low"),
        ("restart_daemon", "medium"),
        ("kill_orphans", "medium"),
        ("failover", "high"),
        ("clear_cache", "high"),
        ("command", "high"),
    ],
)
def test_each_step_needs_its_preset(module, least):
    assert tolerance.needed(module) == least
    assert [level for level in tolerance.LEVELS if tolerance.allows(level, least)] == list(
        tolerance.LEVELS[tolerance.LEVELS.index(least) :]
    )


def test_a_rung_that_goes_too_far_is_refused_with_its_reason(tmp_path):
    text = (
        "name: t\nfault_tolerance: medium\ndetectors:\n  - name: low\n    health:\n    when: memory_available < 1GB\n"
        "    recover: [{command: [fix], name: fix}]\n"
    )
    from tests.unit.world import seen

    one = World(tmp_path, text, looks={"low": seen({"memory_available": 1})})
    one.go()
    assert (one.done, one.states()) == ([], {"low": "suppressed"})
    reason = "`fault_tolerance: medium` allows retry, reconnect and restarts; fix needs high"
    assert reason in one.reasons("guard.refused")


# what an earlier run left


def left_by_an_earlier_run(one: World, outcome: Outcome, path: str = "operations.0", member: str = "") -> None:
    one.left["old-1"] = outcome
    left = {("localhost", "download"): (Left("old-1", one.now - 60, path, member),)}
    one.state = replace(one.state, left=left)


def test_the_result_of_an_attempt_in_flight_counts_as_the_attempts(tmp_path):
    one = world(tmp_path)
    left_by_an_earlier_run(one, said("weights"))
    one.go()
    assert one.done == ["serve"]
    assert one.sent[-1].order.params["argv"] == ("serve", "weights")
    assert ended(one)["download"]["attempts"] == 1
    assert not any(one.state.left.values())


def test_a_failure_of_an_attempt_in_flight_is_judged_like_any(tmp_path):
    rest = "detectors:\n  - name: net\n    error: timeout\n    retry: {strategy: linear, attempts: 3, base: 7s}\n"
    one = world(tmp_path, rest=rest)
    left_by_an_earlier_run(one, failed("timeout"))
    one.go()
    assert one.done == ["download", "serve"]
    assert [told.data["delay"] for told in one.told if told.kind == "attempt.delayed"] == [7.0]
    assert one.states() == {"net": "cured"}


def test_a_lost_step_that_may_run_twice_is_run_again(tmp_path):
    one = World(
        tmp_path,
        "name: t\noperations:\n  - {name: download, command: {argv: [fetch], creates: /srv/x}}\n",
        looks={},
    )
    left_by_an_earlier_run(one, Outcome(StepStatus.LOST, error="gone"))
    one.go()
    assert one.done == ["download"]
    assert (states(one)["download"], ended(one)["download"]["attempts"]) == ("succeeded", 1)


def test_a_lost_step_that_never_began_is_run(tmp_path):
    one = world(tmp_path)
    left_by_an_earlier_run(one, Outcome(StepStatus.LOST, data={"begun": False}))
    one.go()
    assert one.done == ["download", "serve"]


def test_a_lost_step_that_must_not_run_twice_waits_for_a_person(tmp_path):
    one = world(tmp_path, extra=MIRRORS)
    left_by_an_earlier_run(one, Outcome(StepStatus.LOST))
    one.go()
    assert one.done == []
    assert states(one) == {"download": "interrupted", "serve": "skipped"}
    assert "`runbook release old-1` frees it" in str(ended(one)["download"]["error"])
    assert [left.intent for left in one.state.left["localhost", "download"]] == ["old-1"]
    one.again()
    assert (one.done, states(one)["download"]) == ([], "interrupted")
    one.state = replace(one.state, left={})  # somebody released it
    one.again()
    assert one.done == ["download", "serve"]


def test_a_fallback_in_flight_goes_on_as_one(tmp_path):
    one = world(tmp_path, extra=MIRRORS)
    left_by_an_earlier_run(one, failed("no"), "operations.0.fallback.0")
    one.go()
    assert one.done == ["m2", "serve"]
    one = world(tmp_path, extra=MIRRORS)
    left_by_an_earlier_run(one, said("x"), "operations.0.fallback.1")
    one.go()
    assert one.done == ["serve"]
    assert ended(one)["download"]["fallback"] == "m2"


def test_a_member_in_flight_feeds_its_component_and_the_next_one_is_asked(tmp_path):
    text = "name: t\n" + POOLED.format(extra="").replace("name: ask", "name: download")
    one = World(tmp_path, text, looks={})
    left_by_an_earlier_run(one, failed("refused"), member="b")
    one.go()
    assert [act.order.params["argv"][-1] for act in one.sent] == ["a"]
    assert [each.ok for each in one.state.attempts["localhost", "p.b"]] == [False]


def test_a_vote_in_flight_is_awaited_and_all_are_asked_again(tmp_path):
    text = "name: t\n" + POOLED.format(extra="redundancy: 3").replace("name: ask", "name: download")
    text = text.replace("    retry: {attempts: 2, base: 1s}\n", "")
    one = World(tmp_path, text, looks={})
    left_by_an_earlier_run(one, DONE, member="b")
    one.go()
    assert [act.order.params["argv"][-1] for act in one.sent] == ["a", "b", "c"]
    assert states(one)["download"] == "succeeded"


def test_what_was_left_of_an_operation_that_tags_leave_out_stays(tmp_path):
    one = world(tmp_path, extra="tags: [slow]")
    one.state = replace(one.state, plan=replace(one.state.plan, settings=Settings(tags=frozenset({"other"}))))
    left_by_an_earlier_run(one, DONE)
    one.go()
    assert one.state.left["localhost", "download"]


# what may be carried out


@pytest.mark.parametrize(
    ("extra", "caps", "done", "told"),
    [
        ("mode: observe", Caps(), ["serve"], "mode is observe"),
        ("mode: approve", Caps(), [], "it waits for approval: run it again with --yes"),
        ("mode: approve", Caps(approved=True), ["download", "serve"], ""),
        ("", Caps(mode=Mode.OBSERVE), [], "mode is observe (--max-mode)"),
        ("", Caps(mode=Mode.APPROVE), [], "it waits for approval (--max-mode): run it again with --yes"),
        ("", Caps(impact=Impact.LOW), [], "download is disruptive, --max-impact is low"),
        ("mode: auto", Caps(), ["download", "serve"], ""),
    ],
)
def test_an_operation_does_not_go_further_than_its_mode_and_the_run_allow(tmp_path, extra, caps, done, told):
    one = world(tmp_path, extra=extra)
    one.state = replace(one.state, plan=replace(one.state.plan, settings=Settings(caps=caps)))
    one.go()
    assert one.done == done
    assert ended(one)["download"]["error"] == told


def test_an_operations_own_limit_holds_from_pass_to_pass(tmp_path):
    one = world(
        tmp_path, extra=f"limit: 2 per 1h\n    retry: {{attempts: 3, base: 1s}}\n    {MIRRORS}", download=failed()
    )
    one.go()
    assert one.done == ["download", "download", "m1", "serve"]
    assert "limit reached: 2 runs of download per 1h" in str(ended(one)["download"]["after"])
    one.again(after=60)
    assert one.done[4:] == ["m1", "serve"]
    one.again(after=3600)
    assert one.done[6:8] == ["download", "download"]


def test_a_fallback_that_may_not_be_taken_leads_to_the_next(tmp_path):
    fallbacks = (
        "fallback: [{command: [m1], name: m1, mode: observe}, {command: [m2], name: m2, limit: 1}, "
        "{command: [m3], name: m3}]"
    )
    one = world(tmp_path, extra=fallbacks, download=failed())
    one.go()
    one.again()
    assert one.done == ["download", "m2", "serve", "download", "m3", "serve"]


def test_members_have_limits_of_their_own(tmp_path):
    text = "name: t\n" + POOLED.format(extra="limit: 1 per 1h")
    one = World(tmp_path, text, looks={}, acts={"ask": failed()})
    one.go()
    assert [act.order.params["argv"][-1] for act in one.sent] == ["a", "b", "c"]
    assert "a: limit reached: 1 run of ask per 1h" in str(ended(one)["ask"]["error"])
