"""Operations on real servers, files and processes: pools, breakers, failover, majorities, undoing, and a power cut."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

ASK = """
import json, sys, urllib.request
port = json.load(open(sys.argv[1]))["port"] if sys.argv[1].endswith(".json") else sys.argv[1]
try:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=0.4) as answer:
        print(answer.read().decode())
except OSError as error:
    sys.exit(f"{port}: {error}")
"""


class Server:
    """A server that says something, after a while; stopped, it is as dead as any."""

    def __init__(self, says: str, delay: float = 0.0) -> None:
        self.says, self.asked = says, 0
        outer = self
        over = self._over = threading.Event()

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked += 1
                over.wait(delay)
                body = outer.says.encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(OSError):  # it may not have waited for us
                    self.wfile.write(body)

            def log_message(self, *_):
                """A test's output is its own."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


@pytest.fixture
def servers():
    made: list[Server] = []

    def make(*says: str, delays=()):
        made.extend(Server(text, delay) for text, delay in zip(says, [*delays, *[0.0] * len(says)], strict=False))
        return made[-len(says) :]

    yield make
    for one in made:
        one.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


POOL = """
name: pooled
components: {{endpoints: {{breaker: {{failures: 2, successes: 1, timeout: 1h}}}}}}
operations:
  - name: ask
    pool: endpoints
    command: ["{python}", "{home}/ask.py", "{{{{ member.port }}}}"]
    timeout: 20s
    {extra}
pools:
  endpoints: {{members: [{{name: dead, port: {dead}}}, {{name: slow, port: {slow}}}, {{name: well, port: {well}}}]}}
"""


def pool(cli, dead: int, slow: int, well: int, extra: str = "") -> object:
    cli.write("ask.py", ASK)
    text = POOL.format(home=cli.home, python=sys.executable, dead=dead, slow=slow, well=well, extra=extra)
    return cli.write("pooled.yaml", text)


def asked(ran) -> dict[str, object]:
    return ran.host["operations"][0]


def test_of_a_dead_a_slow_and_a_well_server_the_well_one_answers_and_is_asked_first_from_then_on(cli, servers):
    slow, well = servers("late", "fine", delays=[3.0])
    book = pool(cli, free_port(), slow.port, well.port)
    first = cli.json("apply", book)
    assert (first.exit_code, asked(first)["state"], asked(first)["member"]) == (0, "succeeded", "well"), first.out
    assert asked(first)["attempts"] == 3
    again = cli.json("apply", book)
    assert (asked(again)["attempts"], asked(again)["member"]) == (1, "well")
    assert slow.asked == 1
    shown = cli("apply", book)
    assert "by well" in shown.out


def test_an_open_breaker_is_told_and_survives_the_process(cli, servers):
    (well,) = servers("fine")
    book = pool(cli, free_port(), free_port(), well.port, "prefer: member.name != 'well'")
    for _ in range(2):
        assert asked(cli.json("apply", book))["attempts"] == 3
    third = cli.json("apply", book)
    assert (asked(third)["attempts"], asked(third)["member"]) == (1, "well")
    assert [each["component"] for each in asked(third)["refused"]] == ["endpoints.dead", "endpoints.slow"]
    assert all(each["until"] > time.time() + 3000 for each in asked(third)["refused"])
    well.stop()
    for _ in range(2):
        cli.json("apply", book)
    last = cli.json("apply", book)
    assert (last.exit_code, asked(last)["state"], asked(last)["attempts"]) == (2, "failed", 0)
    assert "the breaker of `endpoints.well` is open after 2 failures in a row" in asked(last)["error"]
    assert "is open after 2 failures" in cli("apply", book).out
    reset = cli("reset", "endpoints.well")
    assert reset.exit_code == 0, reset.err
    assert asked(cli.json("apply", book))["attempts"] == 1


