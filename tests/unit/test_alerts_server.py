"""The server that hears alerts, by real requests: who is heard, what is bounded, and when a sender is told to come again."""

import contextlib
import http.client
import json
import socket
import threading
import time

import pytest

from runbook.engine.alerts import inbox, server
from runbook.engine.alerts.alerts import Alerts
from runbook.engine.alerts.token import token
from runbook.engine.configuration import read
from runbook.engine.errors import UserError

TOKEN = "correct-horse-battery-staple"
BODY = json.dumps({"receiver": "llm", "alerts": [{"status": "firing", "labels": {"alertname": "Down"}}]})


@pytest.fixture
def hear():
    with contextlib.ExitStack() as stack:

        def made(secret=None, address="127.0.0.1:0", taken=True):
            came = threading.Event()
            alerts = Alerts(address, secret, call=came.set)
            stack.callback(alerts.close)
            alerts.got = []

            def take():
                while not over.is_set():
                    if came.wait(0.05):
                        came.clear()
                        for post in alerts.heard():
                            alerts.got.append(post.message)
                            post.taken()

            over = threading.Event()
            thread = threading.Thread(target=take)
            if taken:
                thread.start()
                stack.callback(thread.join)
            stack.callback(over.set)
            return alerts

        yield made


def post(alerts, body=BODY, path="/alerts/llm", method="POST", **headers):
    known = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    host, _, port = alerts.address.rpartition(":")
    line = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=30)
    line.request(method, path, body, known)
    answer = line.getresponse()
    said = answer.read()
    line.close()
    return answer.status, said.decode()


def test_a_message_is_answered_when_it_was_taken_in(hear):
    alerts = hear()
    status, said = post(alerts)
    assert (status, json.loads(said)["what"]) == (200, "taken")
    (got,) = alerts.got
    assert (got.receiver, got.alerts[0].labels) == ("llm", {"alertname": "Down"})
    assert post(alerts, path="/alerts")[0] == 200  # the receiver is the one that the message names
    assert alerts.got[1].receiver == "llm"


def test_one_that_nobody_takes_in_is_to_be_sent_again(hear, monkeypatch):
    monkeypatch.setattr(server, "PATIENCE", 0.2)
    assert post(hear(taken=False))[0] == 503


@pytest.mark.parametrize(
    ("shown", "status"),
    [
        (None, 401),
        ("Bearer wrong", 401),
        (f"Basic {TOKEN}", 401),
        (f"Bearer {TOKEN}x", 401),
        ("Bearer \xff\xfe", 401),
        (f"bearer {TOKEN}", 200),
    ],
)
def test_only_who_has_the_token_is_heard(hear, shown, status):
    alerts = hear(TOKEN)
    headers = {} if shown is None else {"Authorization": shown}
    assert post(alerts, **headers)[0] == status
    assert len(alerts.got) == (status == 200)


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "example.org:9465"])
def test_nobody_listens_to_other_machines_without_a_token(address):
    with pytest.raises(UserError, match="can be reached by others, and nothing tells who may send alerts"):
        Alerts(address)


def test_with_a_token_it_may_and_ipv6_is_listened_on(hear):
    assert hear(TOKEN, "0.0.0.0:0").address.startswith("0.0.0.0:")
    assert post(hear(address="[::1]:0"))[0] == 200


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"path": "/metrics"}, 404),
        ({"path": "/alerts/a/b"}, 404),
        ({"method": "GET"}, 501),
        ({"body": "{"}, 400),
        ({"body": '{"alerts": []}', "path": "/alerts"}, 400),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
        ({"Origin": "http://evil.example"}, 415),
        ({"Content_Length": "99999999"}, 413),
        ({"Content_Length": "-1"}, 411),
        ({"Content_Length": "²"}, 411),
    ],
)
def test_what_is_no_message_is_refused(hear, change, status):
    alerts = hear()
    if "Content_Length" in change:
        with socket.create_connection(("127.0.0.1", int(alerts.address.rpartition(":")[2])), timeout=30) as line:
            head = "POST /alerts/x HTTP/1.1\r\nContent-Type: application/json\r\n"
            line.sendall(f"{head}Content-Length: {change['Content_Length']}\r\n\r\n".encode())
            assert f" {status} ".encode() in line.recv(1000)
    else:
        assert post(alerts, **change)[0] == status
    assert alerts.got == []


