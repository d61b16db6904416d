"""The guards, one by one and in their order, with a virtual clock."""

import pytest

from runbook.engine.decide import flapping, unavailable
from runbook.engine.decide.guards import Caps
from runbook.engine.model import Impact, Lease, Mode, NotSeen
from runbook.engine.recover.commands import Asked, LookAt, Recover, Told, Unreachable
from runbook.engine.recover.state import Settings
from tests.unit.fleet import HOUR, Fleet, done
from tests.unit.world import failed, seen

ILL, WELL = seen({"memory_available": 1}), seen({"memory_available": 2e9})
TEXT = """
name: t
{top}
detectors:
  - name: low
    health:
    when: memory_available < 1GB
    {extra}
    recover:
      {recover}
"""


def fleet(tmp_path, look=ILL, *, extra="", recover="- {command: [fix], name: fix}", top="", **more) -> Fleet:
    text = TEXT.format(extra=extra, recover=recover, top=top)
    return Fleet(tmp_path, text, looks={"low": look, **more.pop("looks", {})}, **more)


def cured_by(title: str):
    return lambda world, host: WELL if (host, title) in world.over else ILL


def guards_told(world: Fleet) -> list[str]:
    return [told.data["guard"] for told in world.kinds("guard.refused")]


# ── maintenance and acknowledgements ─────────────────────────────────────────────────────────────────────────────────


def test_nothing_begins_on_a_host_in_maintenance_and_it_begins_when_that_is_over(tmp_path):
    world = fleet(tmp_path, cured_by("fix"))
    world.maintain("a", until=world.now + 600)
    world.go()
    assert (world.done, world.states()) == ([], {"a": "suppressed"})
    assert world.one("low").reason == "maintenance by eva@desk until 1970-01-12 13:56:40 UTC: new fans"
    world.again(after=601)
    assert (world.done, world.states()) == ([("a", "fix")], {"a": "cured"})


def test_maintenance_is_about_the_hosts_that_its_pattern_names(tmp_path):
    world = fleet(tmp_path, hosts=("a", "b", "login1"))
    world.maintain("*:!login*")
    world.go()
    assert {host for host, _ in world.done} == {"login1"}


def test_an_acknowledged_incident_is_left_to_the_person(tmp_path):
    world = fleet(tmp_path, extra="mode: approve")
    world.go()
    world.ack(world.one("low"), until=world.now + 1000)
    world.again(Settings(Caps(approved=True)))
    assert (world.done, world.states()) == ([], {"a": "suppressed"})
    world.again(Settings(Caps(approved=True)), after=1001)
    assert world.done == [("a", "fix")]


def test_who_acknowledges_what_was_recovered_in_vain_is_left_alone_with_it_until_it_is_well(tmp_path):
    look = {"now": ILL}
    world = fleet(tmp_path, lambda w, h: look["now"], extra="verify: {within: 4s}")
    world.go()
    assert world.states() == {"a": "unhealed"}
    world.ack(world.one("low"), until=None)
    for _ in range(3):
        world.again()
    assert (world.done, world.states()) == ([("a", "fix")], {"a": "suppressed"})
    assert guards_told(world) == []
    look["now"] = WELL
    world.again()
    look["now"] = ILL
    world.again()
    assert world.done == [("a", "fix")] * 2


def test_maintenance_that_begins_between_two_rungs_parks_the_ladder(tmp_path):
    def step(world, host):
        world.maintain("a", until=world.now + 500)
        world.put(world.words())
        return done()

    extra = "strategy: progressive\n    verify: {within: 4s}"
    two = "[{command: [a], name: one}, {command: [b], name: two}]"
    world = fleet(tmp_path, cured_by("two"), extra=extra, recover=two, acts={"one": step})
    world.go()
    assert (world.done, world.states()) == ([("a", "one")], {"a": "suppressed"})
    world.again(after=600)
    assert (world.done, world.states()) == ([("a", "one"), ("a", "two")], {"a": "cured"})
    assert len(world.state.begun[("a", "low", "")]) == 1


