"""The Python face: functions wrapped in a runbook's retry, recovery, breaker, fallback and rollback."""

from __future__ import annotations

import asyncio
import threading

import pytest

from runbook import Engine, HealError, Unavailable, Waiting, heal
from runbook.engine.errors import RunbookInvalid, UserError
from runbook.engine.journal.batch import Batch

RUNBOOK = """
name: api
components: {service: {breaker: {failures: 6, successes: 1, timeout: 1h}}}
operations:
  - name: generate
    call:
    component: service
    retry: {strategy: exponential, attempts: 3, base: 1ms, max: 5ms}
detectors:
  - name: rate limit
    error: '429|rate limit'
    retry: {strategy: linear, attempts: 5, base: 1ms}
  - name: gated
    error: '401'
    retry: false
  - name: cache full
    error: 'No space left'
    recover: [{call: clean_up}]
  - name: dangerous
    error: 'corrupt'
    mode: approve
    recover: [{call: clean_up}]
"""


@pytest.fixture
def make(tmp_path):
    made = []

    def engine(text=RUNBOOK, **options):
        (tmp_path / "api.yaml").write_text(text, encoding="utf-8")
        made.append(Engine(tmp_path / "api.yaml", journal=str(tmp_path / "journal.db"), **options))
        return made[-1]

    yield engine
    for each in made:
        each.close()


class Flaky:
    """Fails so many times, then answers."""

    def __init__(self, times, error=None):
        self.times = times
        self.error = error or RuntimeError("Error code: 429 - rate limit reached")
        self.calls = 0

    def __call__(self, prompt):
        self.calls += 1
        if self.calls <= self.times:
            raise self.error
        return f"answer to {prompt}"


def test_a_function_is_tried_again_by_the_detector_that_matches_its_error(make):
    flaky = Flaky(4)
    assert make().run(flaky, "hello") == "answer to hello"
    assert flaky.calls == 5


def test_its_own_exception_comes_out_with_a_note_of_what_was_tried(make):
    flaky = Flaky(9, ValueError("bad input"))
    with pytest.raises(ValueError, match="bad input") as caught:
        make().run(flaky, "x")
    assert flaky.calls == 3
    assert "`generate` failed after 3 attempts" in caught.value.__notes__[0]


def test_what_trying_again_cannot_help_is_tried_once(make):
    flaky = Flaky(9, PermissionError("401 Client Error"))
    with pytest.raises(PermissionError):
        make().run(flaky, "x")
    assert flaky.calls == 1


def test_a_recovery_calls_the_function_that_was_registered_without_the_calls_arguments(make):
    engine, cleaned = make(), []
    engine.action("clean_up")(lambda: cleaned.append(True))
    flaky = Flaky(1, OSError(28, "No space left on device"))
    assert engine.run(flaky, "x") == "answer to x"
    assert cleaned == [True]
    assert (engine.recoveries().attempts, engine.recoveries().successes) == (1, 1)


def test_a_recovery_that_waits_for_a_person_says_so(make):
    engine = make()
    engine.action("clean_up")(lambda: None)
    with pytest.raises(Waiting, match="waits for approval"):
        engine.run(Flaky(9, ValueError("corrupt")), "x")


def test_fallbacks_get_the_calls_arguments_and_answer_in_its_place(make):
    text = RUNBOOK.replace("    call:\n", "    call:\n    fallback: [{call: worse}, {call: local}]\n", 1)
    engine = make(text)

    @engine.action("worse")
    def worse(prompt):
        raise ConnectionError(prompt)

    @engine.action("local")
    def local(prompt):
        return f"local {prompt}"

    assert engine.run(Flaky(9, ConnectionError("refused")), "hello") == "local hello"


def test_an_open_breaker_refuses_before_the_function_is_called(make):
    engine = make()
    for _ in range(2):
        with pytest.raises(ConnectionError):
            engine.run(Flaky(9, ConnectionError("refused")), "x")
    never = Flaky(0)
    with pytest.raises(Unavailable, match="was not tried"):
        engine.run(never, "x")
    assert never.calls == 0
    again = make()  # another process would see the same: it is in the journal
    with pytest.raises(Unavailable):
        again.run(never, "x")


def test_coroutines_run_in_the_callers_loop_and_do_not_block_it(make):
    engine = make()
    loops, ticks = [], []

    @engine.heal("generate")
    async def generate(prompt):
        loops.append(asyncio.get_running_loop())
        await asyncio.sleep(0.05)
        if len(loops) < 2:
            raise RuntimeError("429")
        return f"async {prompt}"

    async def main():
        async def tick():
            while True:
                ticks.append(1)
                await asyncio.sleep(0.01)

        ticking = asyncio.create_task(tick())
        found = await generate("hello")
        assert await engine.arun(Flaky(1), "in a thread") == "answer to in a thread"
        ticking.cancel()
        return found, asyncio.get_running_loop()

    found, loop = asyncio.run(main())
    assert found == "async hello"
    assert loops == [loop, loop]
    assert len(ticks) > 3


