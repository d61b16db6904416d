"""`http_request` and `reconnect` against real servers on the loopback, and a real browser's debugging port."""

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

SECRET = "hunter2-hunter2"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_args):
        pass

    def do_GET(self):
        server = self.server
        length = int(self.headers.get("Content-Length") or 0)
        server.seen.append((self.command, self.path, dict(self.headers), self.rfile.read(length).decode()))
        status, headers, body = server.answers.pop(0) if server.answers else (200, {}, b"fine")
        if status == 0:
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 -- the library's name


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        made.seen, made.answers = [], []
        made.url = f"http://127.0.0.1:{made.server_port}"
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def said(ran):
    """What was printed, however its lines were broken."""
    return " ".join(ran.out.split())


def operation(url, more="", step=""):
    return f"""
name: asks
secrets:
  token: {{env: THE_TOKEN}}
operations:
  - name: ask
    http_request:
      url: {url}
      {step}
    timeout: 20s
    {more}
"""


def test_a_retry_after_reaches_the_next_attempt_s_delay(cli, server):
    server.answers = [(429, {"Retry-After": "2"}, b"slow down"), (200, {}, b"at last")]
    book = cli.write("ask.yaml", operation(f"{server.url}/x", "retry: {strategy: immediate, attempts: 3}"))
    began = time.monotonic()
    ran = cli("apply", book, "--format", "jsonl", env={"THE_TOKEN": SECRET})
    assert ran.exit_code == 0
    facts = [json.loads(line) for line in ran.out.splitlines()]
    (delayed,) = [fact for fact in facts if fact["event"] == "attempt.delayed"]
    assert delayed["data"]["delay"] == 2
    assert time.monotonic() - began >= 2
    (first, _) = [fact for fact in facts if fact["event"] == "attempt.ended"]
    assert "answered 429 Too Many Requests (it wants to be asked again in 2 s): slow down" in first["data"]["error"]
    assert len(server.seen) == 2


def test_a_refusal_can_be_matched_by_an_error_detector(cli, server):
    server.answers = [(503, {}, b"loading the model")]
    text = operation(server.url, "retry: {strategy: immediate, attempts: 2}") + (
        "detectors:\n  - name: overloaded\n    error: '503 Service Unavailable.*loading'\n"
        "    recover: [{wait: 0s}]\n    limit: 3 per 1h\n"
    )
    ran = cli.json("apply", cli.write("ask.yaml", text), env={"THE_TOKEN": SECRET})
    assert (ran.exit_code, ran.incidents["overloaded"]["state"]) == (0, "cured")


def test_a_secret_in_a_header_is_sent_and_never_shown(cli, server):
    server.answers = [(401, {}, f"bad token Bearer {SECRET}".encode())] * 2
    step = 'headers: {Authorization: "Bearer {{ secrets.token }}"}\n      method: POST\n      json: {a: "{{ secrets.token }}"}'
    book = cli.write("ask.yaml", operation(server.url, step=step))
    shown = [cli("apply", book, *words, env={"THE_TOKEN": SECRET}) for words in (("-vv",), ("--format", "jsonl"))]
    assert [ran.exit_code for ran in shown] == [2, 2]
    (method, _, headers, body), _ = server.seen
    assert (method, headers["Authorization"], headers["Content-Type"]) == (
        "POST",
        f"Bearer {SECRET}",
        "application/json",
    )
    assert json.loads(body) == {"a": SECRET}
    kept = b"".join(path.read_bytes() for path in cli.home.rglob("*") if path.is_file())
    for text in (*(ran.out + ran.err for ran in shown), kept.decode("latin-1")):
        assert SECRET not in text
    assert "answered 401 Unauthorized: bad token ***" in said(shown[0])


def test_a_check_sends_nothing(cli, server):
    ran = cli("apply", cli.write("ask.yaml", operation(server.url)), "--check", env={"THE_TOKEN": SECRET})
    assert (ran.exit_code, server.seen) == (0, [])
    assert f"GET {server.url}" in said(ran)


def test_what_was_answered_can_be_registered_and_asked_for(cli, server):
    server.answers = [(200, {"Content-Type": "application/json"}, b'{"ready": true, "name": "x y&z"}')]
    text = f"""
name: asks
operations:
  - {{name: one, http_request: "{server.url}/one", register: one, timeout: 20s}}
  - name: two
    when: one.json.ready and one.status == 200
    http_request: {{url: "{server.url}/two", query: {{name: "{{{{ one.json.name }}}}"}}}}
    timeout: 20s
"""
    assert cli("apply", cli.write("ask.yaml", text)).exit_code == 0
    assert [path for _, path, *_ in server.seen] == ["/one", "/two?name=x+y%26z"]


def test_a_body_is_saved_below_writable_and_not_again_when_it_is_the_same(cli, server, tmp_path):
    place = tmp_path / "kept"
    place.mkdir()
    server.answers = [(200, {}, b"one"), (200, {}, b"one"), (200, {}, b"x" * 200)]
    ask = ("run", "http_request", f"url={server.url}", f"save={place}/answer", "largest=100B", "--writable", place)
    first, second, third = (cli.json(*ask) for _ in range(3))
    assert (place / "answer").read_bytes() == b"one"
    steps = [ran.host["operations"][0]["steps"][0] for ran in (first, second, third)]
    assert [(step["state"], step["changed"]) for step in steps] == [("done", True), ("done", False), ("failed", False)]
    assert "longer than `largest` (100 bytes)" in steps[2]["error"]
    outside = cli("run", "http_request", f"url={server.url}", f"save={tmp_path}/elsewhere", "--writable", place)
    assert (outside.exit_code, (tmp_path / "elsewhere").exists(), len(server.seen)) == (2, False, 3)