# ── stale and unknown ────────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_is_done_on_a_look_that_saw_nothing(tmp_path):
    look = {"now": ILL}
    world = fleet(tmp_path, lambda w, h: look["now"], extra="limit: 1 per 1h\n    verify: {within: 4s}")
    world.go()
    world.again()
    assert (len(world.done), world.states()) == (1, {"a": "suppressed"})
    look["now"] = NotSeen("no permission")
    world.again(after=2 * HOUR)
    assert (len(world.done), world.one("low").reason) == (1, "the last look saw nothing of it; the next one tells")
    look["now"] = ILL
    world.again()
    assert len(world.done) == 2


OLD = """
name: t
detectors:
  - name: ill
    health:
    when: memory_available < 1GB
  - name: oom
    log: {paths: /x.log, patterns: 'oom'}
    mode: approve
    verify: {detector: ill, within: 60s}
    recover: [{command: [fix], name: fix}]
"""


def grow_old(world: Fleet) -> None:
    """Let passes go by, ten minutes apart, in which the incident waits for a person, who then approves."""
    for _ in range(3):
        world.again(after=600)
    world.approve(world.one("oom"))


@pytest.mark.parametrize(("look", "expected", "state"), [
    (ILL, [("a", "fix")], "unhealed"),
    (WELL, [], "cured"),
    (NotSeen("?"), [], "open"),
])  # fmt: skip
def test_an_event_that_has_grown_old_is_looked_at_again_before_anything_is_done(tmp_path, look, expected, state):
    lines = [seen({"line": "oom"})]
    looks = {"ill": ILL, "oom": lambda w, h: lines.pop() if lines else seen()}
    world = Fleet(tmp_path, OLD, looks=looks)
    world.go()
    assert world.one("oom").state.value == "waiting"
    grow_old(world)
    world.looks["ill"] = look
    world.again(after=600)
    assert (world.done, world.one("oom").state.value) == (expected, state)


def test_an_old_event_whose_cure_is_silence_is_over_when_it_was_silent(tmp_path):
    lines = [seen({"line": "oom"})]
    text = OLD.replace("{detector: ill, within: 60s}", "{for: 10m, within: 60m}")
    world = Fleet(tmp_path, text, looks={"ill": ILL, "oom": lambda w, h: lines.pop() if lines else seen()})
    world.go()
    grow_old(world)
    world.again(after=600)
    assert (world.done, world.one("oom").state.value) == ([], "cured")


def test_cron_once_an_hour_carries_out_what_was_approved_since_the_last_pass(tmp_path):
    lines = [seen({"line": "oom"})]
    text = OLD.replace("{detector: ill, within: 60s}", "{for: 10m, within: 60m}")
    world = Fleet(tmp_path, text, looks={"ill": ILL, "oom": lambda w, h: lines.pop() if lines else seen()})
    world.go()
    world.approve(world.one("oom"))
    world.again(after=HOUR)
    assert world.done == [("a", "fix")]


def test_before_a_later_rung_old_evidence_is_looked_at_again(tmp_path):
    recover = "[{command: [a], name: drain}, {command: [b], name: reset}]"
    world = fleet(tmp_path, acts={"drain": done(2 * HOUR)}, recover=recover, extra="verify: {within: 4s}")
    world.go()
    assert world.done == [("a", "drain"), ("a", "reset")]
    world = fleet(
        tmp_path,
        lambda w, h: NotSeen("gone") if w.over else ILL,
        acts={"drain": done(2 * HOUR)},
        recover=recover,
        extra="verify: {within: 4s}",
    )
    world.go()
    assert (world.done, world.states()) == ([("a", "drain")], {"a": "unverified"})


# ── leases, cooldown, limits ─────────────────────────────────────────────────────────────────────────────────────────


def test_what_another_run_recovers_is_left_alone_until_it_lets_go(tmp_path):
    world = fleet(tmp_path, cured_by("fix"))
    lease = Lease("a", "", "r9", "ops@login 71", "other", "down", until=world.now + 300)
    world.words = lambda **more: Told(world.people, {("a", ""): lease} if world.now < lease.until else {})
    world.go()
    assert (world.done, world.states()) == ([], {"a": "suppressed"})
    assert world.one("low").reason == "ops@login 71 recovers it: `down` of other"
    world.again(after=301)
    assert world.states() == {"a": "cured"}


