"""Metrics, scraped as Prometheus does, of hosts under `advance`: names, values, and an end to what hosts can make up."""

import importlib
import re
import sys
import urllib.error
import urllib.request

import pytest
from fleet import Fleet, done
from prometheus_client.parser import text_string_to_metric_families as parse

from runbook.engine.errors import UserError
from runbook.engine.journal.facts import Fact
from runbook.engine.model import NotSeen, Record, Seen
from runbook.engine.report.metrics import Metrics, listener, serve

BOOK = """
name: servers
hosts: all
detectors:
  - name: server down
    http: http://127.0.0.1:8000/health
    when: status != 200
    severity: high
    recover: [{restart_daemon: {unit: vllm}}]
    verify: {within: 4s}
  - name: gpu hot
    gpu:
    when: temperature > 85
"""


def http(status):
    fields = {"url": "u", "status": status, "ok": status == 200, "latency": 0.1, "body": "", "json": None,
              "error": "", "cert_days_left": None}  # fmt: skip
    return Seen((Record("u", fields),))


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
def scrape(metrics):
    address, close = listener("127.0.0.1:0", metrics)

    def scraped():
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain")
            return answer.read().decode()

    yield scraped
    close()


def values(text):
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse(text)
        for sample in family.samples
    }


def value(text, name, **labels):
    return values(text)[name, frozenset(labels.items())]


def watched(metrics, fleet):
    """Give the metrics what a sitting of this fleet would have told them."""
    observer = metrics.observer("servers")
    for told in fleet.told:
        observer.fact(
            Fact(told.kind, fleet.now, "r", told.host, told.detector, told.subject, told.incident, data=told.data)
        )
    metrics.saw("servers", fleet.state)


def test_a_cured_fault_is_counted_and_what_is_known_now_is_told(tmp_path, metrics, scrape):
    answers = iter([http(503), http(200), http(200)])
    fleet = Fleet(
        tmp_path,
        BOOK,
        hosts=("a", "b"),
        looks={
            ("a", "server down"): lambda *_: next(answers),
            ("b", "server down"): http(200),
            "gpu hot": NotSeen("the driver hangs"),
        },
        acts={"restart_daemon": done(2.0)},
    )
    fleet.go()
    watched(metrics, fleet)
    text = scrape()
    about = {"runbook": "servers", "detector": "server down"}
    assert value(text, "runbook_incidents_opened_total", **about, severity="high") == 1
    assert value(text, "runbook_incidents_ended_total", **about, end="cured") == 1
    step = {"runbook": "servers", "module": "restart_daemon"}
    assert value(text, "runbook_steps_total", **step, status="done") == 1
    assert value(text, "runbook_step_duration_seconds_sum", **step) == 2.0
    assert value(text, "runbook_time_to_heal_seconds_count", runbook="servers") == 1
    assert value(text, "runbook_time_to_heal_seconds_bucket", runbook="servers", le="1.0") == 0
    assert value(text, "runbook_detectors", **about, state="well") == 2
    assert value(text, "runbook_detectors", runbook="servers", detector="gpu hot", state="unknown") == 2
    assert value(text, "runbook_hosts", runbook="servers", state="well") == 2


def test_what_is_open_is_told_by_state_and_severity_and_hosts_by_the_worst_of_theirs(tmp_path, metrics, scrape):
    fleet = Fleet(
        tmp_path,
        BOOK.replace("restart_daemon: {unit: vllm}}", "restart_daemon: {unit: vllm}, mode: approve}"),
        hosts=("a", "b", "c"),
        looks={("a", "server down"): http(503), "server down": http(200), "gpu hot": Seen()},
    )
    fleet.go()
    watched(metrics, fleet)
    text = scrape()
    assert value(text, "runbook_incidents", runbook="servers", state="waiting", severity="high") == 1
    assert value(text, "runbook_detectors", runbook="servers", detector="server down", state="ill") == 1
    assert value(text, "runbook_hosts", runbook="servers", state="waiting") == 1
    assert value(text, "runbook_hosts", runbook="servers", state="well") == 2