def test_a_flood_is_told_to_come_again_later(hear, monkeypatch):
    monkeypatch.setattr(server, "RATE", 0.001)
    monkeypatch.setattr(server, "BURST", 5.0)
    alerts = hear()
    statuses = [post(alerts)[0] for _ in range(8)]
    assert statuses == [200] * 5 + [503] * 3


def test_who_sends_a_byte_now_and_then_is_cut_off_and_the_others_are_served(hear, monkeypatch):
    from runbook.engine import listening

    monkeypatch.setattr(listening, "HEADERS", 0.5)
    alerts = hear()
    port = int(alerts.address.rpartition(":")[2])
    begun = time.monotonic()
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(listening.LINES)]
        for line in slow:
            line.sendall(b"POST /alerts/llm HTTP/1.1\r\nContent-Le")
            line.settimeout(10)
        for line in slow:
            assert line.recv(100) == b""
        assert time.monotonic() - begun < 5
        assert post(alerts)[0] == 200


def test_trickling_headers_do_not_make_them_last(hear, monkeypatch):
    from runbook.engine import listening

    monkeypatch.setattr(listening, "HEADERS", 0.5)
    port = int(hear().address.rpartition(":")[2])
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", port)) as line, contextlib.suppress(OSError):
        line.settimeout(0.05)
        line.sendall(b"POST /alerts/llm HTTP/1.1\r\n")
        while time.monotonic() - begun < 10:
            line.sendall(b"X: y\r\n")
            with contextlib.suppress(TimeoutError):
                assert line.recv(100) == b""
                break
    assert 0.4 < time.monotonic() - begun < 3


def test_the_oldest_who_sends_nothing_makes_way_and_who_waits_for_its_answer_does_not(hear, monkeypatch):
    from runbook.engine import listening

    monkeypatch.setattr(listening, "LINES", 4)
    alerts = hear(taken=False)
    host, port = "127.0.0.1", int(alerts.address.rpartition(":")[2])
    said = []
    waits = threading.Thread(target=lambda: said.append(post(alerts)[0]))
    waits.start()
    while not (first := alerts.heard()):
        time.sleep(0.01)
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(socket.create_connection((host, port), timeout=10)) for _ in range(3)]
        idle[1].sendall(b"POST /alerts/llm HTTP/1.1\r\nContent-Length: 9\r\nContent-Type: application/json\r\n\r\n")
        assert post(alerts, path="/other")[0] == 404
        assert idle[0].recv(100) == b""
        assert post(alerts, path="/other")[0] == 404
        first[0].taken()
        waits.join()
        assert said == [200]


def test_an_address_in_use_is_told(hear):
    alerts = hear()
    with pytest.raises(UserError, match=f"{alerts.address} can't be listened on: address already in use"):
        Alerts(alerts.address)


def test_a_closed_one_takes_nothing_and_gives_its_address_back(hear):
    alerts = Alerts("127.0.0.1:0")
    alerts.close()
    with pytest.raises(inbox.Full):
        alerts.inbox.put(None)
    hear(address=alerts.address)


def configured(tmp_path, text):
    file = tmp_path / "config.toml"
    file.write_text(text)
    file.chmod(0o600)
    return read({"RUNBOOK_CONFIG": str(file)})


def test_the_token_is_read_from_where_the_configuration_says(tmp_path, monkeypatch):
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    monkeypatch.setenv("ALERTS", TOKEN)
    assert token(configured(tmp_path, f'[alerts]\ntoken = {{file = "{tmp_path}/token"}}')) == TOKEN
    assert token(configured(tmp_path, '[alerts]\ntoken = {env = "ALERTS"}')) == TOKEN
    assert token(configured(tmp_path, "")) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f'[alerts]\ntoken = "{TOKEN}"', "`token` is not said to be anywhere"),
        ('[alerts]\ntoken = {env = "NOT_THERE"}', "no text of 16 ASCII characters or more"),
        ('[alerts]\ntoken = {file = "/nowhere/at/all"}', "can't be read: no such file"),
        ('[alerts]\ntokn = {env = "X"}', "has no `tokn`"),
    ],
)
def test_a_token_that_can_not_be_had_is_an_error_without_it(tmp_path, text, said):
    with pytest.raises(UserError, match=said) as wrong:
        token(configured(tmp_path, text))
    assert TOKEN not in str(wrong.value)
