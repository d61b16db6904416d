"""The probes `progress` and `metric` on real files and servers, look after look, as the journal hands their memory on."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import math
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from runbook.engine.fleet import Spec, local
from runbook.engine.language import params as parameters
from runbook.engine.model import UNKNOWN, Lacking, NotSeen, Seen
from runbook.modules import catalogue


class Looking:
    """One detector's looks: each is given what the one before kept, as JSON, as the journal has it."""

    def __init__(self, directory, probe, **params):
        self.directory = directory
        cls = catalogue.probe(probe)
        self.spec = (probe, parameters.coerce(cls, parameters.spread(cls, params)))
        self.state = {}
        self.restart()

    def restart(self):
        """Look from a new agent, as after a restart of the engine or the host's session."""
        with contextlib.suppress(AttributeError):
            self.agent.close()
        self.agent = local.connect(self.directory)

    def __call__(self):
        found = self.agent.probe([Spec("x", *self.spec, self.state)])["x"]
        if isinstance(found, Seen):
            self.state = json.loads(json.dumps(found.state, allow_nan=False))
        return found

    @property
    def one(self):
        found = self()
        assert isinstance(found, Seen), found
        [record] = found.records
        return record.fields


@pytest.fixture
def looking(tmp_path):
    made = []

    def start(probe, **params):
        made.append(Looking(tmp_path / "agent", probe, **params))
        return made[-1]

    yield start
    for each in made:
        each.agent.close()


