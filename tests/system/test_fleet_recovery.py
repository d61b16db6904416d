"""Whoever dies in the middle of a step on another host, and whoever else is at work there: nothing is done twice."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time

import fleet_namespaces
import pytest

BOOK = """
name: {name}
hosts: all
detectors:
  - name: ill
    file: "{{{{ root }}}}/ill"
    when: exists
    limit: 9 per 1h
    verify: {{every: 200ms, within: 20s}}
    recover:
      - command: [sh, "{{{{ root }}}}/heal.sh"]
"""
# takes until `go` is there; each line of `steps` is one that was really done
HEAL = """\
echo begun >> {root}/steps
until [ -e {root}/go ]; do sleep 0.02; done
rm -f {root}/ill
echo ended >> {root}/steps
"""


@pytest.fixture
def fleet(cli, tmp_path):
    """Run passes over one host behind a network of its own."""
    if lacks := fleet_namespaces.lacking():
        pytest.skip(lacks)
    running = []

    class Fleet:
        def __init__(self, host, inventory):
            self.host, self.inventory = host, inventory
            self.root = host.place / "root"
            self.root.mkdir()
            (self.root / "ill").touch()
            (self.root / "heal.sh").write_text(HEAL.format(root=self.root))

        def begin(self, name, *words, journal="journal.db", out=subprocess.PIPE):
            """Start a pass, and return its process."""
            words = [*self._words(name), *words]
            env = {**cli.env, "RUNBOOK_JOURNAL": str(cli.home / journal)}
            process = subprocess.Popen([sys.executable, "-m", "runbook", *words], env=env, cwd=cli.home, text=True,
                                       stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE)  # fmt: skip
            running.append(process)
            return process

        def begun(self, wait="30s"):
            """Start a pass, and return its process when its step is in hand."""
            process = self.begin("one", "--wait", wait)
            until(lambda: (self.root / "steps").exists() or process.poll() is not None)
            assert process.poll() is None, process.communicate()
            return process

        def apply(self):
            return cli(*self._words("one"), timeout=60)

        def go(self):
            (self.root / "go").touch()

        @property
        def steps(self):
            return (self.root / "steps").read_text().split()

        def _words(self, name):
            book = cli.write(f"{name}.yaml", BOOK.format(name=name))
            return ["apply", str(book), "-i", str(self.inventory), "-e", f"root={self.root}", "--format", "json"]

    with fleet_namespaces.running(tmp_path / "hosts", 0, 1) as hosts:
        fleet = Fleet(hosts["n1"], hosts.inventory)
        yield fleet
        for process in running:
            process.kill()
            process.communicate()
        fleet.host.heal()
        fleet.go()  # for agents that still have a step in hand
        until(lambda: not fleet.host.inside())


def until(holds, seconds=30.0):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.02)


def incident(out):
    [found] = json.loads(out)["runs"][0]["hosts"]["n1"]["incidents"]
    return found


def ended(process):
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, (out, err)
    return incident(out)


def test_a_step_whose_connection_was_killed_is_asked_for_and_not_run_again(fleet):
    engine = fleet.begun()
    fleet.host.kill_sessions()
    fleet.go()
    assert ended(engine)["state"] == "cured"
    assert fleet.steps == ["begun", "ended"]


def test_a_step_that_goes_on_while_its_host_is_called_again_is_waited_for(fleet):
    engine = fleet.begun()
    fleet.host.kill_sessions()
    with contextlib.suppress(subprocess.TimeoutExpired):  # in which the engine comes back, and is told that it runs
        engine.wait(4.0)
    assert engine.poll() is None, engine.communicate()
    fleet.go()
    assert ended(engine)["state"] == "cured"
    assert fleet.steps == ["begun", "ended"]


def test_the_pass_after_a_killed_controller_asks_for_the_step_that_it_had_in_hand(fleet):
    engine = fleet.begun()
    engine.send_signal(signal.SIGKILL)
    engine.wait(10)
    fleet.go()
    after = fleet.apply()
    assert after.exit_code == 0, after.out
    assert incident(after.out)["state"] == "cured"
    assert fleet.steps == ["begun", "ended"]


def test_a_host_that_was_cut_off_in_a_step_goes_on_with_the_next_pass(fleet):
    engine = fleet.begun(wait="2s")
    fleet.host.cut("reset")
    out, err = engine.communicate(timeout=60)
    assert engine.returncode == 4, (out, err)
    fleet.go()
    until(lambda: fleet.steps == ["begun", "ended"])  # the agent finishes what it has in hand
    fleet.host.heal()
    after = fleet.apply()
    assert after.exit_code == 0, after.out
    assert incident(after.out)["state"] == "cured"
    assert fleet.steps == ["begun", "ended"]


def test_two_controllers_with_journals_of_their_own_never_both_recover_one_subject(fleet, tmp_path):
    first = fleet.begun()
    heard = tmp_path / "second"
    with heard.open("w") as out:
        second = fleet.begin("two", "--format", "jsonl", journal="other.db", out=out)
        until(lambda: "step.begun" in heard.read_text())
    assert fleet.steps == ["begun"]
    fleet.go()
    assert ended(first)["state"] == "cured"
    second.wait(60)
    assert fleet.steps in (["begun", "ended"], ["begun", "ended"] * 2), "one after the other, if it still saw it ill"
