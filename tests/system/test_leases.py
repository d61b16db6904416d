"""Runs at the same time: one recovery per subject of a host, whoever asks, and the dead hold nothing."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

BOOK = """
name: {name}
writable: ["{home}/data"]
detectors:
  - name: ill
    file: {home}/data/ill
    when: exists
    mode: auto
    limit: 9
    verify: {{within: 4s}}
    recover:
      - shell: {{script: 'echo {name} >> "$D/ran"; touch "$D/begun"; until [ -e "$D/go" ]; do sleep 0.02; done',
                env: {{D: "{home}/data"}}}}
      - command: {{argv: [rm, -f, "{home}/data/ill"], creates: "{home}/data/never"}}
"""

TELLS = """
    cured: [{notify: it is well}]
    unhealed: [{notify: it stays ill}]
"""


@pytest.fixture
def machine(cli):
    (cli.home / "data").mkdir()
    (cli.home / "data/ill").touch()
    running = []

    class Machine:
        data = cli.home / "data"

        def book(self, name):
            return cli.write(f"{name}.yaml", BOOK.format(name=name, home=cli.home))

        def begin(self, name, journal="journal.db", *, keep=False):
            """Start a pass and return its process; `keep`: of the runbook as it was written already."""
            file = cli.home / f"{name}.yaml" if keep else self.book(name)
            engine = subprocess.Popen(
                [sys.executable, "-m", "runbook", "apply", str(file), "--format", "json"],
                env={**cli.env, "RUNBOOK_JOURNAL": str(cli.home / journal)}, cwd=cli.home, text=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
            )  # fmt: skip
            running.append(engine)
            return engine

        def begun(self, name, journal="journal.db", *, keep=False):
            """Start a pass and return its process when its first step is in hand."""
            engine = self.begin(name, journal, keep=keep)
            until((self.data / "begun").exists)
            return engine

        def apply(self, name, journal="journal.db"):
            return cli.json("apply", self.book(name), env={"RUNBOOK_JOURNAL": str(cli.home / journal)})

        def go(self):
            (self.data / "go").touch()

        @property
        def ran(self):
            return (self.data / "ran").read_text().split()

    yield Machine()
    for engine in running:
        engine.kill()
        engine.communicate()
    (cli.home / "data").mkdir(exist_ok=True)
    (cli.home / "data/go").touch()  # for agents that still have a step in hand


def until(holds, seconds=30.0):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.01)


def healed(engine):
    out, err = engine.communicate(timeout=60)
    assert engine.returncode == 0, err
    return json.loads(out)["runs"][0]["hosts"]["localhost"]["incidents"]


def notified(cli):
    """Return what people were told, by the journal."""
    with contextlib.closing(sqlite3.connect(cli.home / "journal.db")) as journal:
        rows = journal.execute("SELECT data FROM events WHERE kind = 'notified'").fetchall()
    return [json.loads(data)["message"] for (data,) in rows]


def test_a_second_pass_of_the_same_runbook_is_told_who_is_at_work(machine):
    first = machine.begun("one")
    second = machine.apply("one")
    assert second.exit_code == 3
    assert "another pass of `one` is at work (`apply` by " in second.err
    machine.go()
    assert healed(first)[0]["state"] == "cured"
    assert machine.ran == ["one"]


def test_a_subject_that_one_runbook_recovers_is_left_alone_by_another(machine):
    first = machine.begun("one")
    other = machine.apply("two").incidents["ill"]
    assert other["state"] == "suppressed"
    assert "of one" in other["reason"]
    machine.go()
    assert healed(first)[0]["state"] == "cured"
    assert machine.ran == ["one"]
    assert machine.apply("two").exit_code == 0


def test_of_passes_that_begin_at_the_same_moment_one_recovers(machine):
    machine.go()
    engines = [machine.begin(name) for name in ("one", "two", "three")]
    for engine in engines:
        engine.communicate(timeout=60)
    assert len(machine.ran) == 1
    assert not (machine.data / "ill").exists()


def test_a_runbook_that_was_refused_recovers_when_the_subject_is_free_and_still_ill(machine):
    first = machine.begun("one")
    second = machine.begin("two")
    until(lambda: second.poll() is not None)
    machine.go()
    healed(first)
    (machine.data / "ill").touch()
    assert machine.apply("two").incidents["ill"]["state"] == "cured"
    assert machine.ran == ["one", "two"]


def test_a_killed_run_loses_its_lease_at_once_and_the_step_it_left_is_awaited(machine):
    first = machine.begun("one")
    first.kill()
    first.wait()
    second = machine.begin("two")
    time.sleep(1.0)  # it waits for the step in hand, which holds the subject on the host
    assert machine.ran == ["one"]
    machine.go()
    assert healed(second)[0]["state"] == "cured"
    assert machine.ran == ["one", "two"]
    after = machine.apply("one")
    assert after.exit_code == 0, after.out
    assert machine.ran == ["one", "two"], "it is well, so the recovery that was cut short is not gone on with"


def test_a_run_that_is_stopped_for_a_while_keeps_its_lease(machine):
    first = machine.begun("one")
    os.kill(first.pid, signal.SIGSTOP)
    assert machine.apply("two").incidents["ill"]["state"] == "suppressed", "a stopped run lives"
    os.kill(first.pid, signal.SIGCONT)
    machine.go()
    assert healed(first)[0]["state"] == "cured"
    assert machine.ran == ["one"]


@pytest.mark.parametrize("cures", [True, False])
def test_a_run_that_was_stopped_for_longer_than_its_lease_does_nothing_more(machine, cli, cures):
    """Another one took its subject, and healed it or not; the first is let run again while its step is in hand."""
    file = machine.book("one")
    file.write_text(file.read_text() + TELLS, encoding="utf-8")
    first = machine.begun("one", keep=True)
    os.kill(first.pid, signal.SIGSTOP)
    with contextlib.closing(sqlite3.connect(cli.home / "journal.db")) as journal, journal:
        journal.execute("UPDATE leases SET until = 1")
    machine.go()
    other = machine.apply("two").incidents["ill"]
    assert (other["state"], machine.ran) == ("cured", ["one", "two"])
    if not cures:
        (machine.data / "ill").touch()
    os.kill(first.pid, signal.SIGCONT)
    out, err = first.communicate(timeout=60)
    incident = json.loads(out)["runs"][0]["hosts"]["localhost"]["incidents"][0]
    assert (first.returncode, incident["state"]) == (2, "suppressed"), out + err
    assert "took over its recovery: `ill` of two; the next pass looks again" in incident["reason"]
    assert (machine.ran, notified(cli)) == (["one", "two"], []), "it did nothing more"
    after = cli.json("apply", file).incidents["ill"]
    assert after["state"] == "cured", after
    assert notified(cli) == ["it is well"]


def test_a_step_that_the_host_refuses_since_a_later_lease_acted_is_no_fault_of_the_recovery(machine, cli):
    """The journal still says that the lease is ours, and the host knows better."""
    file = machine.book("one")
    file.write_text(file.read_text() + TELLS, encoding="utf-8")
    first = machine.begun("one", keep=True)
    (lock,) = [each for each in (cli.home / "agent/locks").iterdir() if each.stat().st_size]
    seen = json.loads(lock.read_text())
    later = {name: epoch + 1 for name, epoch in seen["epochs"].items()}
    lock.write_text(json.dumps({**seen, "epochs": later}))
    machine.go()
    out, err = first.communicate(timeout=60)
    incident = json.loads(out)["runs"][0]["hosts"]["localhost"]["incidents"][0]
    assert (first.returncode, incident["state"]) == (2, "suppressed"), out + err
    assert "a later lease" in incident["reason"]
    assert notified(cli) == []


def test_another_journals_run_is_kept_off_by_the_host_and_told_by_whom(machine):
    first = machine.begun("one")
    other = machine.begin("two", "another.db")
    time.sleep(0.5)
    machine.go()
    assert healed(first)[0]["state"] == "cured"
    other.communicate(timeout=60)
    assert machine.ran in (["one"], ["one", "two"]), "one after the other, if the second still saw it ill"


def test_another_journals_recovery_holds_the_subject_between_its_steps(machine, cli):
    """The first journal's run is killed between two steps: its claim on the host lasts until its time is over."""
    first = machine.begun("one")
    first.kill()
    first.wait()
    machine.go()
    until(lambda: any((cli.home / "agent/intents").glob("*.result.json")))
    other = machine.apply("two", "another.db").incidents["ill"]
    assert (other["state"], machine.ran) == ("suppressed", ["one"])
    assert "recovers" in other["reason"]
    assert "by another journal" in other["reason"]
    assert machine.apply("one").exit_code == 0
    (machine.data / "ill").touch()
    assert machine.apply("two", "another.db").incidents["ill"]["state"] == "cured", "the claim was given back"


def test_rungs_side_by_side_act_on_one_subject_at_the_same_time(machine, cli):
    """Each waits for the other's word, so that neither ends where they are taken one after the other."""

    def word(mine, other):
        wait = f"for i in $(seq 500); do [ -e {machine.data}/{other} ] && exit 0; sleep 0.02; done; exit 1"
        return f"{{command: {{argv: [sh, -c, 'touch {machine.data}/{mine}; {wait}']}}}}"

    mend = f"{{command: {{argv: [rm, -f, {machine.data}/ill]}}}}"
    book = machine.book("one").read_text().split("    recover:")[0]
    rungs = ", ".join([word("x", "y"), word("y", "x"), mend])
    file = cli.write("side.yaml", f"{book}    strategy: parallel\n    recover: [{rungs}]\n")
    healed = cli.json("apply", file)
    assert healed.incidents["ill"]["state"] == "cured", healed.out
    assert [step["state"] for step in healed.incidents["ill"]["steps"]] == ["done"] * 3, healed.out
