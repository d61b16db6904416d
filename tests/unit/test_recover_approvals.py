"""Approvals: what is asked for, what an approval is good for, and what takes it away."""

from dataclasses import replace

from runbook.engine.decide.guards import Caps
from runbook.engine.language import load
from runbook.engine.model import Mode
from runbook.engine.recover.state import Settings
from tests.unit.fleet import HOUR, Fleet, done
from tests.unit.test_recover_guards import ILL, WELL, cured_by, fleet

LADDER = "[{command: [a], name: one}, {shell: {script: echo}, name: two}]"
PARKS = "strategy: progressive\n    verify: {within: 4s}"


def waiting(tmp_path, **more) -> Fleet:
    world = fleet(tmp_path, more.pop("look", cured_by("fix")), extra="mode: approve", **more)
    return world.go()


def test_what_waits_says_what_would_be_done(tmp_path):
    recover = "[{command: [fix, '{{ incident.memory_available }}'], name: fix}, {shell: {script: echo}, name: two}]"
    world = waiting(tmp_path, recover=recover)
    incident = world.one("low")
    assert incident.state.value == "waiting"
    assert [(each["step"], each["module"], each["impact"], each["rung"]) for each in incident.asked] == [
        ("fix", "command", "disruptive", 0),
        ("two", "shell", "destructive", 1),
    ]
    assert incident.asked[0]["params"] == {"argv": ["fix", "1"]}
    assert len(incident.digest) == 16


def test_the_next_pass_carries_out_what_was_approved(tmp_path):
    world = waiting(tmp_path)
    world.approve(world.one("low"))
    world.again()
    assert (world.done, world.states()) == ([("a", "fix")], {"a": "cured"})


def test_a_running_pass_carries_it_out_as_soon_as_it_hears_of_it(tmp_path):
    world = waiting(tmp_path)
    world.approve(world.one("low"))
    world.put(world.words())
    world.settle()
    assert world.states() == {"a": "cured"}


def test_nothing_is_begun_on_a_word_before_this_run_has_looked(tmp_path):
    world = waiting(tmp_path)
    world.approve(world.one("low"))
    world.state = replace(world.state, judged={})
    world.put(world.words())
    world.settle()
    assert world.done == []


def test_an_approval_of_something_else_is_none(tmp_path):
    world = waiting(tmp_path, recover="- {command: [fix], name: fix}")
    world.approve(world.one("low"))
    file = tmp_path / "runbook.yaml"
    file.write_text(file.read_text().replace("[fix]", "[fix, --force]"))
    world.runbook = load.load(file)
    world.again()
    assert (world.done, world.states()) == ([], {"a": "waiting"})
    assert "what eva@desk approved has changed since" in world.one("low").reason
    world.approve(world.one("low"))
    world.again()
    assert world.done == [("a", "fix")]


def test_the_id_of_the_run_is_no_change(tmp_path):
    world = waiting(tmp_path, recover="- {command: [fix, '{{ run.id }}'], name: fix}")
    world.approve(world.one("low"))
    world.again()
    assert world.done == [("a", "fix")]


def test_an_approval_runs_out(tmp_path):
    world = waiting(tmp_path)
    world.approve(world.one("low"))
    world.again(after=25 * HOUR)
    assert (world.done, world.states()) == ([], {"a": "waiting"})


def test_a_rejection_leaves_the_incident_observed_with_who_said_so(tmp_path):
    world = waiting(tmp_path, look=ILL)
    world.approve(world.one("low"), granted=False)
    world.again()
    assert (world.done, world.states()) == ([], {"a": "observed"})
    assert world.one("low").reason == "rejected by eva@desk"
    world.again()
    assert world.kinds("guard.refused") == []


def test_a_rung_that_needs_a_person_parks_the_ladder_and_is_asked_for_alone(tmp_path):
    world = fleet(tmp_path, cured_by("two"), extra=PARKS, recover=LADDER)
    world.go()
    incident = world.one("low")
    assert (world.done, incident.state.value) == ([("a", "one")], "waiting")
    assert [each["step"] for each in incident.asked] == ["two"]
    world.approve(incident)
    world.again()
    assert (world.done, world.states()) == ([("a", "one"), ("a", "two")], {"a": "cured"})
    assert len(world.state.begun[("a", "low", "")]) == 1


def test_a_parked_ladder_that_is_rejected_is_over(tmp_path):
    world = fleet(tmp_path, extra=PARKS, recover=LADDER)
    world.go()
    world.approve(world.one("low"), granted=False)
    world.again()
    assert (world.done, world.states()) == ([("a", "one")], {"a": "observed"})
    assert len(world.kinds("recovery.ended")) == 1
    world.again()
    assert world.kinds("recovery.ended") == []


def test_a_parked_ladder_whose_fault_goes_ends_cured_with_its_steps(tmp_path):
    extra = PARKS + "\n    cured: [{notify: well again}]"
    world = fleet(tmp_path, extra=extra, recover=LADDER)
    world.go()
    world.looks["low"] = WELL
    world.again()
    assert (world.states(), world.notified) == ({"a": "cured"}, ["well again"])


def test_a_destructive_first_rung_waits_and_is_carried_out(tmp_path):
    world = fleet(tmp_path, cured_by("two"), recover="[{shell: {script: echo}, name: two}]")
    world.go()
    assert world.one("low").reason == "two waits for approval (destructive)"
    world.approve(world.one("low"))
    world.again()
    assert world.states() == {"a": "cured"}


def test_an_approval_of_the_whole_ladder_is_good_for_each_of_its_rungs(tmp_path):
    extra = "mode: approve\n    strategy: progressive\n    verify: {within: 4s}"
    world = fleet(tmp_path, cured_by("two"), extra=extra, recover=LADDER)
    world.go()
    world.approve(world.one("low"))
    world.again()
    assert (world.done, world.states()) == ([("a", "one"), ("a", "two")], {"a": "cured"})


def test_what_depends_on_an_earlier_step_is_approved_as_it_was_filled_in(tmp_path):
    recover = (
        "[{command: [find], name: one, register: found}, "
        "{shell: {script: 'rm -- $WHAT', env: {WHAT: '{{ found.output }}'}}, name: two}]"
    )
    outcome = done(output="/x/old")
    world = fleet(tmp_path, cured_by("two"), recover=recover, acts={"one": outcome})
    world.go()
    incident = world.one("low")
    assert incident.state.value == "waiting"
    assert incident.asked[0]["params"]["env"] == {"WHAT": "/x/old"}
    world.approve(incident)
    world.again()
    assert world.states() == {"a": "cured"}


def test_max_mode_approve_asks_for_what_would_run_by_itself(tmp_path):
    world = fleet(tmp_path, settings=Settings(Caps(mode=Mode.APPROVE)))
    world.go()
    assert world.one("low").reason == "waits for approval (--max-mode approve)"
    assert [each["step"] for each in world.one("low").asked] == ["fix"]


def test_a_secret_is_not_shown(tmp_path):
    recover = "[{shell: {script: echo, env: {T: '{{ secrets.token }}'}}, name: two}]"
    world = fleet(tmp_path, recover=recover, top="secrets: {token: {env: NO_SUCH}}")
    scopes = {"a": replace_secrets(world.state.plan.scopes["a"])}
    world.state = replace(world.state, plan=replace(world.state.plan, scopes=scopes))
    world.go()
    assert "hunter2" not in str(world.one("low").asked)
    assert world.one("low").asked[0]["params"]["env"] == {"T": "***"}


def replace_secrets(scope):
    return scope.bind(secrets={"token": "hunter2"})
