"""The http and port probes against real servers on the loopback: slow, resetting, refusing, lying, encrypted."""

import os
import socket
import ssl
import struct
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from runbook.modules.host import Host
from runbook.modules.probes.http import Http
from runbook.modules.probes.port import Port


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_args):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        path = self.path
        if path == "/json":
            self.answer(200, b' {"status": "ok", "n": 3}', Content_Type="application/json")
        elif path == "/echo":
            self.answer(
                200, f"{self.command} {self.headers.get('X-Test')} {self.headers.get('Authorization')}".encode()
            )
        elif path.startswith("/hop/"):
            left = int(path[5:])
            self.answer(302, Location=f"/hop/{left - 1}" if left else "/json")
        elif path == "/away":
            self.answer(302, Location=f"http://localhost:{self.server.server_port}/echo")
        elif path == "/idna":
            self.answer(200, b"all is well", Content_Type=f"text/plain; charset={self.headers['X-Charset']}")
        elif path == "/deep":
            self.answer(200, b'{"a":' * 900 + b"1" + b"}" * 900)
        elif path == "/lost":
            self.answer(302, Location="ftp://127.0.0.1/")
        elif path == "/large":
            self.answer(200, b"x" * 200_000)
        elif path == "/error":
            self.answer(503, b"loading")
        elif path == "/short":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"half")
            self.close_connection = True
        else:
            self.answer(200, path.encode())

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/see":
            self.answer(303, Location="/echo")
        elif self.path == "/hand-over":
            self.answer(307, Location=f"http://localhost:{self.server.server_port}/x")
        elif self.path == "/stay":
            self.answer(307, Location="/x")
        else:
            self.answer(201, body)


