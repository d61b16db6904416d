"""`runbook watch --alerts` under a real Alertmanager: alerts begin recoveries and end them, whoever is killed meanwhile."""

import json
import socket

import alertmanager
import pytest
from alertmanager import Alertmanager
from watching import Watching, until

pytestmark = pytest.mark.skipif(bool(alertmanager.LACKING), reason=alertmanager.LACKING)
BOOK = """
name: serve
every: 1s
writable: [DIR]
detectors:
  - name: server down
    alert: {receiver: runbook, alertname: VllmDown}
    severity: low
    limit: 5 per 1h
    recover: [{edit_config: {path: "DIR/{{ incident.labels.note }}.json", set: {at: cured}}}]  # each its own
    verify: {within: 20s, every: 200ms}
"""
DOWN = {"alertname": "VllmDown", "instance": "localhost:8000", "severity": "critical", "note": "one"}


def free():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Serve:
    """The runbook, and the watches that look after it one after the other, at one address."""

    def __init__(self, cli):
        self.cli, self.port = cli, free()
        for name in ("one", "two"):
            (cli.home / f"{name}.json").write_text('{"at": "never"}')
        cli.write("serve.yaml", BOOK.replace("DIR", str(cli.home)))
        self.url = f"http://127.0.0.1:{self.port}/alerts/runbook"

    def watch(self, *words):
        watch = Watching(self.cli, "serve.yaml", "--alerts", self.port, *words)
        until(self._listens, told=watch.told)
        return watch

    def _listens(self):
        with socket.socket() as line:
            return line.connect_ex(("127.0.0.1", self.port)) == 0

    def cured(self):
        return json.loads((self.cli.home / "one.json").read_text())["at"] == "cured"


@pytest.fixture
def serve(cli):
    return Serve(cli)


@pytest.fixture
def manager(tmp_path, serve):
    running = Alertmanager(tmp_path / "alertmanager", serve.url)
    yield running
    running.close()


def test_an_alert_begins_a_recovery_and_its_resolution_is_the_cure(serve, manager):
    with serve.watch() as watch:
        manager.fire(DOWN, summary="vllm does not answer")
        until(serve.cured, told=watch.told)
        assert watch.facts("incident.ended") == []
        manager.resolve(DOWN)
        assert watch.until("incident.ended")["data"]["to"] == "cured"
        (opened,) = watch.facts("incident.opened")
        assert (opened["data"]["severity"], opened["subject"]) == ("low", "VllmDown{instance=localhost:8000}")
        assert opened["data"]["fields"]["summary"] == "vllm does not answer"


def test_an_alert_outlives_a_killed_watch_and_what_was_resolved_meanwhile_is_heard_after_it(serve, manager):
    watch = serve.watch()
    manager.fire(DOWN)
    until(serve.cured, told=watch.told)
    watch.kill()
    manager.resolve(DOWN)
    with serve.watch() as second:
        assert second.until("incident.ended")["data"]["to"] == "cured"
        assert len(second.facts("incident.opened")) == 1
        assert [each["data"]["module"] for each in second.facts("step.begun")] == ["edit_config"]


def test_an_alert_that_is_told_while_nobody_listens_is_heard_when_somebody_does(serve, manager):
    manager.fire(DOWN)
    with serve.watch() as watch:
        until(serve.cured, told=watch.told)
        watch.until("incident.opened")


def test_what_is_silenced_is_neither_cured_nor_recovered_again(serve, manager):
    other = {**DOWN, "note": "two", "instance": "localhost:8001"}
    with serve.watch() as watch:
        manager.fire(DOWN, other)
        watch.until("recovery.begun", count=2)
        manager.silence("note", "one")
        manager.resolve(other)  # the group is told again, without the one that is silenced
        watch.until("look.unknown")
        watch.until("incident.ended")
        ended = {each["subject"]: each["data"]["to"] for each in watch.facts("incident.ended")}
        assert ended == {"VllmDown{instance=localhost:8001}": "cured"}, watch.facts("step.ended")
        assert len(watch.facts("recovery.begun")) == 2


def test_a_pass_hears_nothing_says_so_and_is_well(serve, cli):
    ran = cli("check", "serve.yaml")
    assert ran.exit_code == 0
    assert "only `runbook watch --alerts ADDRESS` hears" in ran.out
    assert "nothing wrong seen; 1 of 1 detector absent" in ran.out


def test_an_address_that_can_not_be_had_ends_the_command_with_what_to_do(serve, cli):
    with socket.create_server(("127.0.0.1", serve.port)):
        for option in ("--alerts", "--metrics"):
            ran = cli("watch", "serve.yaml", option, serve.port)
            assert ran.exit_code == 1
            assert f"127.0.0.1:{serve.port} can't be listened on: address already in use" in ran.err
            assert "name another port" in ran.err
    ran = cli("watch", "serve.yaml", "--alerts", f"0.0.0.0:{serve.port}", env={"RUNBOOK_CONFIG": "/dev/null"})
    assert ran.exit_code == 1
    assert "can be reached by others, and nothing tells who may send alerts" in ran.err