def test_a_server_that_never_answers_is_given_up(cli):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        ran = cli("run", "http_request", f"url={url}", "timeout=300ms")
        assert (ran.exit_code, "no answer within 0.3 s" in said(ran)) == (2, True)
        late = cli("run", "http_request", f"url={url}", "--timeout", "500ms")
        assert (late.exit_code, "did not end within its timeout of 0.5 s" in said(late)) == (2, True)
        assert time.monotonic() - began < 15


def test_what_a_host_wrote_into_an_address_opens_no_second_line(cli, server):
    server.answers = [(200, {}, b'{"name": "a HTTP/1.1\\r\\nX-Admin: 1\\r\\n\\r\\n"}')]
    text = f"""
name: asks
operations:
  - {{name: one, http_request: "{server.url}/one", register: one, timeout: 20s}}
  - {{name: two, http_request: "{server.url}/{{{{ one.json.name }}}}", timeout: 20s}}
"""
    ran = cli("apply", cli.write("ask.yaml", text))
    assert (ran.exit_code, len(server.seen)) == (2, 1)
    assert "holds a blank or a control character" in said(ran)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_a_connection_is_awaited_until_it_is_taken_and_given_up_in_time(cli):
    port = free_port()
    began = time.monotonic()
    ran = cli("run", "reconnect", f"address=127.0.0.1:{port}", "within=1s", "every=100ms")
    assert (ran.exit_code, time.monotonic() - began < 10) == (2, True)
    assert f"127.0.0.1:{port} did not answer within 1 s, asked" in said(ran)
    assert "connection refused" in said(ran)
    script = f"import socket, time; time.sleep(1.5); s = socket.create_server(('127.0.0.1', {port})); time.sleep(60)"
    late = subprocess.Popen([shutil.which("python3"), "-c", script])
    try:
        ran = cli.json("run", "reconnect", f"address=127.0.0.1:{port}", "within=20s", "every=100ms")
        (step,) = ran.host["operations"][0]["steps"]
        assert (step["state"], step["changed"]) == ("done", False)
    finally:
        late.kill()
        late.wait()


def test_an_endpoint_that_answers_with_an_error_is_not_reconnected(cli, server):
    server.answers = [(500, {}, b"")] * 50
    ran = cli("run", "reconnect", f"address={server.url}/health", "within=600ms", "every=100ms")
    assert (ran.exit_code, "it answers with status 500" in said(ran)) == (2, True)
    server.answers = [(503, {}, b""), (0, {}, b""), (204, {}, b"")]
    assert cli("run", "reconnect", f"address={server.url}/health", "within=10s", "every=100ms").exit_code == 0
    assert cli("run", "reconnect", f"address=ws://127.0.0.1:{server.server_port}/", "within=300ms").exit_code == 2


def test_a_command_makes_the_connection_anew(cli, server, tmp_path):
    words = ("address=" + server.url, f"command=touch {tmp_path}/done", "within=5s")
    assert cli("run", "reconnect", *words, "--check").exit_code == 0
    assert ((tmp_path / "done").exists(), server.seen) == (False, [])
    ran = cli.json("run", "reconnect", *words)
    assert (ran.host["operations"][0]["steps"][0]["changed"], (tmp_path / "done").exists()) == (True, True)


@contextmanager
def browser(place: Path):
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no chromium is installed here")
    argv = [program, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
            "--disable-dev-shm-usage", f"--user-data-dir={place}", "--remote-debugging-port=0", "about:blank"]  # fmt: skip
    process = subprocess.Popen(
        argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        env={**os.environ, "HOME": str(place.parent)},
    )  # fmt: skip
    try:
        told, end = place / "DevToolsActivePort", time.monotonic() + 60
        while not (told.exists() and told.read_text().count("\n")):
            assert time.monotonic() < end, "the browser did not start"
            assert process.poll() is None
            time.sleep(0.05)
        yield process, int(told.read_text().split()[0])
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_browser_is_reconnected_where_it_answers_and_not_while_it_hangs(cli, tmp_path):
    with browser(tmp_path / "profile") as (process, port):
        ask = ("run", "reconnect", f"address=cdp://127.0.0.1:{port}", "every=200ms")
        assert cli(*ask, "within=20s").exit_code == 0
        os.kill(process.pid, signal.SIGSTOP)
        try:
            ran = cli(*ask, "within=1500ms")
        finally:
            os.kill(process.pid, signal.SIGCONT)
        assert (ran.exit_code, "did not answer within 1.5 s" in said(ran)) == (2, True)
        assert cli(*ask, "within=20s").exit_code == 0
        with_socket = json.loads(
            cli.json("run", "http_request", f"url=http://127.0.0.1:{port}/json/version").host["operations"][0]["steps"][
                0
            ]["output"]
        )
        page = with_socket["webSocketDebuggerUrl"]
        assert cli("run", "reconnect", f"address={page}", "within=10s").exit_code == 0
    gone = cli(*ask, "within=300ms")
    assert (gone.exit_code, "connection refused" in said(gone)) == (2, True)
