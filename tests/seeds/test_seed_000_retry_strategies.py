"""Seed 000: the four retry strategies, by the times at which an operation that fails is tried again."""

from __future__ import annotations

import itertools

import pytest

BOOK = """
name: fetch
operations:
  - name: fetch
    command: [fetch]
    timeout: 1m
    retry: {{strategy: {strategy}, attempts: 7, base: 1s, max: {most}}}
"""
CASE = """
runbook: played.yaml
cases:
  - name: it fails six times
    lasts: 10m
    happens: [{operations: {fetch: {fails: "no", takes: 0s, times: 6}}}]
    expect: {operations: {fetch: {state: succeeded, attempts: 7}}}
"""


def waits(rehearse, strategy, most="1h", book=BOOK, case=CASE):
    (result,) = rehearse(book.format(strategy=strategy, most=most), case)
    begun = [told.at for told in result.played.of("step.begun")]
    return [round(later - earlier) for earlier, later in itertools.pairwise(begun)]


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        pytest.param("immediate", [0, 0, 0, 0, 0, 0], id="1. immediate retry: no delay between attempts"),
        pytest.param("linear", [1, 2, 3, 4, 5, 6], id="2. linear backoff: 1s, 2s, 3s, 4s"),
        pytest.param("exponential", [1, 2, 4, 8, 16, 32], id="3. exponential backoff: 1s, 2s, 4s, 8s, 16s"),
        pytest.param("fibonacci", [1, 1, 2, 3, 5, 8], id="4. fibonacci backoff: 1s, 1s, 2s, 3s, 5s, 8s"),
    ],
)
def test_retry_strategy(rehearse, strategy, expected):
    assert waits(rehearse, strategy) == expected


def test_delays_are_capped(rehearse):
    assert waits(rehearse, "exponential", "6s") == [1, 2, 4, 6, 6, 6]


def test_retry_strategy_customization_of_attempts_strategy_base_and_max_delay(rehearse):
    book = BOOK.replace("attempts: 7, base: 1s", "attempts: 5, base: 2s")
    case = CASE.replace("times: 6", "times: 4").replace("attempts: 7", "attempts: 5")
    assert waits(rehearse, "fibonacci", "120s", book, case) == [2, 2, 4, 6]


def test_custom_recovery_action(rehearse):
    book = """
    name: own
    operations: [{name: serve, command: [serve], timeout: 1m, retry: {attempts: 2}}]
    detectors:
      - name: stale lock
        error: lock is held
        recover: [{name: custom cleanup, command: [my-cleanup]}]
    """
    case = """
    runbook: played.yaml
    cases:
      - name: a recovery of one's own
        happens: [{operations: {serve: {fails: lock is held, times: 1}}}]
        expect: {steps: [serve, custom cleanup, serve], incidents: [{detector: stale lock, state: cured}]}
    """
    assert rehearse(book, case)
