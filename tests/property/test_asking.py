"""Whatever was asked before and however late it is answered, the agent looks with the states that the controller meant."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from runbook.engine.fleet.asking import Asking
from runbook.engine.fleet.messages import Spec
from runbook.modules.states import Forms, States
from runbook.modules.wire import Raw

NAMES = ("a", "b", "c")
STATES = st.sampled_from([{}, {"n": 1}, {"n": 2}])
ASKED = st.tuples(
    st.just("ask"),
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True),
    st.sampled_from(["last", "last", "last", "none", "other"]),
    st.sampled_from([5.0, 5.0, 5.0, 6.0]),
)
ANSWERED = st.tuples(
    st.just("answer"),
    st.integers(0, 5),
    st.lists(st.tuples(st.sampled_from(["raw", "raw", "same", "letter", "unknown"]), STATES), min_size=3, max_size=3),
)


class World:
    """A controller, an agent, and what is on its way."""

    def __init__(self):
        self.asking, self.forms, self.states = Asking(), Forms(), States()
        self.seq = 0
        self.known = {}  # by look, the state that the controller has
        self.open = []

    def ask(self, names, which, deadline):
        self.seq += 1
        given = {"last": lambda name: self.known.get(name, {}), "none": lambda _: {}, "other": lambda _: {"n": 3}}
        asked = tuple(Spec(name, "health", {}, dict(given[which](name)), deadline) for name in names)
        request = json.loads(json.dumps({**self.asking.request(asked, self.seq), "seq": self.seq}))
        specs = [dict(spec) for spec in self.forms.whole(request)["specs"]]
        self.states.fill(specs)
        meant = [(spec.id, spec.deadline, spec.state) for spec in asked]
        assert [(spec["id"], spec["deadline"], read(spec.get("state"))) for spec in specs] == meant
        self.open.append((self.seq, specs))
        return "form" in request

    def answer(self, which, looks):
        if not self.open:
            return
        seq, specs = self.open.pop(which % len(self.open))
        told = [said(spec, *look) for spec, look in zip(specs, looks, strict=False)]
        self.states.take(seq, specs, [kept for kept, _ in told])
        answer = [each for _, each in told]
        self.asking.answered(seq, answer)
        self.known |= {each["id"]: each["state"] for each in answer if each["status"] == "seen"}


def read(state):
    return json.loads(state) if isinstance(state, bytes) else state or {}


def said(spec, kind, state):
    """Return what the agent keeps of a look, and what the controller hears."""
    if kind == "unknown":
        return {"status": "unknown"}, {"id": spec["id"], "status": "unknown"}
    if kind == "same":
        return Raw(b"{}", None), {"id": spec["id"], "status": "seen", "state": read(spec.get("state"))}
    heard = {"id": spec["id"], "status": "seen", "state": state}
    return (Raw(b"{}", json.dumps(state).encode()) if kind == "raw" else heard), heard


@settings(max_examples=100, deadline=None)
@given(st.lists(ASKED | ANSWERED, max_size=40))
def test_each_look_is_given_the_state_that_was_meant(happens):
    world = World()
    for what, *how in happens:
        getattr(world, what)(*how)


def test_a_round_that_was_asked_before_is_only_named():
    world = World()
    looks = [("raw", {"n": 1}), ("same", {}), ("letter", {})]
    for number in range(20):
        assert world.ask(NAMES, "last", 5.0) == (number > 0)
        world.answer(0, looks)
