"""What a watch tells systemd, on sockets of the tests' own; tests/system/test_install.py has the real one."""

import os
import socket
import time

import pytest

from runbook.engine.watching.systemd import Notifier, watchdog_interval


@pytest.fixture(params=["path", "abstract"])
def told(request, tmp_path):
    """A socket as systemd has it, and its name in the environment."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@runbook-test-{os.getpid()}-{tmp_path.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(name.replace("@", "\0", 1) if name.startswith("@") else name)
        ear.settimeout(5)
        yield ear, {"NOTIFY_SOCKET": name}


def test_what_is_told_is_what_systemd_reads(told):
    ear, environment = told
    notifier = Notifier(environment)
    notifier.ready("2 runbooks on 3 hosts")
    notifier.status("looking")
    notifier.watchdog()
    notifier.stopping()
    assert [ear.recv(4096).decode() for _ in range(4)] == [
        "READY=1\nSTATUS=2 runbooks on 3 hosts",
        "STATUS=looking",
        "WATCHDOG=1",
        "STOPPING=1",
    ]


def test_a_reload_says_when_it_began_for_notify_reload(told):
    ear, environment = told
    before = time.monotonic_ns() // 1000
    Notifier(environment).reloading("reading anew")
    first, stamp, status = ear.recv(4096).decode().splitlines()
    assert (first, status) == ("RELOADING=1", "STATUS=reading anew")
    assert before <= int(stamp.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


def test_a_status_is_one_line_whatever_is_in_it(told):
    ear, environment = told
    Notifier(environment).status("broken\nWATCHDOG=trigger\x1b[2J\x00 " + "x" * 500)
    said = ear.recv(4096).decode()
    assert said.startswith("STATUS=broken WATCHDOG=trigger [2J xxx")
    assert "\n" not in said
    assert len(said) < 250


def test_the_socket_is_not_left_to_what_is_started(told):
    _, environment = told
    assert Notifier(environment)
    assert environment == {}


@pytest.mark.parametrize("name", [None, "", "vsock:2:1234", "/nowhere/notify", "@nobody-listens-there"])
def test_nothing_is_raised_where_nobody_listens(name):
    notifier = Notifier({} if name is None else {"NOTIFY_SOCKET": name})
    notifier.ready("x")
    notifier.reloading()
    notifier.status("x")
    notifier.watchdog()
    notifier.stopping()


def test_a_systemd_that_does_not_read_holds_a_sign_of_life_up_for_no_moment(told):
    _, environment = told
    notifier = Notifier(environment)
    begun = time.monotonic()
    for _ in range(2000):  # far more than a socket takes
        notifier.watchdog()
    assert time.monotonic() - begun < 2.0


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "60000000"}, 30.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "²"}, None),
    ],
)
def test_the_watchdog_is_fed_twice_as_often_as_systemd_waits(environment, seconds):
    assert watchdog_interval(environment) == seconds
