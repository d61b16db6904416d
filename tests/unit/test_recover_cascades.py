"""Root and cascade across detectors and hosts: one fault, one incident, one action, where it began."""

from itertools import permutations

import pytest

from runbook.engine.recover.state import Settings
from tests.unit.fleet import Fleet, sign
from tests.unit.world import seen

OOM = sign("cuda.oom", causes=("nccl.*", "torch.*"))
XID = sign("kmsg.xid", causes=("cuda.*", "nccl.*"), scope="kernel", category="hardware")
WATCHDOG = sign("nccl.watchdog", "cascade", causes=("torch.*",), category="timeout")
CHILD = sign("torch.child_failed", "cascade")
HINT = sign("cuda.hint", "advice")
SIGNS = (OOM, XID, WATCHDOG, CHILD, HINT)
ROLES = {each.id: each.role for each in SIGNS}

TEXT = """
name: t
detectors:
  - name: crash
    log: {paths: /x.log, patterns: {a: b}}
    verify: {for: 10s, within: 60s}
    recover: [{command: [restart], name: restart}]
  - name: gpu
    log: {paths: /k.log, patterns: {a: b}}
    verify: {for: 10s, within: 60s}
    recover: [{command: [reset], name: reset}]
"""
NOW = 1_000_000.0


def lines(*rows, path="/x.log"):
    """(signature, seconds before now) in order."""
    return seen(*[
        {"signature": name, "role": ROLES[name], "time": NOW - ago, "line_no": number, "path": path, "line": name,
         "gpu": None, "job": None}
        for number, (name, ago) in enumerate(rows, 1)
    ])  # fmt: skip


def once(look):
    """Events come up once."""
    left = [look]
    return lambda world, host: left.pop() if left else seen()


def fleet(tmp_path, looks, hosts=("a",), text=TEXT, **more) -> Fleet:
    scripts = {key: once(look) for key, look in looks.items()}
    return Fleet(tmp_path, text, hosts=hosts, looks={"crash": seen(), "gpu": seen(), **scripts}, signs=SIGNS, **more)


def test_64_ranks_on_8_hosts_crash_in_cascade_and_one_host_is_acted_on(tmp_path):
    hosts = [f"n{number}" for number in range(8)]
    looks = {}
    for host in hosts:
        rows = [("nccl.watchdog", 10.0 - 0.1 * rank) for rank in range(8)] + [("torch.child_failed", 5.0)] * 8
        looks[(host, "crash")] = lines(*([("cuda.oom", 12.0), *rows] if host == "n5" else rows))
    world = fleet(tmp_path, looks, hosts)
    world.go()
    assert world.done == [("n5", "restart")]
    assert world.states() == dict.fromkeys(hosts, "cured")
    [root] = [each for each in world.incidents() if not each.root]
    assert root.host == "n5"
    assert {(each["host"], each["signature"]) for each in root.folded if each["id"]} == {
        (host, name) for host in hosts if host != "n5" for name in ("nccl.watchdog", "torch.child_failed")
    }
    assert sum(each["count"] for each in root.folded) == 8 * 16


@pytest.mark.parametrize("order", list(permutations("abc")))
def test_the_root_is_found_whichever_host_answers_first(tmp_path, order):
    looks = {("a", "crash"): lines(("nccl.watchdog", 8)), ("b", "crash"): lines(("torch.child_failed", 7)),
             ("c", "crash"): lines(("cuda.oom", 9))}  # fmt: skip
    world = fleet(tmp_path, looks, "abc")
    world.go(order)
    assert world.done == [("c", "restart")]
    [root] = [each for each in world.incidents() if not each.root]
    assert root.host == "c"


def test_what_another_detector_saw_is_the_root_if_the_catalogue_says_so(tmp_path):
    looks = {"crash": lines(("cuda.oom", 8), ("nccl.watchdog", 7)), "gpu": lines(("kmsg.xid", 9), path="/k.log")}
    world = fleet(tmp_path, looks)
    world.go()
    assert world.done == [("a", "reset")]
    assert world.one("crash").reason.startswith("with `gpu` on a")
    [folded] = world.kinds("incident.folded")
    assert (folded.detector, folded.data["root_detector"]) == ("crash", "gpu")


def test_an_incident_opens_with_its_root_though_a_consequence_was_printed_first(tmp_path):
    world = fleet(tmp_path, {"crash": lines(("torch.child_failed", 8), ("cuda.oom", 7.9))})
    world.go()
    incident = world.one("crash")
    assert incident.fields["signature"] == "cuda.oom"
    assert [(each["signature"], each["id"]) for each in incident.folded] == [("torch.child_failed", "")]


@pytest.mark.parametrize("ranks", [3, 60])
def test_of_what_can_be_roots_an_incident_opens_with_the_one_that_the_others_follow_from(tmp_path, ranks):
    hang = sign("nccl.hang", causes=("torch.*",))
    oom = sign("cuda.oom", causes=("nccl.*", "torch.*"))
    told = [(f"/r{rank}.log", each) for rank in range(ranks) for each in ("nccl.hang", "torch.child_failed")]
    look = seen(*[
        {"signature": name, "role": "root" if name in ("nccl.hang", "cuda.oom") else "cascade", "time": NOW - ago,
         "line_no": 1, "path": path, "line": name, "gpu": None, "job": None}
        for (path, name), ago in [*((each, 8.0) for each in told), (("/last.log", "cuda.oom"), 9.0)]
    ])  # fmt: skip
    world = Fleet(tmp_path, TEXT, looks={"gpu": seen(), "crash": once(look)}, signs=(hang, oom, CHILD))
    world.go()
    incident = world.one("crash")
    assert (incident.fields["signature"], incident.fields["path"]) == ("cuda.oom", "/last.log")
    assert len(incident.sights) == min(2 * ranks + 1, 100)
    assert world.kinds("incident.opened")[0].data["fields"] == incident.fields