@pytest.fixture(scope="module")
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@contextmanager
def talking(talk):
    """A server that says to each caller what `talk` says, on a thread of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stop = threading.Event()
        listener.settimeout(0.05)

        def serve():
            while not stop.is_set():
                try:
                    caller, _ = listener.accept()
                except TimeoutError:
                    continue
                with caller:
                    caller.settimeout(5)
                    with suppress(OSError):
                        talk(caller, stop)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            stop.set()
            thread.join()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def ask(url, env=None, **options):
    probe = Http(url, **options)
    probe.check()
    [record] = probe.look(Host(env=env or {}))
    return record


def test_an_answer_is_seen_with_its_body_and_its_json(server):
    record = ask(f"{server}/json")
    assert (record.status, record.ok, record.error) == (200, True, "")
    assert record.json == {"status": "ok", "n": 3}
    assert record.cert_days_left is None
    assert 0 < record.latency < 5


def test_a_status_of_failure_is_an_answer(server):
    record = ask(f"{server}/error")
    assert (record.status, record.ok, record.body, record.json) == (503, False, "loading", None)


def test_expected_statuses_are_ok_and_no_others(server):
    assert ask(f"{server}/error", expect=(503,)).ok
    assert not ask(f"{server}/json", expect=(503,)).ok


def test_method_headers_and_body_are_sent(server):
    assert ask(f"{server}/echo", headers={"X-Test": "yes"}).body == "GET yes None"
    record = ask(f"{server}/x", method="POST", body="prompt ä")
    assert (record.status, record.body) == (201, "prompt ä")


def test_five_redirects_are_followed_and_no_more(server):
    assert ask(f"{server}/hop/4").status == 200
    record = ask(f"{server}/hop/5")
    assert (record.status, record.error) == (0, "more than 5 redirects")


def test_a_redirect_after_a_post_is_asked_for_by_get(server):
    assert ask(f"{server}/see", method="POST", body="x").body == "GET None None"


def test_no_header_is_carried_to_another_server(server):
    headers = {"Authorization": "Bearer secret", "X-Test": "yes"}
    assert ask(f"{server}/echo", headers=headers).body == "GET yes Bearer secret"
    assert ask(f"{server}/away", headers=headers).body == "GET None None"


def test_a_body_is_sent_on_by_the_same_server_and_not_to_another_one(server):
    assert ask(f"{server}/stay", method="POST", body="token").body == "token"
    record = ask(f"{server}/hand-over", method="POST", body="token")
    assert record.status == 0
    assert "which was not meant to get the body" in record.error


@pytest.mark.parametrize("charset", ["idna", "hex", "no-such", "rot13", "undefined", "utf-8", '"a\'b"'])
def test_a_charset_that_is_none_for_text_is_no_failure(server, charset):
    record = ask(f"{server}/idna", headers={"X-Charset": charset})
    assert (record.status, record.body) == (200, "all is well")


def test_an_answer_that_is_nested_beyond_measure_is_no_json(server):
    record = ask(f"{server}/deep")
    assert (record.status, record.json) == (200, None)


def test_a_redirect_to_what_is_no_web_address_is_an_error(server):
    record = ask(f"{server}/lost")
    assert record.status == 0
    assert "redirected to what is no address" in record.error


def test_64_kib_of_a_body_are_kept(server):
    assert len(ask(f"{server}/large").body) == 65536


def test_a_refusal_is_status_0():
    record = ask(f"http://127.0.0.1:{free_port()}/")
    assert (record.status, record.ok, record.error) == (0, False, "connection refused")


def test_an_unknown_name_is_status_0():
    record = ask("http://no-such-host.invalid/", timeout_=10.0)
    assert record.status == 0
    assert "no such name" in record.error or "no answer" in record.error


def test_a_reset_is_status_0():
    def reset(caller, _stop):
        caller.recv(100)
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with talking(reset) as port:
        record = ask(f"http://127.0.0.1:{port}/")
    assert (record.status, record.error) == (0, "connection reset by peer")


def test_a_server_that_hangs_up_is_status_0(server):
    with talking(lambda caller, _stop: caller.recv(1000)) as port:
        assert ask(f"http://127.0.0.1:{port}/").error == "the server hung up without an answer"
    record = ask(f"{server}/short")
    assert (record.status, record.error) == (0, "the server hung up in the middle of its answer")


def test_what_speaks_no_http_is_status_0():
    with talking(lambda caller, _stop: caller.sendall(b"SSH-2.0-OpenSSH\r\n")) as port:
        record = ask(f"http://127.0.0.1:{port}/")
    assert record.status == 0
    assert "does not speak HTTP" in record.error


def test_a_silent_server_is_status_0_when_the_time_is_over():
    with talking(lambda _caller, stop: stop.wait(5)) as port:
        begun = time.monotonic()
        record = ask(f"http://127.0.0.1:{port}/", timeout_=0.2)
    assert time.monotonic() - begun < 2
    assert (record.status, record.error) == (0, "no answer within 0.2 s")
    assert record.latency >= 0.2


def test_a_server_that_drips_can_not_hold_the_probe():
    def drip(caller, stop):
        caller.sendall(b"HTTP/1.1 200 OK\r\n")
        while not stop.wait(0.02):
            caller.sendall(b"X")

    with talking(drip) as port:
        begun = time.monotonic()
        record = ask(f"http://127.0.0.1:{port}/", timeout_=0.3)
    assert time.monotonic() - begun < 2
    assert (record.status, record.error) == (0, "no answer within 0.3 s")


def test_a_proxy_is_used_for_others_and_never_for_this_host(server):
    env = {"http_proxy": server, "no_proxy": "inner.example"}
    assert ask("http://service.example/a", env=env).body == "http://service.example/a"
    dead = {"http_proxy": f"http://127.0.0.1:{free_port()}"}
    assert ask(f"{server}/json", env=dead).status == 200
    assert ask("http://inner.example.invalid/", env={**dead, "no_proxy": "inner.example.invalid"}).error != (
        "connection refused"
    )


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")

    def make(name, begin, end):
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        command += ["-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.pem", "-subj", "/CN=localhost"]
        command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        if begin:
            # an ended certificate: signed with dates of its own
            command = [*command[:2], *command[3:]]
            request = [c for c in command if c != "-x509"]
            request[request.index("-out") + 1] = f"{folder}/{name}.csr"
            subprocess.run(request, check=True, capture_output=True)
            (folder / "db").touch()
            (folder / "serial").write_text("01")
            (folder / "ca.cnf").write_text(
                f"[ca]\ndefault_ca=d\n[d]\ndatabase={folder}/db\nserial={folder}/serial\nnew_certs_dir={folder}\n"
                "default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n"
            )
            sign = ["openssl", "ca", "-batch", "-selfsign", "-config", f"{folder}/ca.cnf"]
            sign += ["-keyfile", f"{folder}/{name}.key", "-in", f"{folder}/{name}.csr", "-out", f"{folder}/{name}.pem"]
            sign += ["-startdate", begin, "-enddate", end, "-notext"]
            subprocess.run(sign, check=True, capture_output=True)
        else:
            subprocess.run([*command, "-days", end], check=True, capture_output=True)
        return f"{folder}/{name}.pem", f"{folder}/{name}.key"

    try:
        return {"good": make("good", "", "30"), "ended": make("ended", "20200101000000Z", "20210101000000Z")}
    except FileNotFoundError:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip("no openssl to make certificates with")


@contextmanager
def secure(pair):
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*pair)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_args: None
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"https://localhost:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_days_that_are_left_of_a_certificate_are_seen(certificates):
    with secure(certificates["good"]) as url:
        record = ask(f"{url}/json", verify=False)
    assert record.status == 200
    assert 29 < record.cert_days_left <= 30


def test_a_certificate_that_nobody_trusts_is_status_0_and_its_days_are_seen(certificates):
    with secure(certificates["good"]) as url:
        record = ask(f"{url}/json")
    assert (record.status, record.ok) == (0, False)
    assert "the certificate is not trusted: self" in record.error
    assert 29 < record.cert_days_left <= 30


def test_an_ended_certificate_has_negative_days(certificates):
    with secure(certificates["ended"]) as url:
        record = ask(f"{url}/json")
    assert record.status == 0
    assert record.cert_days_left < -365


def test_tls_with_a_server_that_has_none_is_status_0(server):
    record = ask(server.replace("http", "https"))
    assert record.status == 0
    assert "no TLS" in record.error


def look_at(address, **options):
    probe = Port(address, **options)
    probe.check()
    [record] = probe.look(Host())
    return record


def test_a_listening_port_is_open():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert look_at(f"127.0.0.1:{port}").open
        record = look_at(str(port))
    assert (record.address, record.open, record.error) == (f"127.0.0.1:{port}", True, "")
    assert 0 <= record.latency < 3


def test_a_port_of_an_ip6_address_is_open():
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 on the loopback")
    with listener:
        port = listener.getsockname()[1]
        assert look_at(f"[::1]:{port}").open


def test_a_refusing_port_and_an_unknown_name_are_not_open():
    record = look_at(f"127.0.0.1:{free_port()}")
    assert (record.open, record.error) == (False, "connection refused")
    assert not look_at("no-such-host.invalid:80", timeout_=10.0).open
