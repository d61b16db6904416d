"""The outcome does not depend on the order in which hosts answer."""

from __future__ import annotations

import re
import tempfile
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.fleet import Fleet, done
from tests.unit.test_recover_cascades import SIGNS, TEXT, lines
from tests.unit.test_recover_joins import TEXT as JOINED
from tests.unit.test_recover_joins import jobs
from tests.unit.world import failed, seen

HOSTS = ("a", "b", "c", "d")
STATES = """
name: t
max_unavailable: {most}
detectors:
  - {{name: low, health: , when: memory_available < 2, limit: 2 per 1h, verify: {{within: 4s}}, recover: [{{command: [fix], name: fix}}]}}
  - {{name: none, health: , when: memory_available < 1, limit: 1 per 1h, verify: {{within: 4s}}, recover: [{{command: [fix], name: more}}]}}
"""
LOOKS = st.sampled_from([0, 1, 5])
SIGHTS = st.lists(
    st.tuples(st.sampled_from(["cuda.oom", "nccl.watchdog", "torch.child_failed", "kmsg.xid"]), st.integers(1, 300)),
    max_size=3,
)


def told(world: Fleet) -> object:
    """What came of it, without the numbers and names that a run gives its incidents."""
    names = {each.id: each.key for each in world.incidents()}

    def state(each):
        reason = re.sub(r"\b[0-9a-f]{8}\b", "ID", each.reason)
        return (each.key, each.state.value, reason, names.get(each.root), each.opened)

    return sorted(map(state, world.incidents())), sorted(world.done)


def outcomes(text, looks, order, passes=2, **more):
    with tempfile.TemporaryDirectory() as place:
        world = Fleet(Path(place), text, hosts=HOSTS, looks=looks(), **more)
        world.go(order)
        found = [told(world)]
        for _ in range(passes - 1):
            world.again(order=order)
            found.append(told(world))
        return found


@settings(max_examples=40, deadline=None, database=None)
@given(
    order=st.permutations(HOSTS),
    levels=st.tuples(*[LOOKS] * 4),
    most=st.sampled_from([1, 2, 4]),
    works=st.tuples(*[st.booleans()] * 4),
)
def test_states_of_hosts(order, levels, most, works):
    def looks():
        level = dict(zip(HOSTS, levels, strict=True))
        helps = dict(zip(HOSTS, works, strict=True))

        def look(world, host):
            well = helps[host] and any(place == host for place, _ in world.over)
            return seen({"memory_available": 5 if well else level[host]})

        return {"low": look, "none": look}

    acts = {("b", "fix"): failed(), "fix": done(3.0)}
    text = STATES.format(most=most)
    assert outcomes(text, looks, order, acts=acts) == outcomes(text, looks, HOSTS, acts=acts)


@settings(max_examples=60, deadline=None, database=None)
@given(order=st.permutations(HOSTS), sights=st.tuples(*[SIGHTS] * 4), kernel=st.tuples(*[SIGHTS] * 4))
def test_roots_and_cascades(order, sights, kernel):
    def looks():
        found = {}
        for host, rows, more in zip(HOSTS, sights, kernel, strict=True):
            for name, listed in (("crash", rows), ("gpu", more)):
                left = [replace(lines(*listed), state={})]
                found[host, name] = lambda world, _, left=left: left.pop() if left else seen()
        return found

    assert outcomes(TEXT, looks, order, signs=SIGNS) == outcomes(TEXT, looks, HOSTS, signs=SIGNS)


@settings(max_examples=40, deadline=None, database=None)
@given(order=st.permutations(HOSTS), values=st.tuples(*[st.tuples(LOOKS, LOOKS)] * 4))
def test_jobs_across_hosts(order, values):
    def looks():
        found = {}
        for host, (stalled, idle) in zip(HOSTS, values, strict=True):
            found |= {(host, "stalled"): jobs(j7=stalled), (host, "idle"): jobs(j7=idle)}
        return found

    text = JOINED.format(word="all", extra="").replace(", name: job", "")
    assert outcomes(text, looks, order) == outcomes(text, looks, HOSTS)
