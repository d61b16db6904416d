"""Whatever JSON a host answers, the controller gets looks and outcomes of the right kinds, and no exception."""

import json

from hypothesis import given
from hypothesis import strategies as st

from runbook.engine.fleet import messages, shapes
from runbook.engine.fleet.ration import Excess, Ration
from runbook.engine.model import Lacking, NotSeen, Outcome, Seen
from runbook.modules import wire

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
ANY = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


def nearly(**fields):
    """Return mappings that have these fields, any of which may be missing or something else."""
    return st.fixed_dictionaries({}, optional={name: good | ANY for name, good in fields.items()})


RECORD = nearly(
    subject=st.text(max_size=5),
    fields=st.dictionaries(st.text(max_size=5), ANY, max_size=3),
    unseen=st.lists(st.text(max_size=5), max_size=2),
)
LOOK = nearly(
    id=st.sampled_from(["a", "b", "c"]),
    status=st.sampled_from(["seen", "absent", "unknown"]),
    records=st.lists(RECORD | ANY, max_size=3),
    state=st.dictionaries(st.text(max_size=5), ANY, max_size=2),
    reason=st.text(max_size=5),
    same=st.booleans(),
    heard=st.booleans() | st.text(max_size=5),
)
RESULT = nearly(
    status=st.sampled_from(["done", "failed", "lost", "planned"]),
    changed=st.booleans(),
    error=st.text(max_size=5),
    output=st.text(max_size=5),
    exit_code=st.none() | st.integers(),
    data=st.dictionaries(st.text(max_size=5), ANY, max_size=2),
    actions=st.lists(nearly(action=st.text(max_size=5), what=st.text(max_size=5)), max_size=2),
    diff=st.text(max_size=5),
    duration=st.floats() | st.integers(),
)
ANSWER = nearly(
    seq=st.integers(0, 3),
    looks=st.lists(LOOK | ANY, max_size=4),
    result=RESULT,
    known=st.sampled_from(["lost", "running", "result"]),
    begun=st.booleans(),
    error=st.text(max_size=5),
    unreadable=st.text(max_size=5),
    progress=st.text(max_size=5),
    listens=st.booleans(),
    stirred=st.lists(st.sampled_from(["a", "b", "c"]) | ANY, max_size=4),
    at=st.floats() | st.integers(),
)


@given(ANSWER)
def test_each_look_that_was_asked_for_is_told_once_and_can_be_stored(answer):
    looks = messages.looks(shapes.looks(answer, {"a": {"n": 1}, "b": {}}))
    assert list(looks) == ["a", "b"]
    heard = messages.heard(shapes.looks(answer, {"a": {"n": 1}, "b": {}}))
    assert all(name in looks and (told is True or isinstance(told, str)) for name, told in heard.items())
    for look in looks.values():
        assert isinstance(look, Seen | NotSeen | Lacking)
        if isinstance(look, Seen):
            assert all(isinstance(record.subject, str) for record in look.records)
            wire.encode({"state": look.state})
            for record in look.records:
                json.dumps(record.fields, default=str).encode()
        else:
            look.reason.encode()


@given(ANSWER)
def test_an_answer_about_a_step_is_an_outcome_that_can_be_stored(answer):
    outcome = messages.outcome(shapes.result(answer))
    assert isinstance(outcome, Outcome)
    for text in (outcome.error, outcome.output, outcome.diff):
        text.encode()
    json.dumps([outcome.data, list(outcome.actions), outcome.exit_code, outcome.duration])


@given(st.sampled_from(["probe", "run", "ask", "hold", "ping"]), st.lists(ANSWER | nearly(seq=ANY), max_size=5))
def test_a_request_is_answered_at_most_once(op, answers):
    ration = Ration()
    ration.asked(1, {"op": op, "specs": [{"id": "a", "probe": "health"}]})
    taken = []
    for answer in answers:
        try:
            seq, shaped = ration.answer(answer)
        except Excess:
            continue
        assert seq == 1
        taken.append("progress" not in shaped)
    assert sum(taken) <= 1
    assert True not in taken[:-1]


@given(st.lists(ANSWER | nearly(seq=ANY), max_size=6))
def test_of_what_is_heard_only_what_was_looked_at_is_told_and_once_from_look_to_look(answers):
    ration, told = Ration(), []
    ration.asked(1, {"op": "listen"})
    ration.asked(2, {"op": "probe", "specs": [{"id": "x", "probe": "log", "listen": "a"}]})
    for answer in answers:
        try:
            _, shaped = ration.answer({**answer, "seq": 1} if answer.get("seq") != 2 else answer)
        except Excess:
            continue
        if "stirred" in shaped:
            assert isinstance(shaped["at"], int | float)
            assert 0 <= shaped["at"] < 1e12
            told += shaped["stirred"]
    assert told in ([], ["a"])
