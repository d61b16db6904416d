"""`runbook watch` over SSH: what happens on hosts, hosts that go and come, and inventories that change meanwhile."""

from __future__ import annotations

import time

import pytest
from sshds import sshds  # noqa: F401 -- a fixture
from watching import Watching, lines, until

BOOK = """
name: flags
hosts: all
every: {every}
vars: {{home: "{home}/{{{{ inventory_hostname }}}}"}}
detectors:
  - name: ill
    file: "{{{{ home }}}}/ill"
    when: exists
    mode: auto
    verify: {{within: 20s}}
    recover: [{{shell: {{script: 'rm "$HOME_OF_IT/ill"; echo healed >> "$HOME_OF_IT/acts"',
                        env: {{HOME_OF_IT: "{{{{ home }}}}"}}}}}}]
"""


@pytest.fixture
def fleet(cli, sshds):  # noqa: F811
    hosts = sshds(3)
    for name in hosts:
        (cli.home / name).mkdir()
    return hosts


def book(cli, every="1h"):
    return cli.write("flags.yaml", BOOK.format(home=cli.home, every=every))


def beat(watch, **wanted):
    until(lambda: all(watch.standing().get(name) == value for name, value in wanted.items()), told=watch.told)


def test_what_happens_on_a_host_is_healed_at_once(cli, fleet):
    with Watching(cli, book(cli), "-i", fleet.inventory) as watch:
        beat(watch, hosts=3, listening=3)
        began = time.time()
        (cli.home / "h2/ill").touch()
        begun = watch.until("step.begun")
        assert begun["host"] == "h2"
        assert begun["at"] - began < 5
        watch.until("incident.ended")
        assert watch.end() == 0
    until(lambda: not fleet.remote())
    assert lines(cli.home / "h2/acts") == ["healed"]


def test_a_host_that_was_away_is_looked_at_and_heard_again_when_it_is_back(cli, fleet):
    with Watching(cli, book(cli, "1s"), "-i", fleet.inventory) as watch:
        beat(watch, hosts=3, listening=3)
        fleet["h1"].stop()
        assert watch.until("host.unreachable")["host"] == "h1"
        (cli.home / "h1/ill").touch()
        (cli.home / "h3/ill").touch()
        watch.until("incident.ended", host="h3")
        fleet["h1"].start()
        watch.until("incident.ended", host="h1")
    assert lines(cli.home / "h1/acts") == lines(cli.home / "h3/acts") == ["healed"]


def test_hosts_come_and_go_with_the_inventory_and_an_empty_one_is_refused(cli, fleet):
    whole = fleet.inventory.read_text()
    without = "\n".join(line for line in whole.splitlines() if not line.strip().startswith("h3:"))
    inventory = cli.home / "inventory.yaml"
    inventory.write_text(without)
    with Watching(cli, book(cli), "-i", inventory) as watch:
        beat(watch, hosts=2, listening=2)
        inventory.write_text(whole)
        watch.until("watch.reloaded")
        beat(watch, hosts=3, listening=3)
        (cli.home / "h3/ill").touch()
        watch.until("incident.ended", host="h3")
        for number, spoiled in enumerate(("", "all: [", "all: {hosts: {}}\n"), 1):
            inventory.write_text(spoiled)
            assert "kept" in watch.until("watch.refused", count=number)["data"]["message"]
        (cli.home / "h1/ill").touch()
        watch.until("incident.ended", host="h1")
        inventory.write_text(without)
        watch.until("watch.reloaded", count=2)
        beat(watch, hosts=2)
        until(lambda: not fleet["h3"].remote() if hasattr(fleet["h3"], "remote") else True)


def test_parts_of_a_fleet_are_watched_by_several_each_its_own(cli, fleet):
    path = book(cli)
    with (
        Watching(cli, path, "-i", fleet.inventory, "--shard", "1/2", name="one") as one,
        Watching(cli, path, "-i", fleet.inventory, "--shard", "2/2", name="two") as two,
    ):
        for name in fleet:
            (cli.home / name / "ill").touch()
        for name in fleet:
            one.until("incident.ended", host=name)
        assert len({fact["run"] for fact in one.facts("step.begun")}) == 2
        assert {one.end(), two.end()} == {0}
    assert [lines(cli.home / name / "acts") for name in fleet] == [["healed"]] * 3


def test_a_step_on_a_host_that_was_away_at_a_reload_is_asked_for_when_it_is_back(cli, fleet):
    path = book(cli, "1s")
    slow = "echo begun >> $HOME_OF_IT/acts; sleep 2; rm $HOME_OF_IT/ill;"
    long = path.read_text().replace('rm "$HOME_OF_IT/ill";', slow)
    path.write_text(long)
    with Watching(cli, path, "-i", fleet.inventory, "--grace", "0s") as watch:
        beat(watch, hosts=3, listening=3)
        (cli.home / "h1/ill").touch()
        until(lambda: lines(cli.home / "h1/acts") == ["begun"], told=watch.told)
        fleet["h1"].stop()
        path.write_text(f"{long}# read me anew\n")
        watch.until("watch.reloaded")
        watch.until("host.unreachable", host="h1", run=watch.standing()["run"])
        fleet["h1"].start()
        # its agent went with the connection, so nobody knows how the step ended: a person is asked, and not nobody
        until(lambda: [each for each in watch.facts("incident.changed") if each["data"]["to"] == "interrupted"])
        assert len(watch.facts("step.begun")) == 1


def test_a_host_that_hangs_holds_up_neither_the_operations_nor_the_recoveries_of_others(cli, fleet):
    path = book(cli)
    operation = (
        'operations:\n  - name: serve\n    shell: {script: \'echo served >> "$IT/acts"\', env: {IT: "{{ home }}"}}\n'
    )
    path.write_text(path.read_text() + operation)
    fleet["h2"].freeze()
    try:
        with Watching(cli, path, "-i", fleet.inventory, "--connect-timeout", "30s") as watch:
            for name in ("h1", "h3"):
                watch.until("operation.ended", host=name)
            (cli.home / "h1/ill").touch()
            watch.until("incident.ended", host="h1", seconds=12)
            assert not watch.facts("operation.begun", host="h2")
            fleet["h2"].thaw()
            watch.until("operation.ended", host="h2")
    finally:
        fleet["h2"].thaw()
    assert [lines(cli.home / name / "acts") for name in fleet] == [["served", "healed"], ["served"], ["served"]]
