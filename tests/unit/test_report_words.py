"""Text for people: durations, sizes, values, widths, and characters that a terminal would act on."""

import pytest

from runbook.engine.model import UNKNOWN
from runbook.engine.report import evidence, words


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0s"),
        (0.0002, "1ms"),
        (0.009, "9ms"),
        (0.0994, "99ms"),
        (0.0996, "0.1s"),
        (0.44, "0.4s"),
        (2.0, "2s"),
        (9.94, "9.9s"),
        (9.96, "10s"),
        (59.4, "59s"),
        (59.6, "1m"),
        (252, "4m12s"),
        (3599.7, "1h"),
        (7500, "2h5m"),
        (90000, "1d1h"),
    ],
)
def test_a_duration_reads_as_people_say_it(seconds, shown):
    assert words.duration(seconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1500, "1.5 kB"),
        (12_345_678_901, "12 GB"),
        (999_999, "1 MB"),
        (2e18, "2000 PB"),
        (10**1000, "more than 1e+21 B"),
    ],
)
def test_a_size_reads_as_people_say_it(count, shown):
    assert words.size(count) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü 日本", "plain ü 日本"),
        ("\x1b[31m", r"\x1b[31m"),
        ("a\nb\tc", r"a\nb\tc"),
        ("\x9b2J", r"\x9b2J"),
        ("\u202eexe", r"\u202eexe"),
        ("\u2028", r"\u2028"),
        ("\udcff", r"\udcff"),
        ("\x7f", r"\x7f"),
    ],
)
def test_what_a_terminal_would_act_on_is_spelled_out(text, shown):
    assert words.printable(text) == shown


def test_a_line_is_broken_at_spaces_and_a_long_word_anywhere():
    assert words.wrapped("aaa bbb ccc", 7) == ["aaa bbb", "ccc"]
    assert words.wrapped("aaaaaaaaaa b", 4) == ["aaaa", "aaaa", "aa b"]
    assert words.wrapped("日本日本", 4) == ["日本", "日本"]
    assert words.wrapped("", 10) == [""]


def test_evidence_is_what_the_condition_asks_about_in_its_units():
    fields = {"temperature": 91, "memory_used_percent": 40.25, "power": 300.0, "age": 7500.0, "size": 1_500_000}
    shown = evidence.sentence({"when": "temperature > 85 or memory_used_percent > 95 and size > 1MB", "fields": fields})
    assert shown == "temperature 91 °C, memory used 40.2%, size 1.5 MB"


def test_evidence_of_a_log_is_its_line():
    fields = {"path": "/var/log/x", "line_no": 3, "line": "CUDA out of memory", "time": None}
    assert evidence.sentence({"fields": fields}) == "CUDA out of memory"


def test_a_word_in_quotes_or_behind_a_dot_is_no_field():
    fields = {"state": "failed", "unit": "vllm", "host": "x"}
    assert evidence.sentence({"when": "state == 'unit' and vars.host", "fields": fields}) == "state failed"


def test_values_that_are_missing_or_unknown_have_words():
    fields = {"pid": None, "alive": False, "exit_code": UNKNOWN}
    shown = evidence.sentence({"when": "pid and alive and exit_code", "fields": fields})
    assert shown == "pid none, alive false, exit code unknown"


def test_a_sentence_that_came_along_is_taken_as_it_is():
    assert evidence.sentence({"evidence": "3 of 4\x1b[2J", "fields": {"x": 1}}) == r"3 of 4\x1b[2J"


def test_a_value_of_many_parts_is_shown_as_json():
    fields = {"json": {"temp": 91, "ok": True}, "tags": ["a", None]}
    shown = evidence.sentence({"when": "json.temp > 90 and tags", "fields": fields})
    assert shown == 'json {"temp": 91, "ok": true}, tags ["a", null]'


def test_what_the_members_of_a_correlation_saw_stands_behind_their_names():
    fields = {"disk full": "disk used 97%", "slow": "latency 9s"}
    assert evidence.sentence({"fields": fields}) == "disk full: disk used 97%, slow latency 9s"


def test_a_very_long_value_is_cut():
    assert len(evidence.sentence({"fields": {"line": "x" * 10_000}})) == 200


def test_a_script_is_one_line_in_which_line_ends_are_seen_as_such():
    assert words.script("cd /srv\n./serve &\x1b[2J\n") == "cd /srv ⏎ ./serve &\\x1b[2J"
    assert words.value("script", "a\nb\n") == "a ⏎ b"
