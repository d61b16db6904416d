"""What passes and what does not, how long it is waited for, and how fast it must come."""

import pytest

from runbook.modules.declare import Failed
from runbook.modules.hub.failures import GaveUp, Hindered, asked, of_status
from runbook.modules.hub.patience import Pace, Patience
from runbook.modules.hub.tally import Tally


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_pauses_double_up_to_half_a_minute(clock):
    patience = Patience(1e6, clock)
    assert [patience.pause(Hindered("x"), "f") for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_a_byte_makes_the_next_pause_short_again(clock):
    patience = Patience(1e6, clock)
    for _ in range(5):
        patience.pause(Hindered("x"), "f")
    patience.moved()
    assert patience.pause(Hindered("x"), "f") == 0.5


def test_patience_ends_when_nothing_moved_for_that_long(clock):
    patience = Patience(10, clock)
    clock.now += 9
    patience.moved()
    clock.now += 9
    assert patience.pause(Hindered("x"), "f") == 0.5
    clock.now += 1
    with pytest.raises(GaveUp, match="f: cut; nothing came for 10 s"):
        patience.pause(Hindered("cut"), "f")


def test_a_wait_that_was_asked_for_is_what_is_waited(clock):
    patience = Patience(100, clock)
    assert patience.pause(Hindered("429", 42.0), "f") == 42
    with pytest.raises(GaveUp, match="the hub asks to wait 101 s") as gave_up:
        patience.pause(Hindered("429", 101.0), "f")
    assert gave_up.value.data == {"retry_after": 101.0}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "120"}, 120),
        ({"retry-after": " 7 "}, 7),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "9" * 30}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:30 GMT"}, 30),
        ({"retry-after": "Wed, 21 Oct 2015 07:27:30 GMT"}, 0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:30 GMT", "date": "Wed, 21 Oct 2015 07:28:20 GMT"}, 10),
        ({"retry-after": "Wed, 21 Oct 2115 07:28:30 GMT"}, 7 * 86400),
        ({"ratelimit": '"api";r=0;t=55'}, 55),
        ({"ratelimit": '"api";r=12;t=55'}, None),
        ({"retry-after": "3", "ratelimit": '"pages";r=4;t=9, "resolvers";r=0;t=20'}, 20),
    ],
)
def test_what_a_server_asks_for_is_read_in_every_form(headers, seconds):
    assert asked(headers, now=1445412480.0) == seconds


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 529])
def test_what_may_pass_is_told_from_what_may_not(status):
    assert isinstance(of_status(status, {}, "org/toy", token=False), Hindered)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451])
def test_what_may_not_pass_is_final(status):
    found = of_status(status, {}, "org/toy", token=False)
    assert isinstance(found, Failed)
    assert f"{status} Client Error: org/toy" in str(found)


def test_words_of_a_server_are_kept_short_and_on_one_line():
    said = str(of_status(403, {"X-Error-Message": "a\nb" + "x" * 9000}, "org/toy", token=True))
    assert "a bxxx" in said
    assert len(said) < 500


def test_a_connection_that_trickles_is_given_up(clock):
    pace = Pace(clock)
    for _ in range(59):
        clock.now += 1
        pace.came(10)
    clock.now += 1
    with pytest.raises(Hindered, match=r"the connection stalls \(10 B/s\)"):
        pace.came(10)


def test_a_connection_that_is_slow_is_not(clock):
    pace = Pace(clock)
    for _ in range(300):
        clock.now += 1
        pace.came(2000)


def test_speed_and_what_is_left_are_of_the_last_seconds(clock):
    tally = Tally(10_000_000, 1_000_000, clock)
    for _ in range(10):
        clock.now += 1
        tally.came(100_000)
        tally.said()
    assert tally.said() == "2 MB of 10 MB, 100 kB/s, 1 min left"
    for _ in range(6):
        clock.now += 1
        tally.said()
    assert tally.said() == "2 MB of 10 MB"
    tally.note("waiting")
    assert tally.said() == "2 MB of 10 MB (waiting)"
    assert (tally.advanced, tally.share) == (1_000_000, 0.2)