def test_the_majority_of_three_servers_counts(cli, servers):
    a, b, liar = servers('{"n": 1, "m": 2}', '{"m": 2, "n": 1}', '{"n": 3}')
    book = pool(cli, a.port, b.port, liar.port, "redundancy: 3")
    ran = cli.json("apply", book)
    assert (ran.exit_code, asked(ran)["member"], asked(ran)["attempts"]) == (0, "dead, slow", 1), ran.out
    assert (a.asked, b.asked, liar.asked) == (1, 1, 1)
    b.says = "5"
    ran = cli.json("apply", book)
    assert (ran.exit_code, asked(ran)["state"]) == (2, "failed")
    assert asked(ran)["error"].startswith("no majority: 2 of 3 have to answer the same; ")
    assert all(said in asked(ran)["error"] for said in ('{"n": 1, "m": 2}', "slow said 5", '{"n": 3}'))
    text = cli("apply", book)
    assert "no majority" in text.out


FAILOVER = """
name: serving
writable: ["{home}/run"]
detectors:
  - name: server down
    command: ["{python}", "{home}/ask.py", "{home}/run/active.json"]
    when: exit_code != 0
    limit: 9 per 1h
    recover: [{{failover: {{pool: endpoints}}}}]
    verify: {{within: 10s}}
pools:
  endpoints:
    members: [{{name: a, port: {a}}}, {{name: b, port: {b}}}, {{name: c, port: {c}}}]
    switch:
      - edit_config: {{path: "{home}/run/active.json", set: {{port: "{{{{ to.port }}}}", was: "{{{{ from.name }}}}"}}}}
      - notify: "switched from {{{{ from.name }}}} to {{{{ to.name }}}} for {{{{ incident.detector }}}}"
"""


def test_failover_switches_the_config_to_the_next_server_and_remembers_it(cli, servers):
    a, b, c = servers("a", "b", "c")
    cli.write("ask.py", ASK)
    active = cli.write("run/active.json", json.dumps({"port": a.port}))
    book = cli.write(
        "serving.yaml", FAILOVER.format(home=cli.home, python=sys.executable, a=a.port, b=b.port, c=c.port)
    )
    assert cli.json("apply", book).exit_code == 0
    a.stop()
    check = cli("apply", "--check", book)
    assert "switch endpoints from a to b" in check.out
    assert json.loads(active.read_text())["port"] == a.port
    first = cli.json("apply", book)
    assert (first.exit_code, first.incidents["server down"]["state"]) == (0, "cured"), first.out
    assert json.loads(active.read_text()) == {"port": b.port, "was": "a"}
    steps = first.incidents["server down"]["steps"]
    assert [(step["module"], step["state"]) for step in steps] == [("failover", "done")]
    assert steps[0]["actions"][0]["what"] == "endpoints from a to b"
    b.stop()
    second = cli.json("apply", book)
    assert (second.exit_code, second.incidents["server down"]["state"]) == (0, "cured"), second.out
    assert json.loads(active.read_text()) == {"port": c.port, "was": "b"}


def test_when_all_is_lost_what_was_written_is_undone(cli):
    (cli.home / "run").mkdir()
    before = cli.write("run/a.json", '{"port": 1}\n')
    book = cli.write(
        "undo.yaml",
        f"""
name: undo
writable: ["{cli.home}/run"]
operations:
  - name: tell all
    pool: places
    redundancy: 3
    edit_config: {{path: "{{{{ member.path }}}}", set: {{port: 2}}}}
    rollback: true
    timeout: 20s
    fallback: [{{edit_config: {{path: "{cli.home}/run/missing.json", set: {{port: 2}}}}}}]
pools:
  places:
    members:
      - {{name: a, path: "{cli.home}/run/a.json"}}
      - {{name: b, path: "{cli.home}/elsewhere/b.json"}}
      - {{name: c, path: "{cli.home}/elsewhere/c.json"}}
""",
    )
    ran = cli.json("apply", book)
    assert (ran.exit_code, asked(ran)["state"]) == (2, "failed"), ran.out
    assert before.read_text() == '{"port": 1}\n'
    assert [each["state"] for each in asked(ran)["undone"]] == ["done"]
    before.write_text('{"port": 1}\n')
    assert "undid" in cli("apply", book).out
    assert before.read_text() == '{"port": 1}\n'


