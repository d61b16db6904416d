"""Fifty hosts, ten of which are cut off at random while they are healed: the others do not notice, nothing is done twice.

The suite cuts once; `CUTS=20` in the environment goes on for that many rounds, `CUTS_SEED` repeats what failed.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from pathlib import Path

import fleet_namespaces
import pytest

from runbook.engine.fleet.asker import Asker
from runbook.engine.fleet.connection import Gone
from runbook.engine.fleet.dial import dial
from runbook.engine.fleet.hosts import Hosts
from runbook.engine.fleet.target import Options, target
from runbook.engine.inventory import inventory

ROUNDS = int(os.environ.get("CUTS", "1"))
PLAIN, CUTTABLE = 40, 10
TAKES = 1.0  # seconds of a step
BOOK = """
name: cuts
hosts: all
detectors:
  - name: ill
    file: "{{ root }}/ill"
    when: exists
    limit: 100 per 1h
    verify: {every: 200ms, within: 20s}
    recover:
      - command: [sh, "{{ root }}/heal.sh"]
  - name: memory
    health:
    when: memory_available < 1MB
    recover: [{notify: no memory is left}]
"""
HEAL = """\
echo begun >> {root}/steps
sleep {takes}
rm -f {root}/ill
echo ended >> {root}/steps
"""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """Fifty hosts, and in `root` of each what can be ill."""
    if lacks := fleet_namespaces.lacking():
        pytest.skip(lacks)
    directory = tmp_path_factory.mktemp("fleet")
    with fleet_namespaces.running(directory / "hosts", PLAIN, CUTTABLE) as hosts:
        for host in hosts.values():
            (host.place / "root").mkdir()
            (host.place / "root/heal.sh").write_text(HEAL.format(root=host.place / "root", takes=TAKES))
        text = hosts.inventory.read_text()
        for host in hosts.values():
            text = text.replace(
                f"agent_dir: {host.agent_dir}}}", f"agent_dir: {host.agent_dir}, root: {host.place}/root}}"
            )
        hosts.inventory.write_text(text)
        yield hosts


def cuttable(fleet):
    return [host for host in fleet.values() if isinstance(host, fleet_namespaces.Namespaced)]


def steps(host):
    file = host.place / "root/steps"
    return file.read_text().split() if file.exists() else []


def until(holds, seconds, what):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, what()
        time.sleep(0.1)


class Cutting(threading.Thread):
    """Cuts hosts off at times of its own choice while a pass is under way."""

    def __init__(self, hosts, dice, within):
        super().__init__()
        self.plan = sorted((dice.uniform(0.0, within), host.name, dice.choice(fleet_namespaces.CUTS)) for host in hosts)
        self.hosts = {host.name: host for host in hosts}

    def run(self):
        begun = time.monotonic()
        for at, name, how in self.plan:
            time.sleep(max(0.0, at - (time.monotonic() - begun)))
            self.hosts[name].cut(how)


def facts(out):
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.timeout(120 + 60 * ROUNDS)
def test_hosts_that_are_cut_off_in_the_middle_of_a_recovery_harm_no_other_and_nothing_is_done_twice(cli, fleet):
    seed = int(os.environ.get("CUTS_SEED", random.SystemRandom().randrange(10_000)))
    dice = random.Random(seed)
    begun = time.time()
    assert cli("ping", "-i", fleet.inventory).exit_code == 0
    usual = time.time() - begun  # to begin with fifty hosts, on this machine at this moment
    book = cli.write("cuts.yaml", BOOK)
    words = ["apply", book, "-i", fleet.inventory, "--format", "jsonl", "--wait", "10s", "-T", "3s"]
    for number in range(1, ROUNDS + 1):
        for host in fleet.values():
            (host.place / "root/ill").touch()
        cutting = Cutting(cuttable(fleet), dice, within=6.0)
        cutting.start()
        begun = time.time()
        first = cli(*words)
        took = time.time() - begun
        cutting.join()
        seen = facts(first.out)
        late = [(round(fact["at"] - begun, 1), fact.get("host"), fact["event"], fact["data"].get("reason")) for fact in seen
                if fact["event"] in {"host.unreachable", "host.reached", "incident.ended"} and fact["at"] > begun + 8.0]  # fmt: skip
        told = f"CUTS_SEED={seed}, round {number}, cut: {cutting.plan}, {took:.1f} s, then: {late}\n{first.err}"
        lost = {fact["host"] for fact in seen if fact["event"] == "host.unreachable"}
        ends = {fact["host"]: fact for fact in seen if fact["event"] == "incident.ended"}
        blind = {name for name, fact in ends.items() if fact["data"]["to"] == "unverified"}  # cut when it was cured
        assert blind <= lost <= {host.name for host in cuttable(fleet)}, told
        assert ends.keys() | lost == set(fleet), told
        assert {fact["data"]["to"] for name, fact in ends.items() if name not in lost} == {"cured"}, told
        assert took < 60.0, told  # whoever is cut off before its agent answers has 30 s for that
        assert first.exit_code == (2 if blind else 4 if lost else 0), told
        last = max(fact["at"] - begun for name, fact in ends.items() if name not in lost)
        assert last < 10.0 + 2 * usual, f"{usual:.1f} s are usual, and it took {last:.1f} s; {told}"  # held up by none
        for host in cuttable(fleet):
            host.heal()
        second = cli(*words)
        away = [
            (fact["host"], fact["data"]["reason"]) for fact in facts(second.out) if fact["event"] == "host.unreachable"
        ]
        assert second.exit_code == 0, f"{told}\nafter healing: {away}\n{second.err}"
        for host in fleet.values():
            assert steps(host) == ["begun", "ended"] * number, (host.name, told)
            assert not (host.place / "root/ill").exists()
    spared = [host for host in fleet.values() if host not in cuttable(fleet)]
    until(lambda: not any(host.remote() for host in spared), 10, lambda: f"these are left: {fleet.remote()}")
    if ROUNDS > 1:  # an agent whose controller went away in silence hears of it when it says that it lives: after 35 s
        until(lambda: not fleet.remote(), 50, lambda: f"these are left: {fleet.remote()}")


def test_connections_that_are_cut_are_given_up_made_again_and_leave_nothing_behind(fleet):
    known = inventory.load([str(fleet.inventory)]).hosts
    targets = {
        name: target(known[name], Options(timeout=2.0)) for name in ("h1", "h2", *(f"n{n}" for n in range(1, 11)))
    }
    asker = Asker()
    before = threading.active_count(), descriptors()
    with Hosts(lambda name: dial(targets[name], asker), limits=(20.0, 0.5, 2.0)) as hosts:
        assert not any(isinstance(answer, Gone) for answer, _ in asked(hosts, targets).values())
        for number, host in enumerate(cuttable(fleet)):
            host.cut(fleet_namespaces.CUTS[number % len(fleet_namespaces.CUTS)])
        answers = asked(hosts, targets)
        for name, (answer, after) in answers.items():
            assert isinstance(answer, Gone) is name.startswith("n"), (name, answer)
            assert after < 8.0
        for host in cuttable(fleet):
            host.heal()
        left, end = set(targets), time.monotonic() + 30.0
        while left:
            left -= {name for name, (answer, _) in asked(hosts, left).items() if not isinstance(answer, Gone)}
            assert time.monotonic() < end, f"these do not come back: {left}"
            time.sleep(0.1)
    until(lambda: (threading.active_count(), descriptors()) == before, 10, threading.enumerate)


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def asked(hosts, names):
    """Return what each host answers, and after how many seconds."""
    begun = time.monotonic()
    tickets = {hosts.send(name, {"op": "ping"}): name for name in names}
    found = {}
    while tickets:
        for ticket, answer in hosts.receive(20.0):
            found[tickets.pop(ticket)] = answer, time.monotonic() - begun
        assert time.monotonic() < begun + 20.0, f"these gave no answer: {tickets}"
    return found
