"""What hosts say as JSON: ordinary structures are taken, hostile ones are not there."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.engine.fleet import messages
from runbook.engine.journal import codec
from runbook.engine.model import UNKNOWN
from runbook.modules import values, wire
from runbook.modules.declare import UNSEEN, Record, Unclear
from runbook.modules.formats.structure import DEEPEST, structure
from runbook.modules.frozen import frozen

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["$unseen", "$number", "$$unseen", "$", "a"]), inner)
    ),
)


@frozen
class Answer(Record):
    url: str
    json: Any
    size: Any = UNSEEN


def travelled(json_value):
    answer = {"id": "x", "status": "seen", "records": [values.travelling(Answer("u", json_value), "url")], "state": {}}
    (message,) = wire.Reader().feed(wire.encode({"seq": 1, "looks": [answer]}))
    return messages.looks(message)["x"].records[0]


def nested(levels):
    return '{"a":' * levels + "1" + "}" * levels


@pytest.mark.parametrize("levels", [1, DEEPEST - 1, DEEPEST])
def test_as_many_levels_as_travel_are_taken(levels):
    found = structure(nested(levels))
    assert found == json.loads(nested(levels))
    assert codec.load(codec.dump(travelled(found).fields["json"])) == found


@pytest.mark.parametrize("levels", [DEEPEST + 1, 900, 970, 100_000])
@pytest.mark.parametrize("brackets", [('{"a":', "}"), ("[", "]")])
def test_more_levels_are_no_structure(levels, brackets):
    begin, end = brackets
    assert structure(begin * levels + "1" + end * levels) is None


@pytest.mark.parametrize("text", ["", "3", "null", '"x"', "{", "[1,]", "[" + "9" * 5000 + "]", "[" + "9" * 1001 + "]"])
def test_what_is_no_mapping_or_list_or_cannot_be_read_everywhere_is_no_structure(text):
    assert structure(text) is None


def test_a_field_that_is_too_deep_makes_the_look_unclear():
    deep = []
    for _ in range(DEEPEST):
        deep = [deep]
    with pytest.raises(Unclear, match="`json` is nested more than 64 levels deep"):
        values.travelling(Answer("u", deep), "url")


@given(JSON)
def test_whatever_a_host_says_arrives_and_comes_back_from_the_journal_as_it_said_it(said):
    record = travelled(said)
    assert record.fields == {"url": "u", "json": said, "size": UNKNOWN}
    assert codec.load(codec.dump(record.fields)) == record.fields


def test_a_body_that_is_our_own_mark_is_not_unknown():
    record = travelled(structure('{"$unseen": true}'))
    assert record.fields["json"] == {"$unseen": True}
    assert record.fields["size"] is UNKNOWN