@pytest.fixture
def page():
    """A server whose page can be set; `status` too."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(server.status)
            self.end_headers()
            self.wfile.write(server.text.encode())

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.text, server.status = "", 200
        server.url = f"http://127.0.0.1:{server.server_address[1]}/metrics"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_the_clock_goes_on_over_a_restart_and_stops_when_the_number_rises(tmp_path, looking):
    status = tmp_path / "status.json"
    status.write_text('{"train": {"step": 7}}')
    look = looking("progress", json=str(status), field="train.step")
    first = look.one
    assert (first["value"], first["previous"], first["stalled_for"] < 0.5) == (7, None, True)
    look.restart()
    second = look.one
    assert second["stalled_for"] > first["stalled_for"]
    status.write_text('{"train": {"step": 8}}')
    third = look.one
    assert (third["value"], third["previous"]) == (8, 7)
    assert third["stalled_for"] < second["stalled_for"]
    assert third["rate"] > 0


def test_a_status_file_that_is_half_written_or_gone_keeps_its_value_and_its_clock(tmp_path, looking):
    status = tmp_path / "status.json"
    look = looking("progress", json=str(status), field="step")
    assert look() == Lacking(f"{status} is not there: nothing has begun yet")
    status.write_text('{"step": 7}')
    clocks = [look.one["stalled_for"]]
    for content in ('{"step": 8', "", None):
        if content is None:
            status.unlink()
        else:
            status.write_text(content)
        fields = look.one
        assert (fields["value"], bool(fields["reason"])) == (7, True)
        clocks.append(fields["stalled_for"])
    assert clocks == sorted(set(clocks))


def test_a_log_is_read_on_over_rotation_and_a_new_run_starts_the_clock_anew(tmp_path, looking):
    log = tmp_path / "train.log"
    log.write_text("step 1\nstep 5\nother\n")
    look = looking("progress", log=str(log), pattern=r"step (\d+)")
    assert look.one["value"] == 5
    with log.open("a") as file:
        file.write("step 6\nstep 7\n")
    log.rename(tmp_path / "train.log.1")
    log.write_text("step 9\n")
    assert (look.one["value"], look.state["clocks"][str(log)]["previous"]) == (9, 5)
    with log.open("a") as file:
        file.write("step 10\nstarting\nstep 2\n")
    fields = look.one
    assert (fields["value"], fields["previous"], fields["rate"]) == (2, 9, None)


def test_each_series_of_a_counter_has_its_own_clock(page, looking):
    page.text = '# TYPE tokens_total counter\ntokens_total{rank="0"} 5\ntokens_total{rank="1"} 5\n'
    look = looking("progress", url=page.url, metric="tokens_total")
    look()
    page.text = page.text.replace('"1"} 5', '"1"} 6')
    still, moving = (record.fields for record in look().records)
    assert (still["source"], moving["source"]) == ('tokens_total{rank="0"}', 'tokens_total{rank="1"}')
    assert still["stalled_for"] > moving["stalled_for"]
    page.status = 503
    assert [record.fields["reason"] for record in look().records] == [f"{page.url} gives no page: status 503"] * 2


def test_each_line_of_a_log_is_a_sample_once_at_its_own_time(tmp_path, looking):
    log = tmp_path / "train.log"
    log.write_text("loss 9\nloss 8.5\n")
    look = looking("metric", log=str(log), pattern=r"loss (?P<value>\S+)", window=100)
    assert (look.one["value"], look.one["samples"]) == (8.5, 1)
    with log.open("a") as file:
        file.writelines(f"loss {value}\n" for value in (8, 7, 6, 5))
    look.restart()
    fields = look.one
    assert (fields["value"], fields["samples"], fields["mean"], fields["nan"]) == (5, 5, 6.9, 0)
    assert fields["slope"] < 0
    assert look.one["samples"] == 5
    with log.open("a") as file:
        file.write("loss nan\nloss inf\nloss 4\n")
    fields = look.one
    assert (fields["value"], fields["samples"], fields["nan"], round(fields["zscore"], 4)) == (4, 8, 2, -2.0254)


def test_times_that_lines_bear_are_those_of_the_samples(tmp_path, looking):

    log = tmp_path / "train.log"
    log.write_text("")
    look = looking("metric", log=str(log), pattern=r"loss (\S+)")
    look()
    now = dt.datetime.now(dt.UTC)
    with log.open("a") as file:
        for ago, value in ((30, 9), (20, 7), (10, 5)):
            file.write(f"{(now - dt.timedelta(seconds=ago)).isoformat()} loss {value}\n")
    assert round(look.one["slope"], 3) == -0.2


def test_named_groups_part_a_log_into_series(tmp_path, looking):
    log = tmp_path / "train.log"
    log.write_text("")
    look = looking("metric", log=str(log), pattern=r"\[rank(?P<rank>\d+)\] loss (?P<value>\S+)")
    assert look().records == ()
    log.write_text("[rank0] loss 1.5\n[rank1] loss nan\n[rank0] loss 2.5\n")
    found = {record.fields["labels"]["rank"]: record for record in look().records}
    assert found["0"].subject == f'{log}{{rank="0"}}'
    assert (found["0"].fields["value"], found["0"].fields["samples"]) == (2.5, 2)
    assert (found["1"].fields["value"], found["1"].fields["nan"], found["1"].fields["mean"]) == (None, 1, UNKNOWN)


def test_a_page_larger_than_other_answers_is_read_whole(page, looking):
    page.text = "".join(f'fill{{n="{n}"}} 1\n' for n in range(20_000)) + "vllm:num_requests_waiting 12\n"
    assert len(page.text) > 256 * 1024
    assert looking("metric", url=page.url, metric="vllm:num_requests_waiting").one["value"] == 12


def test_a_server_that_is_gone_is_unknown_and_its_window_stays(page, looking):
    page.text = "queue 3\n"
    look = looking("metric", url=page.url, metric="queue")
    look()
    page.status = 500
    assert look() == NotSeen(f"{page.url} gives no page: status 500")
    page.status, page.text = 200, "queue 5\n"
    assert (look.one["samples"], look.one["mean"]) == (2, pytest.approx(13 / 3))


def test_what_is_kept_of_many_series_and_samples_is_bounded(page, tmp_path, looking):
    page.text = "".join(f'm{{n="{n}"}} {n}\n' for n in range(3000))
    look = looking("metric", url=page.url, metric="m")
    look()
    assert len(look.state["series"]) == 200
    assert look.state["trouble"] == "2800 series more than are kept: narrow them down by labels"
    assert [record.subject for record in look().records][:2] == ['m{n="0"}', 'm{n="1"}']
    log = tmp_path / "x.log"
    log.write_text("")
    busy = looking("metric", log=str(log), pattern=r"v (\d+)")
    busy()
    log.write_text("".join(f"v {n}\n" for n in range(5000)))
    assert busy.one["samples"] == 500
    assert len(json.dumps(busy.state)) < 20_000, len(json.dumps(busy.state))


def test_json_of_a_server_and_nan_in_it(page, looking):
    page.text = '{"gauges": [{"loss": NaN}]}'
    fields = looking("metric", json=page.url, field="gauges[0].loss").one
    assert (fields["value"], fields["nan"], fields["samples"]) == (None, 1, 1)
    assert not math.isnan(fields["samples"])