def test_recoveries_that_other_runs_began_count_for_the_limit(tmp_path):
    world = fleet(tmp_path, extra="limit: 2 per 1h")
    world.words = lambda **more: Told(world.people, begun={("a", "low", ""): (world.now - 10, world.now - 20)})
    world.go()
    assert (world.done, guards_told(world)) == ([], ["limit"])


def test_a_limit_is_told_once_with_the_time_when_it_ends(tmp_path):
    world = fleet(tmp_path, extra="limit: 1 per 1h\n    verify: {within: 4s}")
    world.go()
    for _ in range(5):
        world.again()
        assert len(world.done) == 1
        assert len(guards_told(world)) <= 1
    world.again()
    assert guards_told(world) == []
    assert world.one("low").until == pytest.approx(1_000_000 + HOUR)


def test_a_crash_loop_stops_at_its_limit_though_every_restart_was_a_cure(tmp_path):
    state = {"ill": True}

    def fix(world, host):
        state["ill"] = False
        return done()

    world = fleet(tmp_path, lambda w, h: ILL if state["ill"] else WELL, extra="limit: 3 per 1h", acts={"fix": fix})
    world.go()
    for _ in range(10):
        assert world.states() in ({"a": "cured"}, {"a": "suppressed"})
        state["ill"] = True
        world.again()
    assert len(world.done) == 3
    assert world.states() == {"a": "suppressed"}


def test_people_are_told_once_of_a_crash_loop_that_its_limit_stops(tmp_path):
    state = {"ill": True}

    def fix(world, host):
        state["ill"] = False
        return done()

    told = "unhealed: [{notify: '{{ incident.host }} stays down'}, {command: [page], name: page}]"
    looks = lambda w, h: ILL if state["ill"] else WELL  # noqa: E731
    world = fleet(tmp_path, looks, extra=f"limit: 2 per 1h\n    {told}", acts={"fix": fix})
    world.go()
    for _ in range(6):
        state["ill"] = True
        world.again()
    assert world.states() == {"a": "suppressed"}
    (told,) = world.notified
    until = "1970-01-12 14:46:40 UTC"
    assert told == f"a stays down (not tried again: limit reached: 2 recoveries per 1h; the next from {until})"
    assert {title for _, title in world.done} == {"fix"}
    world.again(after=HOUR)
    state["ill"] = True
    for _ in range(3):
        world.again()
        state["ill"] = True
    assert len(world.notified) == 2


def test_a_limit_after_a_recovery_in_vain_is_not_told_a_second_time(tmp_path):
    extra = "limit: 1 per 1h\n    verify: {within: 4s}\n    unhealed: [{notify: stays down}]"
    world = fleet(tmp_path, extra=extra)
    world.go()
    for _ in range(3):
        world.again()
    assert (world.states(), world.notified) == ({"a": "suppressed"}, ["stays down"])


def test_a_check_tells_nobody_of_a_limit(tmp_path):
    world = fleet(tmp_path, extra="limit: 1 per 1h\n    unhealed: [{notify: stays down}]")
    world.words = lambda **more: Told(world.people, begun={("a", "low", ""): (world.now - 10,)})
    world.again(Settings(check=True))
    assert (world.states(), world.notified) == ({"a": "suppressed"}, [])
    world.again()
    assert (world.states(), len(world.notified)) == ({"a": "suppressed"}, 1)


def test_a_limit_of_three_for_ever_is_for_ever(tmp_path):
    world = fleet(tmp_path, extra="limit: 3\n    verify: {within: 4s}")
    world.go()
    for _ in range(6):
        world.again(after=30 * 86400)
    assert len(world.done) == 3


GPUS = """
name: t
detectors:
  - name: gpu ill
    gpu:
    when: temperature > 90
    verify: {{within: 4s}}
    recover: [{{command: {command}, name: act, limit: 1 per 1d}}]
"""


def gpus(*numbers):
    return seen(*[{"subject": f"gpu{n}", "index": n, "temperature": 99} for n in numbers])


