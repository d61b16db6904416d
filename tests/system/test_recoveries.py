"""Recoveries of real servers and files: slow ones, hung ones, crash loops, rungs side by side, undoing, roots."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

SERVER = """
import http.server, os, socketserver, sys, time
pidfile, port, load, lives = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
open(pidfile, "w").write(str(os.getpid()))
time.sleep(load)  # the model is read
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"ok")
    def log_message(self, *_):
        pass
class Server(socketserver.TCPServer):
    allow_reuse_address = True
server = Server(("127.0.0.1", port), Answer)
end = time.monotonic() + lives
server.timeout = 0.05
while time.monotonic() < end:
    server.handle_request()
"""

RUNBOOK = """
name: serve
writable: ["{home}"]
detectors:
  - name: server down
    http: {{url: "http://127.0.0.1:{port}/health", timeout: 1s}}
    when: status != 200
    {extra}
    recover:
      - restart_daemon: {{unit: "{home}/s.pid", match: "{home}/server.py", start: {start}, settle: 100ms}}
      {more}
"""


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def serve(cli, port):
    """Return what writes the runbook of a server; the server is ended at last."""

    def write(*, load: float = 0.0, lives: float = 60.0, extra: str = "", more: str = "") -> Path:
        cli.write("server.py", SERVER)
        start = [sys.executable, f"{cli.home}/server.py", f"{cli.home}/s.pid", str(port), str(load), str(lives)]
        text = RUNBOOK.format(home=cli.home, port=port, extra=extra, more=more, start=json.dumps(start))
        return cli.write("serve.yaml", text)

    yield write
    end(cli.home / "s.pid")


def end(pidfile: Path) -> None:
    with contextlib.suppress(OSError, ValueError):
        os.kill(int(pidfile.read_text()), signal.SIGKILL)


def gone(pidfile: Path, within: float = 20.0) -> None:
    """Wait until the process has ended."""
    until = time.monotonic() + within
    stat = Path(f"/proc/{pidfile.read_text()}/stat")
    while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_server_that_takes_long_to_load_heals_at_the_first_rung(cli, serve):
    extra = "strategy: progressive\n    verify: {every: 200ms, within: 20s, for: 500ms}"
    runbook = serve(load=4.0, extra=extra, more="- command: [touch, second]")
    ran = cli.json("apply", runbook)
    incident = ran.incidents["server down"]
    assert (ran.exit_code, incident["state"]) == (0, "cured"), ran.out + ran.err
    assert [step["module"] for step in incident["steps"]] == ["restart_daemon"]
    assert incident["evidence"]


def test_a_fault_that_stays_is_no_green_pass_after_the_recovery_that_was_in_vain(cli):
    text = f"""
name: stays
writable: ["{cli.home}"]
detectors:
  - name: ill
    file: {cli.home}/ill
    when: exists
    for: 500ms
    mode: auto
    limit: 2 per 1h
    verify: {{within: 400ms, every: 100ms}}
    recover: [command: [touch, "{cli.home}/mended"]]
"""
    file = cli.write("stays.yaml", text)
    (cli.home / "ill").touch()
    assert cli.json("apply", file).exit_code == 0, "its hold begins"
    time.sleep(0.6)
    passes = [cli.json("apply", file) for _ in range(3)]
    found = [(ran.exit_code, ran.incidents["ill"]["state"]) for ran in passes]
    assert found == [(2, "unhealed"), (2, "unhealed"), (2, "suppressed")], passes[-1].out
    assert cli.json("check", file).exit_code == 2
    (cli.home / "ill").unlink()
    assert cli.json("apply", file).incidents["ill"]["state"] == "cured"
    (cli.home / "ill").touch()
    assert cli.json("apply", file).exit_code == 0, "what was seen well has a new hold"


def test_a_server_that_hangs_without_an_answer_is_a_fault_and_not_unknown(cli, serve, port):
    runbook = serve(extra="mode: observe")
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", port))
        deaf.listen(16)
        ran = cli.json("apply", runbook)
    assert (ran.exit_code, ran.incidents["server down"]["state"]) == (2, "observed"), ran.out + ran.err
    assert ran.host["unknown"] == []


def test_a_crash_loop_stops_at_its_limit_though_every_restart_was_a_cure(cli, serve):
    runbook = serve(lives=2.5, extra="limit: 3 per 1h\n    verify: {every: 100ms, for: 300ms, within: 15s}")
    states = []
    for _ in range(5):
        ran = cli.json("apply", runbook)
        states.append(ran.incidents["server down"]["state"])
        gone(cli.home / "s.pid")
    assert states == ["cured", "cured", "cured", "suppressed", "suppressed"]
    assert "limit reached: 3 recoveries per 1h" in ran.incidents["server down"]["reason"]


FILES = """
name: files
writable: ["{home}"]
detectors:
  - name: broken
    file: {{path: "{home}/well"}}
    when: not exists
    {extra}
    recover:
      {recover}
