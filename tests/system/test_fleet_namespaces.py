"""The hosts that can be cut off, themselves: they are cut off, they are healed, and they go with whoever made them."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import fleet_namespaces
import pytest

KEEPER = """
import pathlib, sys
sys.path.insert(0, sys.argv[1])
import fleet_namespaces
with fleet_namespaces.running(pathlib.Path(sys.argv[2]), 0, 2) as hosts:
    print(*(host.link for host in hosts.values()), flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    if lacks := fleet_namespaces.lacking():
        pytest.skip(lacks)
    with fleet_namespaces.running(tmp_path_factory.mktemp("cut") / "hosts", 0, 1) as hosts:
        yield hosts["n1"]


def answers(host, within):
    """Tell whether its sshd says who it is; None: it refuses to."""
    try:
        with socket.create_connection((host.address, host.port), within) as there:
            there.settimeout(within)
            return there.recv(4) == b"SSH-"
    except ConnectionRefusedError:
        return None
    except OSError:
        return False


@pytest.mark.parametrize("how", fleet_namespaces.CUTS)
def test_a_host_that_is_cut_off_answers_nobody_until_it_is_healed(host, how):
    assert answers(host, 5.0)
    host.cut(how)
    assert answers(host, 0.3) is (None if how == "reset" else False)
    host.heal()
    end = time.monotonic() + 10.0
    while not answers(host, 1.0):
        assert time.monotonic() < end


@pytest.mark.parametrize("how", fleet_namespaces.CUTS)
def test_a_connection_that_stands_is_cut_too_and_goes_on_once_it_is_healed(host, how):
    with socket.create_connection((host.address, host.port), 5.0) as there:
        there.settimeout(5.0)
        there.recv(100)
        host.cut(how)
        there.sendall(b"SSH-2.0-test\r\n")  # its answer is long
        there.settimeout(0.3)
        with pytest.raises(ConnectionResetError if how == "reset" else TimeoutError):
            there.recv(100)
        host.heal()
        if how != "reset":
            there.settimeout(10.0)
            assert there.recv(100)


def test_hosts_go_with_a_run_of_tests_that_was_killed(tmp_path):
    if lacks := fleet_namespaces.lacking():
        pytest.skip(lacks)
    here = str(Path(__file__).parent)
    argv = [sys.executable, "-c", KEEPER, here, str(tmp_path / "hosts")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        names = set(run.stdout.readline().split())
        assert names <= set(fleet_namespaces.links())
        assert len(names) == 2
        run.send_signal(signal.SIGKILL)
        run.wait(10)
        with contextlib.suppress(BrokenPipeError):
            run.stdin.close()
    end = time.monotonic() + 10.0
    while names & set(fleet_namespaces.links()):
        assert time.monotonic() < end
        time.sleep(0.02)