def test_eight_gpus_do_not_reboot_their_host_eight_times(tmp_path):
    world = Fleet(tmp_path, GPUS.format(command="[reboot]"), looks={"gpu ill": gpus(*range(8))})
    world.go()
    assert world.done == [("a", "act")]


def test_eight_gpus_are_each_reset_once(tmp_path):
    text = GPUS.format(command="[reset, '{{ incident.subject }}']")
    world = Fleet(tmp_path, text, looks={"gpu ill": gpus(*range(8))})
    world.go()
    assert len(world.done) == 8
    world.again()
    assert len(world.done) == 8


# ── flapping ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def flipping(tmp_path, extra=""):
    """Each pass cures it, and it comes back."""
    state = {"ill": True}

    def fix(world, host):
        state["ill"] = False
        return done()

    world = fleet(tmp_path, lambda w, h: ILL if state["ill"] else WELL, extra=extra, acts={"fix": fix})
    return world, state


def test_what_was_well_again_five_times_within_an_hour_is_left_alone_until_the_hour_is_over(tmp_path):
    world, state = flipping(tmp_path)
    world.go()
    for _ in range(8):
        state["ill"] = True
        world.again()
    assert len(world.done) == flapping.ENDS
    assert "flapping: well again 5 times within 1h" in world.one("low").reason
    until = world.one("low").until
    assert until == pytest.approx(world.state.cleared[("a", "low", "")][0] + HOUR)
    world.again(after=until - world.now + 1)
    assert len(world.done) == flapping.ENDS + 1


def test_what_clears_by_itself_again_and_again_flaps_too(tmp_path):
    world = fleet(tmp_path, extra="mode: approve")
    for _ in range(5):
        world.looks["low"] = ILL
        world.again()
        world.looks["low"] = WELL
        world.again()
    world.looks["low"] = ILL
    world.again(Settings(Caps(approved=True)))
    assert (world.done, guards_told(world)) == ([], ["flapping"])


def test_a_limit_beyond_five_can_be_reached(tmp_path):
    world, state = flipping(tmp_path, extra="limit: 7 per 1h")
    world.go()
    for _ in range(9):
        state["ill"] = True
        world.again()
    assert len(world.done) == 7
    assert world.one("low").reason.startswith("limit reached: 7 recoveries")


def test_slow_looks_make_the_window_longer():
    assert flapping.window(30.0) == HOUR
    assert flapping.window(HOUR) == 12 * HOUR


# ── max_unavailable ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_for_whom_a_decision_waits_is_told_once_few_are_left(tmp_path):
    hosts = tuple("abcdefgh")
    world = fleet(tmp_path, cured_by("fix"), hosts=hosts, top="max_unavailable: 2").go(order=hosts)
    assert [told.data["hosts"] for told in world.kinds("decisions.held")] == [
        [*"defgh"], [*"efgh"], [*"fgh"], [*"gh"], ["h"]]  # fmt: skip
    assert len(world.kinds("recovery.begun")) == 8


def test_a_decision_that_is_a_hosts_own_waits_for_nobody(tmp_path):
    assert not fleet(tmp_path, cured_by("fix"), hosts=("a", "b")).go().kinds("decisions.held")


@pytest.mark.parametrize(("wanted", "hosts", "expected"), [
    ("5%", 64, 3), ("5%", 8, 1), ("100%", 3, 3), ("0%", 3, 1), (2, 64, 2), (None, 5, None), ("12.5%", 16, 2),
])  # fmt: skip
def test_max_unavailable_is_rounded_down_and_at_least_one(wanted, hosts, expected):
    assert unavailable.most(wanted, hosts) == expected


def most_at_once(world: Fleet) -> int:
    """How many hosts were under recovery at once, by what the journal was told."""
    most, down = 0, set()
    for told in world.told:
        if told.kind == "recovery.begun":
            down.add(told.host)
        elif told.kind == "incident.ended":
            down.discard(told.host)
        most = max(most, len(down))
    return most


