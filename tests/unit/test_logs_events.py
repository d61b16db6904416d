"""Tracebacks as they stand in real logs: where they begin, where they end, which line names them."""

import time

import pytest

from runbook.modules.logs.events import Known, Recent, joined
from runbook.modules.logs.match import matcher
from runbook.modules.logs.patterns import Pattern
from runbook.modules.logs.tracebacks import HEADER, TooMuch, Tracebacks, tracebacks
from runbook.modules.logs.unended import LONGEST

PLAIN = """\
started
Traceback (most recent call last):
  File "/srv/train.py", line 7, in <module>
    main()
    ~~~~^^
  [Previous line repeated 990 more times]
torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB
step 1
"""
CHAIN = """\
Traceback (most recent call last):
  File "a.py", line 1, in <module>
    a()
KeyError: 'a'
  which has
lines

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "a.py", line 3, in <module>
    b()
RuntimeError: NCCL error
bye
"""
RANKS = """\
[rank0]: Traceback (most recent call last):
[rank3]: Traceback (most recent call last):
[rank0]:   File "a.py", line 1, in <module>
step 7
[rank3]:   File "a.py", line 1, in <module>
[rank0]: ValueError: of rank 0
[rank3]:     b()
[rank3]: ValueError: of rank 3
done
"""
TIMES = """\
(EngineCore_0 pid=12) ERROR 11-22 01:46:50 [core.py:396] Traceback (most recent call last):
(EngineCore_0 pid=12) ERROR 11-22 01:46:50 [core.py:396]   File "x.py", line 1
(EngineCore_0 pid=12) ERROR 11-22 01:46:51 [core.py:396]     y()
(EngineCore_0 pid=12) ERROR 11-22 01:46:51 [core.py:396] ValueError: no
(EngineCore_0 pid=12) INFO 11-22 01:46:52 [core.py:400] bye
"""
PODS = """\
2026-01-31T12:00:00.000000001Z stderr F Traceback (most recent call last):
2026-01-31T12:00:00.000000002Z stderr F   File "x.py", line 1
2026-01-31T12:00:01.000000003Z stderr F KeyError: 'x'
2026-01-31T12:00:01.000000004Z stderr F bye
"""
LOGGED = """\
2026-01-31 12:00:00,123 ERROR trainer: it failed
Traceback (most recent call last):
  File "x.py", line 1
    y()
KeyError: 'x'
2026-01-31 12:00:00,124 INFO bye
"""
SAID = """\
2026-01-31 12:00:00,123 ERROR Traceback (most recent call last):
  File "x.py", line 1
    y()
KeyError: 'x'
2026-01-31 12:00:00,124 INFO bye
"""
AMONG = """\
Traceback (most recent call last):
  File "x.py", line 1
INFO: 127.0.0.1 - GET /health
    y()
KeyboardInterrupt
bye
"""
GROUP = """\
  + Exception Group Traceback (most recent call last):
  |   File "x.py", line 3, in <module>
  | ExceptionGroup: several (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "y.py", line 1
    | ValueError: 1
    +---------------- 2 ----------------
    | TypeError: 2
    +------------------------------------
bye
"""
HALF = """\
Traceback (most recent call last):
  File "x.py", line 1
"""


def spans(text):
    return [(each.first, each.last, each.final, each.ended) for each in tracebacks(text.splitlines())]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PLAIN, [(1, 6, 6, True)]),
        (CHAIN, [(0, 12, 12, True)]),
        (RANKS, [(0, 5, 5, False), (1, 7, 7, False)]),
        (TIMES, [(0, 3, 3, False)]),
        (PODS, [(0, 2, 2, True)]),
        (LOGGED, [(1, 4, 4, True)]),
        (SAID, [(0, 3, 3, True)]),
        (AMONG, [(0, 4, 4, True)]),
        (GROUP, [(0, 9, None, True)]),
        (HALF, [(0, 1, None, False)]),
        (PLAIN + PLAIN, [(1, 6, 6, True), (9, 14, 14, True)]),
        (
            "Traceback (most recent call last):\nTraceback (most recent call last):\n",
            [(0, 0, None, True), (1, 1, None, False)],
        ),
        ("no such thing", []),
    ],
    ids=lambda value: value.splitlines()[0][:30] if isinstance(value, str) else "",
)
def test_where_a_traceback_begins_ends_and_is_named(text, expected):
    assert spans(text) == expected


def test_lines_of_others_are_not_its_own():
    first, second = tracebacks(RANKS.splitlines())
    assert (sorted(first.own), sorted(second.own)) == ([0, 2, 5], [1, 4, 6, 7])


def records(text, **patterns):
    hits = list(matcher([Pattern(name, regex) for name, regex in patterns.items()], 0).hits(text.encode()))
    return [(one.hit.name, one.hit.index, dict(one.hit.groups)) for one in joined(hits, tracebacks(text.splitlines()))]


def test_lines_of_a_traceback_are_one_record_named_by_its_last_line():
    found = records(PLAIN, any=r"line (?P<at>\d+)", oom=r"allocate (?P<wanted>[\d.]+) GiB", step=r"step \d")
    assert found == [("oom", 6, {"at": 7, "wanted": 2.0}), ("step", 7, {})]


