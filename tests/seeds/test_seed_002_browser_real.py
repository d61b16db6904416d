"""Seed 002 on two real browsers: they are killed, stopped, filled, and their ports taken away."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading

import pytest
from browsers import CHROMIUM, Pool
from command_line import CommandLine, until

pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium"), pytest.mark.slow]
PAGE = "data:text/html,hello"


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    pool = Pool(CommandLine(tmp_path_factory.mktemp("browsers")))
    ran = pool.heal()
    assert (ran.states["first crashed"], ran.states["second crashed"]) == ("cured", "cured"), ran.out
    yield pool
    pool.stop()


@pytest.fixture
def pool(started):
    """Both browsers are well, and the first is the active one; what went before is forgotten."""
    (started.runbook.home / "journal.db").rename(started.runbook.home / f"journal-{os.urandom(4).hex()}.db")
    for rest in started.runbook.home.glob("journal.db-*"):
        rest.unlink()
    (started.root / "active.json").write_text(json.dumps({"name": "first", "port": started.ports["first"]}))
    assert started.heal().exit_code == 0
    return started


def test_failure_category_crash_is_cured_by_restart_and_the_state_comes_back(pool):
    pool.open("first", PAGE)
    pool.run()  # which keeps what is open
    before = pool.pid("first")
    pool.signal("first", signal.SIGKILL)
    until(lambda: not pool.alive("first"))
    ran = pool.heal()
    assert ran.states["first crashed"] == "cured"
    assert ran.steps("first crashed") == ["kill_orphans", "restart_daemon", "reconnect", "command"]
    assert pool.pid("first") != before
    assert PAGE in pool.pages("first")


def test_strategy_reconnect_heals_a_temporary_disconnection_without_a_restart(pool):
    before = pool.pid("first")
    pool.signal("first", signal.SIGSTOP)
    again = threading.Timer(8.0, pool.signal, ("first", signal.SIGCONT))
    again.start()
    ran = pool.heal(patience="60s")
    again.join()
    assert ran.states == {"first does not answer": "cured"}
    assert ran.steps("first does not answer") == ["reconnect", "command"]  # which opens the pages that are not open
    assert pool.pid("first") == before


def test_strategy_progressive_restarts_where_reconnecting_is_in_vain(pool):
    before = pool.pid("first")
    pool.signal("first", signal.SIGSTOP)
    ran = pool.heal(patience="3s")
    assert ran.states == {"first does not answer": "cured"}, ran.out
    assert ran.steps("first does not answer")[:3] == ["reconnect", "kill_orphans", "restart_daemon"]
    assert "failover" not in ran.steps("first does not answer")
    assert pool.pid("first") != before


def bound(listener, port):
    try:
        listener.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True


def test_strategy_failover_where_restarting_is_in_vain(pool):
    pool.run()
    pool.signal("first", signal.SIGKILL)
    until(lambda: not pool.alive("first"))
    with socket.socket() as squatter:  # somebody else has its port, and says nothing
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        until(lambda: bound(squatter, pool.ports["first"]))  # its children hold the port for a moment
        squatter.listen()
        ran = pool.heal(patience="2s", settling="2s")
    assert "failover" in ran.steps("first crashed")
    assert pool.active == "second"
    assert pool.run("--detector", "second crashed").operations["run the model"]["member"] == "second"
    pool.signal("first", signal.SIGKILL)  # it lives, without its port


def test_strategy_parallel_tries_all_at_once(pool):
    pool.signal("first", signal.SIGSTOP)
    ran = pool.heal(patience="3s", urgent="true")
    assert ran.states == {"first does not answer, urgently": "cured"}
    assert {"reconnect", "failover", "restart_daemon"} <= set(ran.steps("first does not answer, urgently"))
    assert pool.active == "second"


def test_failure_category_memory_fails_over_before_the_restart(pool):
    before = pool.pid("first")
    ran = pool.heal("--detector", "first takes too much memory", memory="1MB", settling="2s")
    assert ran.steps("first takes too much memory")[:3] == ["failover", "kill_orphans", "restart_daemon"]
    assert (pool.active, pool.pid("first") != before) == ("second", True)


def test_failure_category_connection_of_an_operation_is_recovered_by_the_other_browser(pool):
    pool.signal("first", signal.SIGKILL)
    until(lambda: not pool.alive("first"))
    ran = pool.run()
    asked = ran.operations["run the model"]
    assert (asked["state"], asked["member"], asked["attempts"]) == ("succeeded", "second", 2)
    assert ran.states["connection lost"] == "cured"
    assert ran.states["first crashed"] == "cured"


@pytest.mark.parametrize(("kind", "member"), [("text", "first"), ("vision", "first"), ("audio", "second")])
def test_preference_by_kind_of_model(pool, kind, member):
    ran = pool.run(kind=kind)
    assert ran.operations["run the model"]["member"] == member


def test_performance_history_by_browser_model_and_operation(pool):
    for kind in ("text", "text", "audio"):
        pool.run(kind=kind)
    figures = {each["name"]: each for each in pool.runbook.told("stats").json["components"]}
    assert figures["browsers.first"]["attempts"] == 2
    assert (figures["browsers.second"]["successes"], figures["browsers.second"]["rate"]) == (1, 1.0)
    trends = pool.runbook.told("trends").json
    first = next(each for each in trends["components"] if each["name"] == "browsers.first")
    assert 0 < first["min_s"] <= first["mean_s"] <= first["max_s"] < 30
    assert {each["name"] for each in trends["operations"]} >= {"run the model"}


VOTE = """
name: vote
operations:
  - name: infer
    pool: browsers
    redundancy: 3
    command: [{python}, {browser}, run, "{{{{ member.port }}}}", "{{{{ member.model }}}}", three words here]
    timeout: 60s
pools:
  browsers:
    members:
      - {{name: a, port: {first}, model: bert}}
      - {{name: b, port: {second}, model: bert}}
      - {{name: c, port: {first}, model: {third}}}
"""


@pytest.mark.parametrize("third", ["bert", "forged"])
def test_level_critical_runs_operations_redundantly_with_voting(pool, third):
    from training import TRAINER

    program = TRAINER.parents[1] / "browser-pool" / "browser.py"
    text = VOTE.format(python=os.sys.executable, browser=program, third=third, **pool.ports)
    ran = pool.runbook.told("apply", pool.runbook.write("vote.yaml", text))
    voted = ran.operations["infer"]
    assert voted["error"] is None
    assert (voted["state"], voted["member"]) == ("succeeded", "a, b, c" if third == "bert" else "a, b")
