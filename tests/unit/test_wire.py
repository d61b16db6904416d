import enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.modules import wire
from runbook.modules.wire import Junk, Reader


class Colour(enum.Enum):
    RED = "red"


@given(st.lists(st.dictionaries(st.text(), st.text() | st.integers() | st.none()), max_size=5), st.integers(1, 9))
def test_frames_come_out_as_they_went_in_however_they_are_cut(messages, step):
    stream = b"".join(wire.encode(message) for message in messages)
    reader, arrived = Reader(), []
    for start in range(0, len(stream), step):
        arrived += reader.feed(stream[start : start + step])
    assert arrived == messages
    assert not reader.within


def test_a_name_that_is_not_utf8_survives_the_way():
    name = b"\xff".decode("utf-8", "surrogateescape")
    assert Reader().feed(wire.encode({"path": name})) == [{"path": name}]


def test_enums_bytes_and_tuples_travel_as_what_json_has():
    (message,) = Reader().feed(wire.encode({"a": Colour.RED, "b": b"x\xff", "c": (1, 2), "d": {3}}))
    assert message == {"a": "red", "b": "x\ufffd", "c": [1, 2], "d": [3]}


def test_what_json_cannot_say_is_an_error_that_names_the_type():
    with pytest.raises(TypeError, match="a object can't travel"):
        wire.encode({"a": object()})


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "a frame that says it has"),
        (wire.frame(b"not json"), "no JSON"),
        (wire.frame(b"[1]"), "no JSON object"),
        (wire.frame(b"[" * 100_000), "no JSON"),
        (wire.frame(b"\xff\xff"), "no JSON"),
    ],
)
def test_junk_is_told_as_such(data, reason):
    with pytest.raises(Junk, match=reason):
        Reader().feed(data)


def test_a_message_over_the_limit_is_not_sent(monkeypatch):
    monkeypatch.setattr(wire, "LARGEST", 100)
    with pytest.raises(Junk, match="more than"):
        wire.encode({"a": "x" * 200})


def test_a_message_nested_too_deeply_is_not_sent():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(Junk, match="nested too deeply"):
        wire.encode({"a": deep})


def test_an_answer_that_cannot_be_read_still_bears_its_number_and_hides_no_other():
    stream = wire.frame(b'{"seq":7,"looks":' + b"[" * 100_000) + wire.encode({"seq": 8})
    unreadable, next_one = Reader().feed(stream)
    assert unreadable["seq"] == 7
    assert unreadable["unreadable"]
    assert next_one == {"seq": 8}