def test_a_tick_a_lag_the_standing_and_the_journal_are_told(tmp_path, metrics, scrape):
    (tmp_path / "journal.db").write_bytes(b"x" * 100)
    (tmp_path / "journal.db-wal").write_bytes(b"x" * 20)
    metrics.journal(tmp_path / "journal.db")
    metrics.standing("servers", "active", 3)
    metrics.standing("others", "standby", 7)
    metrics.tick("servers", "a", 0.02, 0.5)
    text = scrape()
    assert value(text, "runbook_tick_duration_seconds_bucket", runbook="servers", le="0.025") == 1
    assert value(text, "runbook_tick_duration_seconds_bucket", runbook="servers", le="0.01") == 0
    assert value(text, "runbook_lag_seconds", runbook="servers") == 0.5
    assert value(text, "runbook_watch_up", runbook="servers") == 1
    assert value(text, "runbook_watch_up", runbook="others") == 0
    assert value(text, "runbook_watch_epoch", runbook="servers") == 3
    assert value(text, "runbook_watch_standing", runbook="others", standing="standby") == 1
    assert value(text, "runbook_journal_bytes") == 120
    metrics.forget("others")
    assert "others" not in scrape()


def test_the_time_to_detect_counts_from_the_event_unless_its_clock_lies(metrics, scrape):
    observer = metrics.observer("logs")
    for at, happened in ((1000.0, 999.95), (1000.0, 5e9), (1000.0, "soon")):
        data = {"severity": "low", "since": 998.0, "fields": {"time": happened}}
        observer.fact(Fact("incident.opened", at, "r", "a", "oom", "", "i", data=data))
    text = scrape()
    assert value(text, "runbook_time_to_detect_seconds_bucket", runbook="logs", le="0.1") == 1
    assert value(text, "runbook_time_to_detect_seconds_bucket", runbook="logs", le="2.5") == 3


def test_no_host_can_make_up_series(metrics, scrape):
    observer = metrics.observer("servers")

    def told(number):
        data = {
            "severity": "high",
            "since": 1.0,
            "fields": {"name": f"made-up-{number}"},
            "reason": f"made-up-{number}",
        }
        observer.fact(
            Fact("incident.opened", 2.0, "r", f"host{number}", "gpu hot", f"made-up-{number}", "i", data=data)
        )
        observer.fact(Fact("look.unknown", 2.0, "r", f"host{number}", "gpu hot", data=data))
        ended = {"module": "command", "status": "failed", "error": f"made-up-{number}", "duration": 1.0}
        observer.fact(Fact("step.ended", 2.0, "r", f"host{number}", "gpu hot", f"made-up-{number}", data=ended))

    told(0)
    few = len(values(scrape()))
    for number in range(1, 500):
        told(number)
    text = scrape()
    assert len(values(text)) == few
    assert "made-up" not in text
    assert "host7" not in text
    for number in range(5000):  # should a label be made of something that has no end after all
        observer.fact(Fact("guard.refused", 2.0, "r", "a", "gpu hot", data={"guard": f"g{number}"}))
    assert sum(name == "runbook_refusals_total" for name, _ in values(scrape())) == 2001


def test_an_address_in_use_is_an_error_that_says_so_and_only_metrics_are_served(metrics):
    address, close = listener("127.0.0.1:0", metrics)
    with pytest.raises(UserError, match=rf"{address} can't be listened on: address already in use"):
        serve(address, metrics)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://{address}/secrets", timeout=10)
    close()
    serve(address, metrics)()  # it was given back


@pytest.mark.parametrize(
    ("given", "said"),
    [("nine", "`nine` names no port"), ("127.0.0.1:70000", "names no port"), ("::1:9464", r"\[::1\]:9464")],
)
def test_what_is_no_address_is_told(metrics, given, said):
    with pytest.raises(UserError) as wrong:
        serve(given, metrics)
    assert re.search(said, str(wrong.value))


def test_without_the_package_the_message_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.delitem(sys.modules, "runbook.engine.report.metrics")
    with pytest.raises(UserError, match=r"pip install 'runbook\[metrics\]'"):
        importlib.import_module("runbook.engine.report.metrics")
