"""Seed 003 on real requests: three loopback providers that answer 500 and 429, hang, reset, and come back."""

from __future__ import annotations

import json
import time

import pytest
from providers import Provider

KEYS = {"OPENAI_API_KEY": "sk-openai-secret", "ANTHROPIC_API_KEY": "sk-anthropic-secret"}


@pytest.fixture
def ask(runbook):
    """Ask three providers with these faults; the answer is what the pass said."""
    runbook.env |= KEYS

    def go(*providers: Provider, **more: str):
        given = {"patience": "2s", "base": "100ms", **more}
        for name, each in zip(("openai", "anthropic", "local"), providers, strict=True):
            given[name] = each.url
        words = [word for name, value in given.items() for word in ("-e", f"{name}={value}")]
        return runbook.told("apply", "api-autoheal", *words)

    return go


@pytest.fixture(autouse=True)
def stopped():
    """No provider outlives its test."""
    yield
    Provider.stop_all()


def answered(ran):
    return ran.operations["answer a prompt"]


def test_strategy_1_retry_with_exponential_backoff(ask):
    every = [Provider(503, 503), Provider(503, 503), Provider(503, 503)]
    ran = ask(*every, base="300ms")
    assert (answered(ran)["state"], answered(ran)["attempts"]) == ("succeeded", 7)
    assert answered(ran)["duration_s"] >= 0.8 * (0.3 + 0.6)
    assert ran.states == {"api": "cured"}


def test_strategy_2_circuit_breaker_blocks_requests_to_a_failing_service(ask, runbook):
    dead = [Provider(always=500) for _ in range(3)]
    ask(*dead), ask(*dead)
    assert [len(each.asked) for each in dead] == [5, 5, 5]
    ran = ask(*dead)
    assert [len(each.asked) for each in dead] == [5, 5, 5]
    assert answered(ran)["state"] == "failed"
    assert answered(ran)["duration_s"] < 1


BREAKER = """
name: breaker
components: {{api: {{breaker: {{failures: 5, successes: 2, timeout: 3s}}}}}}
operations:
  - name: call
    http_request: {url}
    component: api
    timeout: 5s
"""


def test_breaker_states_closed_open_half_open_closed(runbook):
    api = Provider(*[500] * 5)
    book = runbook.write("breaker.yaml", BREAKER.format(url=api.url))

    def call():
        runbook("apply", book)
        return runbook.told("status").json["components"][0]["breaker"]["position"]

    states = [call() for _ in range(5)]
    assert (states, len(api.asked)) == (["closed"] * 4 + ["open"], 5)
    time.sleep(3)
    assert runbook.told("status").json["components"][0]["breaker"]["position"] == "half-open"
    assert call() == "half-open"
    assert call() == "closed"


def test_strategy_3_fallback_to_the_next_provider(ask):
    ran = ask(Provider(500), Provider((401, {}, None)), Provider())
    assert (answered(ran)["state"], answered(ran)["member"]) == ("succeeded", "local")


def test_strategy_3_fallback_where_the_first_hangs_and_the_second_resets(ask):
    ran = ask(Provider("hang"), Provider("reset"), Provider())
    assert answered(ran)["member"] == "local"
    assert set(ran.states) == {"timeout", "network"}


def test_strategy_4_rollback_restores_the_previous_state(ask, runbook):
    settings = runbook.write("app/provider.json", '{"provider": "local"}')
    application = Provider(always=500)
    ran = ask(Provider(), Provider(), Provider(), settings=str(settings), application=application.url)
    assert ran.operations["tell the application whom to ask"]["state"] == "succeeded"
    assert ran.operations["the application is well with that"]["state"] == "failed"
    assert json.loads(settings.read_text()) == {"provider": "local"}


def test_the_application_is_told_who_answers(ask, runbook):
    settings, application = runbook.write("app/provider.json", '{"provider": "openai"}'), Provider()
    ran = ask(Provider(500), Provider(), Provider(), settings=str(settings), application=application.url)
    assert (ran.exit_code, json.loads(settings.read_text())) == (0, {"provider": "anthropic"})


def test_retry_after_is_waited_for(ask):
    busy = (429, {"Retry-After": "2"}, None)
    ran = ask(Provider(busy), Provider(busy), Provider(busy))
    assert answered(ran)["state"] == "succeeded"
    assert answered(ran)["duration_s"] >= 2


def test_each_provider_gets_its_own_key_and_no_key_is_told(ask, runbook):
    every = [Provider(500), Provider(500), Provider()]
    ran = ask(*every)
    sent = [each.asked[0]["Authorization"] for each in every]
    assert sent == ["Bearer sk-openai-secret", "Bearer sk-anthropic-secret", "Bearer none"]
    assert not any(key in ran.out + runbook("export").out for key in KEYS.values())


def test_component_health_tracking_and_statistics(ask, runbook):
    every = [Provider(500, 500, 500), Provider(), Provider()]
    for _ in range(3):
        ask(*every)
    figures = {each["name"]: each for each in runbook.told("stats").json["components"]}
    assert figures["providers.anthropic"]["attempts"] == 3
    assert figures["providers.openai"]["failures"] == len(every[0].asked)
    assert figures["providers.anthropic"]["mean"] < 2
    courses = {each["name"]: each for each in runbook.told("trends").json["components"]}
    assert (courses["providers.anthropic"]["attempts"], courses["providers.anthropic"]["rate"]) == (3, 1.0)


def test_recovery_statistics_by_category(ask, runbook):
    ask(Provider(500), Provider("reset"), Provider())
    figures = {each["name"]: each for each in runbook.told("stats").json["detectors"]}
    assert {name: (each["incidents"], each["cured"]) for name, each in figures.items()} == {
        "api": (1, 1),
        "network": (1, 1),
    }


def test_circuit_breaker_stuck_open_is_reset_by_hand(ask, runbook):
    dead = [Provider(always=500) for _ in range(3)]
    ask(*dead), ask(*dead)
    before = len(dead[0].asked)
    for each in dead:
        each.always = None
    assert answered(ask(*dead))["state"] == "failed"
    assert len(dead[0].asked) == before
    assert runbook("reset", "providers.openai").exit_code == 0
    assert answered(ask(*dead))["member"] == "openai"