"""
SPAN = "import sys, time; b = time.time(); time.sleep(float(sys.argv[2])); open(sys.argv[1], 'w').write(f'{b} {time.time()}')"


def spans(place: Path) -> dict[str, tuple[float, float]]:
    return {each.name: tuple(map(float, each.read_text().split())) for each in place.glob("span*")}


def test_rungs_run_side_by_side_and_what_has_begun_is_awaited(cli):
    rungs = [
        {"command": [sys.executable, "-c", SPAN, f"{cli.home}/{name}", str(seconds)], "name": name}
        for name, seconds in (("span1", 2.0), ("span2", 2.0), ("well", 0.2))
    ]
    extra = "strategy: parallel\n    verify: {every: 200ms, within: 20s}"
    runbook = cli.write("files.yaml", FILES.format(home=cli.home, extra=extra, recover=f"{json.dumps(rungs)}").replace(
        "recover:\n      [", "recover: ["))  # fmt: skip
    ran = cli.json("apply", runbook)
    assert (ran.exit_code, ran.incidents["broken"]["state"]) == (0, "cured"), ran.out + ran.err
    (begun, ended), (other, _) = spans(cli.home).values()
    assert begun < other < ended or other < begun


def test_what_a_recovery_in_vain_changed_is_undone(cli):
    config = cli.write("active.json", '{"port": 8000, "workers": 4}\n')
    before = config.read_bytes()
    recover = (
        f'- edit_config: {{path: "{config}", set: {{port: 9000}}}}\n'
        f'      - edit_config: {{path: "{config}", set: {{workers: 1}}}}'
    )
    extra = "rollback: true\n    verify: {every: 100ms, within: 500ms}\n    unhealed: [{notify: it stays broken}]"
    runbook = cli.write("files.yaml", FILES.format(home=cli.home, extra=extra, recover=recover))
    ran = cli.json("apply", runbook)
    assert (ran.exit_code, ran.incidents["broken"]["state"]) == (2, "unhealed"), ran.out + ran.err
    steps = [(step["phase"], step["title"], step["changed"]) for step in ran.incidents["broken"]["steps"]]
    assert steps[:2] == [("recover", "edit_config", True)] * 2
    assert steps[2:4] == [("rollback", "undo edit_config", True)] * 2
    assert config.read_bytes() == before
    acked = cli("ack", ran.incidents["broken"]["id"])  # it keeps its host's place in `max_unavailable` until then
    assert (acked.exit_code, "max_unavailable" in acked.out) == (0, True), acked.err


def test_what_was_approved_is_carried_out_by_the_next_pass(cli):
    recover = f"- command: {{argv: [touch, '{cli.home}/well'], creates: '{cli.home}/well'}}"
    runbook = cli.write("files.yaml", FILES.format(home=cli.home, extra="mode: approve", recover=recover))
    first = cli.json("apply", runbook)
    assert (first.exit_code, first.incidents["broken"]["state"]) == (3, "waiting"), first.out + first.err
    assert cli("approve", first.incidents["broken"]["id"]).exit_code == 0
    second = cli.json("apply", runbook)
    assert (second.exit_code, second.incidents["broken"]["state"]) == (0, "cured"), second.out + second.err


CRASH = """
name: crash
writable: ["{home}"]
detectors:
  - name: trainer
    log: {{paths: "{home}/rank*.log", signatures: [cuda.*, nccl.*, torch.*, py.*], from: start}}
    verify: {{every: 100ms, for: 300ms, within: 5s}}
    recover: [{{command: [sh, -c, "echo trainer >> {home}/acts"]}}]
  - name: kernel
    log: {{paths: "{home}/kern.log", signatures: [kmsg.*], from: start}}
    verify: {{every: 100ms, for: 300ms, within: 5s}}
    recover: [{{command: [sh, -c, "echo kernel >> {home}/acts"]}}]
"""


def test_a_crash_of_eight_ranks_and_its_xid_are_one_action_at_the_root(cli):
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S")
    watchdog = (
        f"{stamp} [rank{{rank}}]:[E ProcessGroupNCCL.cpp:616] [Rank {{rank}}] Watchdog caught collective operation "
        "timeout: WorkNCCL(SeqNum=15173, OpType=ALLREDUCE, NumelIn=1, NumelOut=1, Timeout(ms)=600000) ran for 600029 "
        "milliseconds before timing out.\n"
    )
    for rank in range(8):
        cli.write(f"rank{rank}.log", watchdog.format(rank=rank) * 3)
    cli.write("kern.log", f"{stamp} n1 kernel: NVRM: Xid (PCI:0000:c1:00): 79, pid=71, GPU has fallen off the bus.\n")
    ran = cli.json("apply", cli.write("crash.yaml", CRASH.format(home=cli.home)))
    assert ran.exit_code == 0, ran.out + ran.err
    assert (cli.home / "acts").read_text() == "kernel\n"
    trainer = ran.incidents["trainer"]
    assert trainer["state"] == "cured"
    assert "with `kernel` on localhost" in trainer["reason"]