def test_the_rest_queues_and_each_has_its_turn(tmp_path):
    hosts = tuple(f"n{number:02}" for number in range(20))
    world = fleet(tmp_path, cured_by("fix"), hosts=hosts, top="max_unavailable: 15%", acts={"fix": done(30)})
    world.go()
    assert most_at_once(world) == 3
    assert [host for host, _ in world.done] == list(hosts)
    assert len(world.kinds("guard.refused")) == 17  # each is told once that it queues, however long
    assert set(world.states().values()) == {"cured"}


def test_a_host_that_stays_ill_keeps_its_place_until_a_person_takes_it_on(tmp_path):
    looks = {("a", "low"): ILL, ("b", "low"): cured_by("fix")}
    extra = "limit: 1 per 1d\n    verify: {within: 4s}"
    world = fleet(tmp_path, hosts=("a", "b"), top="max_unavailable: 1", extra=extra, looks=looks)
    world.go()
    assert world.states() == {"a": "unhealed", "b": "suppressed"}
    unhealed = next(iter(world.state.ended.values()))
    world.again()
    assert world.one("low", "b").reason == (
        f"queued: max_unavailable is 1; recovered in vain: a (`runbook ack {unhealed.id}` frees its place)"
    )
    assert world.done == [("a", "fix")]
    world.ack(unhealed)
    world.again()
    assert world.done == [("a", "fix"), ("b", "fix")]


def test_a_host_that_got_well_by_itself_frees_its_place(tmp_path):
    looks = {("a", "low"): ILL, ("b", "low"): cured_by("fix")}
    world = fleet(tmp_path, hosts=("a", "b"), top="max_unavailable: 1", extra="verify: {within: 4s}", looks=looks)
    world.go()
    world.looks[("a", "low")] = WELL
    world.again()
    assert world.done == [("a", "fix"), ("b", "fix")]


def test_hosts_that_other_runs_have_under_recovery_count(tmp_path):
    world = fleet(tmp_path, top="max_unavailable: 1", hosts=("a", "b"))
    world.words = lambda **more: Told(world.people, elsewhere=frozenset({"c"}))
    world.go()
    assert (world.done, set(guards_told(world))) == ([], {"max_unavailable"})


@pytest.mark.parametrize("order", [("a", "b", "c"), ("c", "b", "a"), ("b", "c", "a")])
def test_who_goes_first_does_not_depend_on_who_answers_first(tmp_path, order):
    world = fleet(tmp_path, hosts=("a", "b", "c"), top="max_unavailable: 1", extra="verify: {within: 4s}")
    world.go(order)
    assert world.done == [("a", "fix")]


# ── impact, order, what is told ──────────────────────────────────────────────────────────────────────────────────────


def test_max_impact_stops_a_recovery(tmp_path):
    world = fleet(tmp_path, settings=Settings(Caps(impact=Impact.LOW)))
    world.go()
    assert (world.done, guards_told(world)) == ([], ["impact"])


def test_the_first_guard_in_designs_order_gives_the_reason_and_every_answer_is_told(tmp_path):
    world = fleet(tmp_path, extra="limit: 1 per 1h\n    cooldown: 30m\n    verify: {within: 4s}")
    world.go()
    world.again()
    [decided] = world.kinds("decided")
    answers = decided.data["guards"]
    assert [answer["guard"] for answer in answers] == [
        *("maintenance", "ack", "mode", "approval", "stale", "lease", "busy", "cooldown", "limit", "flapping"),
        *("max_unavailable", "fault_tolerance", "step limit", "impact"),
    ]
    assert [answer["guard"] for answer in answers if not answer["ok"]] == ["cooldown", "limit"]
    assert guards_told(world) == ["cooldown"]


def test_a_tick_that_changes_nothing_tells_nothing(tmp_path):
    world = fleet(tmp_path, extra="mode: observe")
    world.go()
    before = len(world.told)
    world.now += 30
    world.round()
    assert len(world.told) == before


