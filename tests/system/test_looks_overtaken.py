"""Looks at one detector that are on their way at once, such as a round's and a verification's: each event is seen once."""

from __future__ import annotations

import time

import pytest

from runbook.engine.fleet.hosts import here
from runbook.engine.language import load
from runbook.engine.language.scope import Scope
from runbook.engine.model import Seen
from runbook.engine.recover.commands import LookAt
from runbook.engine.recover.state import Plan
from runbook.engine.rounds import Rounds

BOOK = """
name: overtaken
detectors:
  - name: lines
    log: {{paths: "{home}/x.log", patterns: ["ERROR (?P<what>[a-z]+)"], from: start}}
  - name: marker
    file: {home}/ill
    when: exists
  - name: slow
    command: [sleep, "1"]
    when: exit_code != 0
"""


class World:
    def __init__(self, tmp_path, hosts):
        path = tmp_path / "overtaken.yaml"
        path.write_text(BOOK.format(home=tmp_path))
        runbook = load.load(path)
        self.plan = Plan(runbook, "run", scopes={"localhost": Scope(runbook, host="localhost")}, groups={})
        self.hosts = hosts
        self.cursors = {}
        self.rounds = Rounds(hosts, lambda _, name: self.cursors.get(name, {}))
        self.ask("lines", "marker")
        self.answers(1)

    def ask(self, *names):
        self.rounds.ask(self.plan, LookAt("localhost", names))

    def answers(self, count):
        """What is taken in, in the order in which it comes: of each look the detectors that it speaks of, and records."""
        found, until = [], time.monotonic() + 30
        while len(found) < count:
            assert time.monotonic() < until
            for number, answer in self.hosts.receive(1.0):
                looked = self.rounds.heard(number, answer)
                self.cursors |= {name: look.state for name, look in looked.looks.items() if isinstance(look, Seen)}
                found.append({name: [each.fields for each in look.records] for name, look in looked.looks.items()})
        return found


@pytest.fixture
def world(tmp_path):
    (tmp_path / "x.log").write_text("begun\n")
    with here(str(tmp_path / "agent")) as hosts:
        yield World(tmp_path, hosts)


def test_an_older_look_that_is_answered_later_says_nothing_of_what_was_seen_since(world, tmp_path):
    (tmp_path / "ill").touch()
    world.ask("marker", "lines", "slow")
    world.ask("marker")  # as a verification does, while the round is on its way
    newer, older = world.answers(2)
    assert newer.keys() == {"marker"}
    assert older.keys() == {"lines", "slow"}
    assert world.rounds.again == []


def test_an_event_that_two_looks_have_read_is_taken_in_once(world, tmp_path):
    with (tmp_path / "x.log").open("a") as log:
        log.write("ERROR one\n")
    world.ask("lines")
    world.ask("lines", "slow")  # it begins to read where the first one does
    first, second = world.answers(2)
    assert [fields["what"] for fields in first["lines"]] == ["one"]
    assert second.keys() == {"slow"}
    assert world.rounds.again == [("localhost", ("lines",))]