def test_where_the_last_line_matches_nothing_the_first_that_does_names_it():
    assert records(PLAIN, any=r"line (?P<at>\d+)", other="repeated") == [("any", 2, {"at": 7})]


def test_each_rank_has_a_record_of_its_own():
    assert [(name, index) for name, index, _ in records(RANKS, any="ValueError|a.py", step="step")] == [
        ("step", 3),
        ("any", 5),
        ("any", 7),
    ]


def test_many_headers_cost_little():
    text = "\n".join(f"[rank{n}]: Traceback (most recent call last):" for n in range(20_000))
    begun = time.process_time()
    assert len(tracebacks(text.split("\n"))) == 20_000
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    "header",
    [
        "[p{n}] " + "12:00:00 " * 300 + "Traceback (most recent call last):",
        "[p{n}] " + "12:00:00 " * 25 + "Traceback (most recent call last):",
        "{n} " + "x" * 200 + " 12:00:00 Traceback (most recent call last):\n" + "12:00:00 " * 28,
    ],
    ids=["longer than counts", "as long as counts", "among lines of times"],
)
def test_forged_headers_cost_no_more_than_their_length(header):
    lines = "\n".join(header.format(n=n) for n in range(2000)).split("\n")
    begun = time.process_time()
    tracebacks(lines)
    assert time.process_time() - begun < 4


def test_an_endless_traceback_takes_in_nothing_of_what_comes_after_its_bounds():
    text = HALF + "    x\n" * 500 + "BAD 7\n"
    [found] = tracebacks(text.split("\n"))
    assert (len(found.own), found.last, found.ended) == (LONGEST, LONGEST - 1, True)
    assert records(text, bad=r"BAD (?P<n>\d+)") == [("bad", 502, {"n": 7})]


def test_a_traceback_of_wide_lines_is_bounded_as_well():
    [found] = tracebacks((HALF + f"    {'x' * 10_000}\n" * 50).split("\n"))
    assert len(found.own) == 9
    assert found.ended


def test_a_traceback_ends_where_only_others_write():
    [found] = tracebacks(("[rank0]: " + HEADER + ":\n" + "step\n" * 1000).split("\n"))
    assert (found.own, found.ended) == ({0}, True)


def test_a_message_that_quotes_a_traceback_is_no_header():
    assert spans('{"exc": "Traceback (most recent call last):' + "\\n  File x" * 100 + '"}\n  more\n') == []


@pytest.mark.parametrize("text", [PLAIN, CHAIN, RANKS, TIMES, PODS, LOGGED, SAID, AMONG, GROUP])
def test_lines_that_come_one_by_one_are_the_same_tracebacks(text):
    known = Tracebacks()
    for line in text.splitlines():
        known.feed([line])
    assert known.found() == tracebacks(text.splitlines())


def test_what_takes_too_long_is_given_up():
    with pytest.raises(TooMuch):
        Tracebacks().feed([f"[p{n}] {HEADER}:" for n in range(2000)], seconds=0.0)
    with pytest.raises(TooMuch):
        Tracebacks().feed([f"[p{n}] {HEADER}:" for n in range(2000)], until=time.monotonic())


def test_what_waits_is_the_first_line_of_whatever_falls_into_the_one_without_end():
    known = Tracebacks()
    known.feed(f"x\n[a] {HEADER}:\n[b] {HEADER}:\n[a]   f\n[a] KeyError: 1\n[a] bye\n[b]   f".split("\n"))
    assert known.within
    assert known.waiting(over=True) == 1


KILL = [
    Pattern("kill", "Killed", event="oom"),
    Pattern("context", "oom-kill", event="oom"),
    Pattern("begun", "invoked", event="oom"),
]


def test_of_an_events_hits_the_pattern_that_comes_first_names_it():
    known = Known(KILL)
    begun, killed = next(matcher(KILL, 0).hits(b"invoked")), next(matcher(KILL, 0).hits(b"Killed"))
    assert known.foremost(begun, killed) is known.foremost(killed, begun) is killed


def test_an_event_goes_on_for_so_many_lines_or_so_much_time():
    recent = Recent(None, 0.0)
    recent.begin("oom", "begun", 0, None, 7, 0.0)
    assert recent.take("oom", "context", 120, None) == (True, 7)
    assert recent.take("oom", "kill", 241, None) == (False, None)
    recent.begin("oom", "begun", 300, 1000.0, 8, 0.0)
    assert recent.take("oom", "context", 99_999, 1010.0) == (True, 8)
    assert recent.take("oom", "kill", 100_000, 1021.0) == (False, None)


def test_a_second_hit_of_one_pattern_begins_another_event():
    recent = Recent(None, 0.0)
    recent.begin("oom", "kill", 0, None, 0, 0.0)
    assert recent.take("oom", "kill", 1, None) == (False, None)


def test_an_event_goes_on_in_the_next_look_but_not_for_long():
    recent = Recent(None, 1000.0)
    recent.begin("oom", "begun", 10, None, 0, 1000.0)
    kept = recent.keep(50)
    assert Recent(kept, 1005.0).take("oom", "kill", 1, None) == (True, None)
    assert Recent(kept, 1021.0).take("oom", "kill", 1, None) == (False, None)
    assert recent.keep(131) is None