def test_a_progressive_ladder_goes_past_a_first_rung_that_may_not_be_taken(tmp_path):
    extra = "strategy: progressive\n    verify: {within: 4s}"
    recover = "[{command: [a], name: one, limit: 1 per 1d}, {command: [b], name: two}]"
    world = fleet(tmp_path, cured_by("two"), extra=extra, recover=recover)
    world.go()
    world.over.clear()
    world.again()
    assert world.done == [("a", "one"), ("a", "two"), ("a", "two")]


def test_an_approval_replaces_only_the_mode_guard(tmp_path):
    world = fleet(tmp_path, extra="mode: approve\n    limit: 1 per 1h\n    verify: {within: 4s}")
    world.go()
    world.approve(world.one("low"))
    world.again()
    assert world.done == [("a", "fix")]
    world.again()
    world.approve(world.one("low"))
    world.again()
    assert world.done == [("a", "fix")]
    assert world.one("low").reason.startswith("limit reached")


def test_steps_of_cured_and_unhealed_stand_under_max_impact_too(tmp_path):
    extra = "verify: {within: 4s}\n    unhealed: [{command: [page], name: page}]"
    recover = "- {notify: hm, name: fix}"
    world = fleet(tmp_path, extra=extra, recover=recover, settings=Settings(Caps(impact=Impact.NONE)))
    world.go()
    assert (world.done, world.notified) == ([], ["hm"])
    assert "page failed: it is disruptive, --max-impact is none" in world.one("low").reason


@pytest.mark.parametrize(("mode", "runs"), [("auto", True), ("approve", False), (None, False)])
def test_a_destructive_step_of_unhealed_runs_where_its_detector_says_auto(tmp_path, mode, runs):
    word = f"mode: {mode}\n    " if mode else ""
    extra = f"{word}verify: {{within: 4s}}\n    unhealed: [{{shell: wipe, name: wipe}}, {{notify: stays down}}]"
    world = fleet(tmp_path, extra=extra)
    world.go()
    if mode == "approve":
        world.approve(world.one("low"))
        world.again()
    assert world.done == [("a", "fix"), *([("a", "wipe")] if runs else [])]
    assert ("it is destructive; write `mode: auto`" in world.one("low").reason) is not runs
    assert len(world.notified) == 1


def test_max_mode_observe_observes(tmp_path):
    world = fleet(tmp_path, settings=Settings(Caps(mode=Mode.OBSERVE)), acts={"fix": failed()})
    world.go()
    assert (world.done, world.states()) == ([], {"a": "observed"})


# ── hosts and subjects that are gone ─────────────────────────────────────────────────────────────────────────────────


def test_a_host_that_is_lost_while_it_is_verified_ends_unverified(tmp_path):
    world = fleet(tmp_path, extra="verify: {within: 20s}")
    world.go(wait=5.0)
    really = world.perform
    world.perform = lambda command: (
        world.later(0.0, Unreachable(command.host, "no route")) if isinstance(command, LookAt) else really(command)
    )
    world.settle()
    assert world.states() == {"a": "unverified"}


def test_a_host_that_is_lost_keeps_the_others_from_nothing(tmp_path):
    world = fleet(tmp_path, cured_by("fix"), hosts=("a", "b"), top="max_unavailable: 1")
    world.put(world.words())
    world.put(Recover())
    world.put(Asked(frozenset("ab")))
    world.perform(LookAt("b", ("low",)))
    world.settle(0.0)
    assert world.done == []
    world.put(Unreachable("a", "no route"))
    world.settle()
    assert (world.done, world.states()) == ([("b", "fix")], {"b": "cured"})


def test_a_parked_recovery_whose_subject_is_gone_is_over(tmp_path):
    extra = "strategy: progressive\n    verify: {within: 4s}"
    recover = "[{command: [a], name: one}, {shell: {script: echo}, name: two}]"
    gpu = lambda *names: seen(*[{"subject": name, "memory_available": 1} for name in names])  # noqa: E731
    world = fleet(tmp_path, gpu("0", "1"), extra=extra, recover=recover)
    world.go()
    assert {each.state.value for each in world.incidents()} == {"waiting"}
    world.looks["low"] = gpu("1")
    world.again()
    assert world.one("low", "a", "0").state.value == "unverified"
    assert [told.subject for told in world.kinds("recovery.ended")] == ["0"]