def test_a_coroutine_is_ended_when_its_time_is_over(make):
    text = RUNBOOK.replace("    call:\n", "    call:\n    timeout: 50ms\n", 1)

    async def slow():
        await asyncio.sleep(30)

    with pytest.raises(TimeoutError):
        make(text).run(slow)


def test_threads_share_an_engine(make):
    engine, found = make(), []

    def call(number):
        found.append(engine.run(lambda n: n * 2, number))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(found) == [0, 2, 4, 6, 8, 10, 12, 14]
    assert engine.retries("generate").total_attempts == 8


def test_the_statistics_name_each_attempt(make):
    engine = make()
    engine.run(Flaky(1), "x")
    told = engine.retries("generate")
    assert (told.total_attempts, told.successes, told.failures, told.success_rate) == (2, 1, 1, 0.5)
    assert [(each.attempt, each.success) for each in told.attempts] == [(1, False), (2, True)]
    assert "429" in told.attempts[0].error


def test_a_servers_retry_after_is_waited_for(make):
    engine = make()
    error = RuntimeError("429")
    error.retry_after = 0.2
    heard = []
    engine.on(lambda fact: heard.append(fact.data["delay"]) if fact.kind == "attempt.delayed" else None)
    engine.run(Flaky(1, error), "x")
    assert heard == [pytest.approx(0.2)]


def test_custom_checks_and_actions_heal_in_a_pass(make):
    text = """
    name: queue
    detectors:
      - name: queue is long
        call: depth
        when: not ok or value > 10
        recover: [{call: drain}]
        verify: {every: 50ms, within: 5s}
    """
    engine = make(text)
    depth = [100]
    engine.check("depth")(lambda: depth[0])
    engine.action("drain")(lambda: depth.__setitem__(0, 0))
    document = engine.apply()
    (incident,) = document["runs"][0]["hosts"]["localhost"]["incidents"]
    assert (incident["detector"], incident["state"]) == ("queue is long", "cured")
    assert document["exit_code"] == 0


def test_a_check_that_raises_is_a_record_and_one_that_is_missing_is_unknown(make):
    text = """
    name: queue
    detectors:
      - {name: broken, call: depth, when: not ok}
      - {name: missing, call: nobody, when: not ok}
    """
    engine = make(text)

    @engine.check("depth")
    def depth():
        raise ConnectionError("no queue")

    host = engine.apply()["runs"][0]["hosts"]["localhost"]
    assert [incident["detector"] for incident in host["incidents"]] == ["broken"]
    assert [unknown["detector"] for unknown in host["unknown"]] == ["missing"]


def test_the_decorator_keeps_what_the_function_is(tmp_path):
    (tmp_path / "api.yaml").write_text(RUNBOOK, encoding="utf-8")

    @heal(tmp_path / "api.yaml", operation="generate", journal=str(tmp_path / "j.db"))
    def generate(prompt: str) -> str:
        """Generate."""
        return prompt

    assert (generate.__name__, generate.__doc__, generate("x")) == ("generate", "Generate.", "x")


def test_what_is_wrong_is_said_when_it_is_wrapped(tmp_path, make):
    with pytest.raises(HealError, match="there is no operation `nothing`"):
        make().heal("nothing")
    with pytest.raises(UserError):
        Engine(tmp_path / "nowhere.yaml")
    (tmp_path / "bad.yaml").write_text("name: x\noperations: [{name: a, cal: }]\n", encoding="utf-8")
    with pytest.raises(RunbookInvalid):
        Engine(tmp_path / "bad.yaml")


def test_the_command_line_says_that_only_a_program_can_call_its_functions(tmp_path, make):
    import subprocess
    import sys

    make()
    command = [sys.executable, "-m", "runbook", "apply", "api.yaml", "--journal", str(tmp_path / "other.db")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "only a Python program that uses this runbook can call its functions" in " ".join(done.stdout.split())


def test_a_call_that_is_tried_again_costs_the_journal_one_commit(make, monkeypatch):
    engine = make()
    engine.run(lambda: 1, operation="generate")
    committed = []
    monkeypatch.setattr(Batch, "close", lambda batch, close=Batch.close: (committed.append(1), close(batch)))
    assert engine.run(Flaky(2), "hello", operation="generate")
    assert len(committed) == 1


def test_status_knows_the_components_of_a_runbook_that_only_programs_use(make, tmp_path, cli):
    engine = make()
    for _ in range(6):
        engine.run(lambda: 1, operation="generate")
    engine.close()
    lock = tmp_path / "journal.db.lock"
    lock.unlink()
    (component,) = cli.json("status", "--journal", str(tmp_path / "journal.db")).json["components"]
    assert (component["name"], component["attempts"], component["level"]) == ("service", 6, "healthy")
    assert not lock.exists()