def test_roots_on_two_hosts_are_two_faults(tmp_path):
    looks = {(host, "gpu"): lines(("kmsg.xid", 9)) for host in "ab"}
    world = fleet(tmp_path, looks, "ab")
    world.go()
    assert world.done == [("a", "reset"), ("b", "reset")]


def test_a_cascade_without_a_root_waits_two_minutes_for_it_and_is_then_an_incident_itself(tmp_path):
    world = fleet(tmp_path, {"crash": lines(("nccl.watchdog", 20))})
    world.go()
    assert world.done == []
    assert world.one("crash").reason == (
        "only consequences are seen; waits for what they follow from until 1970-01-12 13:48:20 UTC"
    )
    world.again(after=60)
    assert world.done == []
    world.again(after=41)
    assert world.done == [("a", "restart")]


def test_a_root_that_is_heard_of_later_takes_the_cascade_in(tmp_path):
    world = fleet(tmp_path, {("a", "crash"): lines(("nccl.watchdog", 20))}, "ab")
    world.go()
    world.looks["b", "crash"] = once(lines(("cuda.oom", 22)))
    world.again(after=60)
    assert world.done == [("b", "restart")]
    assert world.states() == {"a": "cured", "b": "cured"}


def test_a_cascade_that_comes_when_its_root_is_cured_already_ends_with_it(tmp_path):
    world = fleet(tmp_path, {("b", "crash"): lines(("cuda.oom", 22))}, "ab")
    world.go()
    assert world.states() == {"b": "cured"}
    world.looks["a", "crash"] = once(lines(("nccl.watchdog", 20)))
    world.again(after=30)
    assert (world.done, world.states()) == ([("b", "restart")], {"a": "cured"})


def test_cascades_without_a_root_are_one_incident_too(tmp_path):
    looks = {(host, "crash"): lines(("nccl.watchdog", 200), ("torch.child_failed", 199)) for host in "abc"}
    world = fleet(tmp_path, looks, "abc")
    world.go()
    assert len(world.done) == 1
    assert set(world.states().values()) == {"cured"}


def test_advice_is_evidence_of_nothing(tmp_path):
    world = fleet(tmp_path, {"crash": lines(("cuda.hint", 5), ("cuda.hint", 4))})
    world.go()
    assert world.incidents() == []


def test_a_root_that_nobody_can_do_anything_about_leads_nothing_that_has_a_recovery(tmp_path):
    text = TEXT.replace("    recover: [{command: [reset], name: reset}]\n", "").replace(
        "  - name: gpu\n    log: {paths: /k.log, patterns: {a: b}}\n    verify: {for: 10s, within: 60s}\n",
        "  - name: gpu\n    log: {paths: /k.log, patterns: {a: b}}\n",
    )
    looks = {"crash": lines(("nccl.watchdog", 200)), "gpu": lines(("kmsg.xid", 201), path="/k.log")}
    world = fleet(tmp_path, looks, text=text)
    world.go()
    assert world.done == [("a", "restart")]


def test_while_a_log_is_behind_the_root_may_yet_be_read(tmp_path):
    from dataclasses import replace

    behind = replace(lines(("nccl.watchdog", 200)), state={"behind": 5000})
    answers = [lines(("cuda.oom", 201)), behind]
    world = Fleet(
        tmp_path,
        TEXT,
        hosts=("a",),
        looks={"crash": lambda w, h: answers.pop() if answers else seen(), "gpu": seen()},
        signs=SIGNS,
    )
    world.go()
    assert world.done == [("a", "restart")]
    assert {each["signature"] for each in world.one("crash").sights} == {"cuda.oom", "nccl.watchdog"}


def test_in_watch_events_settle_for_ten_seconds(tmp_path):
    world = fleet(tmp_path, {("a", "crash"): lines(("nccl.watchdog", 1))}, "ab", settings=Settings(settle=10.0))
    world.go(wait=5.0)
    world.looks["b", "crash"] = once(lines(("cuda.oom", 2)))
    world.round()
    assert world.done == []
    world.settle(5.0)
    world.settle(6.0)
    assert world.done == [("b", "restart")]


def test_ten_thousand_events_in_a_second_are_one_incident_and_one_recovery(tmp_path):
    rows = [("cuda.oom" if number % 2 else "torch.child_failed", 5 - number / 10_000) for number in range(10_000)]
    world = fleet(tmp_path, {"crash": lines(*rows)})
    world.go()
    assert world.done == [("a", "restart")]
    incident = world.one("crash")
    assert (incident.count, len(incident.sights)) == (10_000, 2)


def test_one_jobs_trouble_is_not_anothers(tmp_path):
    def of(job, look):
        from dataclasses import replace

        return replace(look, records=tuple(replace(r, fields={**r.fields, "job": job}) for r in look.records))

    looks = {("a", "crash"): of("7", lines(("cuda.oom", 205))), ("b", "crash"): of("8", lines(("nccl.watchdog", 200)))}
    world = fleet(tmp_path, looks, "ab")
    world.go()
    assert world.done == [("a", "restart"), ("b", "restart")]
