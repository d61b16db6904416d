"""`runbook watch --metrics`, scraped while a real fault comes and goes; and what `tell` says of it over a kill -9."""

import json
import socket
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse
from watching import Watching, until

BOOK = """
name: disks
every: 300ms
tell: {{remind: {remind}, channels: [hook]}}
detectors:
  - name: disk full
    file: {flag}
    when: exists
    severity: high
"""


@pytest.fixture
def flag(cli):
    return cli.home / "ill"


def free():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def scraped(port, name, **labels):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        samples = [sample for family in parse(answer.read().decode()) for sample in family.samples]
    found = [each.value for each in samples if each.name == name and labels.items() <= each.labels.items()]
    return sum(found) if found else None


def test_a_fault_that_comes_and_goes_is_seen_in_the_metrics(cli, flag):
    cli.write("disks.yaml", BOOK.format(remind="1h", flag=flag).replace(", channels: [hook]", ""))
    port = free()
    with Watching(cli, "disks.yaml", "--metrics", port) as watch:
        watch.ready()
        about = {"runbook": "disks", "detector": "disk full"}
        until(lambda: scraped(port, "runbook_detectors", **about, state="well") == 1, told=watch.told)
        flag.touch()
        until(lambda: scraped(port, "runbook_detectors", **about, state="ill") == 1, told=watch.told)
        assert scraped(port, "runbook_incidents", runbook="disks", state="open", severity="high") == 1
        assert scraped(port, "runbook_hosts", runbook="disks", state="ill") == 1
        flag.unlink()
        until(lambda: scraped(port, "runbook_incidents_ended_total", **about, end="cured") == 1, told=watch.told)
        assert scraped(port, "runbook_watch_up", runbook="disks") == 1
        assert scraped(port, "runbook_watch_epoch", runbook="disks") == 1
        assert scraped(port, "runbook_tick_duration_seconds_count", runbook="disks") >= 2
        assert scraped(port, "runbook_lag_seconds", runbook="disks") < 5
        assert scraped(port, "runbook_journal_bytes") > 0
        assert scraped(port, "runbook_time_to_detect_seconds_count", runbook="disks") == 1
        assert scraped(port, "process_resident_memory_bytes") > 0


class Hook(BaseHTTPRequestHandler):
    def log_message(self, *_args):
        pass

    def do_POST(self):
        self.server.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["title"])
        self.send_response(200)
        self.end_headers()


@pytest.fixture
def hook():
    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        server.got = []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_people_are_told_once_over_a_kill_and_again_only_when_it_is_time(cli, flag, hook):
    # It takes the three seconds in which a message waits for more of its kind, twice.
    cli.write("disks.yaml", BOOK.format(remind="1s", flag=flag))
    cli.write("runbook.toml", f'[notify.channels]\nhook = "json://127.0.0.1:{hook.server_port}"\n')
    first, again = "[high] disk full on localhost", "[high] disk full on localhost is still there"
    flag.touch()
    watch = Watching(cli, "disks.yaml", env={"RUNBOOK_CONFIG": ""})
    until(lambda: hook.got == [first], told=watch.told)
    watch.until("channel.told")
    watch.kill()
    with Watching(cli, "disks.yaml", env={"RUNBOOK_CONFIG": ""}, name="second") as second:
        until(lambda: len(hook.got) == 2, told=second.told)
        flag.unlink()
        second.until("incident.ended")
        second.end()  # what waits for more of its kind is told before the end
    assert hook.got[:2] == [first, again]
    assert hook.got[-1] == "disk full on localhost is over"
    assert hook.got.count(first) == hook.got.count(hook.got[-1]) == 1