# a power cut

CUT = """
name: cut
operations:
  - name: long
    {step}
    register: answer
    timeout: 60s
    fallback: [{{notify: "it has fallen back"}}]
finally: [{{notify: "it said {{{{ answer.output | default('nothing') | trim }}}}"}}]
"""
ONCE = 'shell: {{script: \'echo x >> "$D/ran"; sleep {sleep}; echo done\', env: {{D: "{home}"}}}}'
TWICE = "command: {{argv: [sh, -c, 'echo x >> {home}/ran; sleep {sleep}; echo done'], unless: [test, -e, {home}/no]}}"


def begin(cli, step: str, sleep: float):
    book = cli.write("cut.yaml", CUT.format(step=step.format(home=cli.home, sleep=sleep)))
    engine = subprocess.Popen(
        [sys.executable, "-m", "runbook", "apply", str(book)],
        env=cli.env, cwd=cli.home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    end = time.monotonic() + 60
    while not (cli.home / "ran").exists():
        assert time.monotonic() < end, "it never began"
        time.sleep(0.01)
    return book, engine


def times(cli) -> int:
    return (cli.home / "ran").read_text().count("x")


def descendants(pid: int) -> list[int]:
    found = [pid]
    for each in found:
        done = subprocess.run(["ps", "-o", "pid=", "--ppid", str(each)], capture_output=True, text=True, check=False)
        found += [int(word) for word in done.stdout.split()]
    return found


def test_an_attempt_whose_engine_was_killed_is_awaited_and_its_result_counts(cli):
    book, engine = begin(cli, ONCE, 2)
    engine.kill()
    engine.wait()
    ran = cli.json("apply", book)
    assert (ran.exit_code, asked(ran)["state"], asked(ran)["attempts"]) == (0, "succeeded", 1), ran.out
    assert times(cli) == 1
    assert ran.host["steps"][0]["actions"][0]["what"] == "it said done"


def test_a_lost_attempt_that_may_run_twice_runs_again(cli):
    book, engine = begin(cli, TWICE, 1)
    for pid in descendants(engine.pid):
        os.kill(pid, signal.SIGKILL)
    engine.wait()
    ran = cli.json("apply", book)
    assert (ran.exit_code, asked(ran)["state"], times(cli)) == (0, "succeeded", 2), ran.out


def test_a_lost_attempt_that_must_not_run_twice_waits_for_release(cli):
    book, engine = begin(cli, ONCE, 30)
    for pid in descendants(engine.pid):
        os.kill(pid, signal.SIGKILL)
    engine.wait()
    for _ in range(2):
        ran = cli.json("apply", book)
        assert (ran.exit_code, asked(ran)["state"]) == (2, "interrupted"), ran.out
        assert times(cli) == 1
    book.write_text(book.read_text().replace("sleep 30", "sleep 0"))
    intent = asked(ran)["error"].partition("runbook release ")[2].partition("`")[0]
    assert "interrupted" in cli("apply", book).out
    freed = cli("release", intent)
    assert freed.exit_code == 0, freed.err
    assert f"released {intent} (long on localhost)" in freed.out
    ran = cli.json("apply", book)
    assert (ran.exit_code, asked(ran)["state"], times(cli)) == (0, "succeeded", 2), ran.out
    assert cli("release", intent).exit_code == 1


def test_why_the_recovery_was_refused_is_told_where_its_operation_failed(cli):
    book = cli.write("limited.yaml", """
name: limited
operations: [{name: fetch, command: [sh, -c, "exit 7"], timeout: 5s}]
detectors:
  - name: trouble
    error: {exit_codes: [7]}
    limit: 1 per 1h
    retry: {strategy: immediate, attempts: 2}
    recover: [{wait: 1ms}]
""")  # fmt: skip
    assert cli.json("apply", book).incidents["trouble"]["reason"] == "the operation failed for good"
    reason = cli.json("apply", book).incidents["trouble"]["reason"]
    assert reason.startswith("limit reached: 1 recovery per 1h")
