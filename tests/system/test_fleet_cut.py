"""Fifty hosts, ten of which are cut off at random while they are healed: the others do not notice, nothing is done twice.

The suite cuts once; `CUTS=20` in the environment goes on for that many rounds, `CUTS_SEED` repeats what failed.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time

import fleet_namespaces
import pytest

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
    book = cli.write("cuts.yaml", BOOK)
    words = ["apply", book, "-i", fleet.inventory, "--format", "jsonl", "--wait", "10s"]
    for number in range(1, ROUNDS + 1):
        for host in fleet.values():
            (host.place / "root/ill").touch()
        cutting = Cutting(cuttable(fleet), dice, within=6.0)
        cutting.start()
        begun = time.time()
        first = cli(*words)
        took = time.time() - begun
        cutting.join()
        told = f"CUTS_SEED={seed}, round {number}, cut: {cutting.plan}, {took:.1f} s\n{first.err}"
        seen = facts(first.out)
        lost = {fact["host"] for fact in seen if fact["event"] == "host.unreachable"}
        cured = {fact["host"]: fact["at"] - begun for fact in seen if fact["event"] == "incident.ended"}
        assert lost <= {host.name for host in cuttable(fleet)}, told
        assert set(cured) | lost == set(fleet), told
        assert first.exit_code == (4 if set(fleet) - set(cured) else 0), told
        assert max(at for name, at in cured.items() if name not in lost) < 15.0, told  # not held up by the lost ones
        for host in cuttable(fleet):
            host.heal()
        second = cli(*words)
        assert second.exit_code == 0, told + second.out[-3000:] + second.err
        for host in fleet.values():
            assert steps(host) == ["begun", "ended"] * number, (host.name, told)
            assert not (host.place / "root/ill").exists()
    # what a lost connection had left on a host hears of it when TCP asks once more
    until(lambda: not fleet.remote(), 60, lambda: f"these are left on the hosts: {fleet.remote()}")
