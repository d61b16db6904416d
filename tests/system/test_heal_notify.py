"""Calls of a program's functions tell people by the configuration's channels, and wait for none of them."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from runbook import Engine
from runbook.engine.errors import UserError
from runbook.engine.journal.store import open_journal

BOOK = """
name: api
operations:
  - name: generate
    call:
    retry: {strategy: immediate, attempts: 2}
detectors:
  - name: quota
    error: quota
    recover: [{notify: "out of quota: {{ incident.message }}"}]
    retry: {strategy: immediate, attempts: 2}
"""


class Hook(BaseHTTPRequestHandler):
    def log_message(self, *_args):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.server.open.wait(20)
        self.server.got.append(body["message"])
        self.send_response(200)
        self.end_headers()


@pytest.fixture
def hook():
    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        server.got, server.open = [], threading.Event()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.open.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def make(tmp_path, hook, monkeypatch):
    pytest.importorskip("apprise")
    config = tmp_path / "config.toml"
    address = f"json://127.0.0.1:{hook.server_port}/"
    config.write_text(f'[notify]\ndefault = ["hook"]\n[notify.channels]\nhook = "{address}"\n')
    monkeypatch.setenv("RUNBOOK_CONFIG", str(config))

    def engine(text=BOOK):
        (tmp_path / "api.yaml").write_text(text)
        return Engine(tmp_path / "api.yaml", journal=str(tmp_path / "journal.db"))

    return engine


def channel_told(tmp_path):
    with open_journal(str(tmp_path / "journal.db")) as journal:
        rows = journal.ask("SELECT data ->> 'channel', data ->> 'status' FROM events WHERE kind = 'channel.told'", ())
    return [tuple(row) for row in rows]


def refused(*_args):
    raise RuntimeError("402: quota used up")


def test_a_message_of_a_recovery_goes_to_the_channels_while_the_caller_goes_on(make, hook, tmp_path):
    engine = make()
    with pytest.raises(RuntimeError, match="quota used up"):
        engine.run(refused)
    assert hook.got == []  # nobody has let it through yet, and the call is over
    hook.open.set()
    engine.close()
    assert "out of quota: RuntimeError: 402: quota used up" in hook.got[0]
    assert channel_told(tmp_path)[0] == ("hook", "sent")


def test_a_fault_that_was_told_and_is_over_is_told_to_be_over(make, hook, tmp_path):
    hook.open.set()
    answers = iter([refused])

    def flaky():
        failing = next(answers, None)
        return failing() if failing else "hello"

    with make() as engine:
        assert engine.run(flaky) == "hello"
    assert len(hook.got) == 2
    assert "out of quota" in hook.got[0]
    assert "quota is over" in hook.got[1]
    assert channel_told(tmp_path) == [("hook", "sent"), ("hook", "sent")]


def test_a_call_without_a_fault_starts_no_process_and_no_thread(make, hook):
    with make() as engine:
        before = threading.active_count()
        assert engine.run(lambda: "hello") == "hello"
        assert threading.active_count() == before
    assert hook.got == []


def test_a_channel_that_is_not_there_is_told_when_the_engine_is_made(make):
    with pytest.raises(UserError, match="there is no channel `hok`"):
        make(BOOK.replace('notify: "', 'notify: {channels: [hok], message: "').replace('}}"}]', '}}"}}]'))
