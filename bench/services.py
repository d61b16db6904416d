"""From a restart to its proof: a toy unit of a real systemd, restarted until it answers, by us and by hand.

By hand is `systemctl restart` and the time that the unit takes from there until it answers. The toy loads for two
seconds, as a server loads its model. We are measured as one step with a probe, and as a step with
the verification that follows it in a pass.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import measure

from runbook.engine.fleet import local
from runbook.engine.model import Order, StepStatus

if TYPE_CHECKING:
    from systemd_host import SystemdHost

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "system"))

NEEDS_ANSIBLE = False
LOADS = 2.0  # seconds that the toy needs before it answers
LIMIT = 1.5
HAND = "systemctl restart, until it answers"
STEP = "restart_daemon, until it answers"
PASS = "runbook apply, from its step to the verified cure"
_ENOUGH = 60.0  # seconds for one restart
TOY = """
import http.server, time
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self): self.send_response(200); self.end_headers()
    def log_message(self, *_): pass
time.sleep({loads})
http.server.HTTPServer(("127.0.0.1", {port}), Answer).serve_forever()
"""
BOOK = """
name: toy
detectors:
  - name: toy down
    http: {url}
    when: status != 200
    recover: [{{restart_daemon: {{unit: toy, scope: user, settle: 0s}}}}]
    verify: {{within: 30s, every: 100ms}}
    limit: 1000 per 1h
"""


def results(rounds: int) -> list[measure.Result]:
    """Measure."""
    from systemd_host import SystemdHost, lacking

    if lacking():
        print(f"SKIP services: {lacking()}")
        return []
    with tempfile.TemporaryDirectory(prefix="runbook-bench-") as folder:
        place = Path(folder).resolve()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        url = f"http://127.0.0.1:{port}/"
        (place / "toy.py").write_text(TOY.format(loads=LOADS, port=port))
        (place / "toy.yaml").write_text(BOOK.format(url=url))
        booted = SystemdHost(place)
        try:
            booted.unit("toy.service", f"[Service]\nExecStart={sys.executable} {place}/toy.py\n")
            env = {
                **os.environ,
                **booted.env,
                "RUNBOOK_JOURNAL": str(place / "j.db"),
                "RUNBOOK_AGENT_DIR": str(place / "a"),
            }
            heal = [measure.RUNBOOK, "apply", str(place / "toy.yaml"), "--format", "jsonl"]
            return _compared(booted, env, heal, url, rounds)
        finally:
            booted.close()


def _compared(booted: SystemdHost, env: dict[str, str], heal: list[str], url: str, rounds: int) -> list[measure.Result]:
    taken: dict[str, list[float]] = {HAND: [], STEP: [], PASS: []}
    os.environ.update(booted.env)
    with local.connect(env["RUNBOOK_AGENT_DIR"]) as agent:
        for number in range(rounds + 1):
            begun = time.perf_counter()
            booted.systemctl("restart", "toy")
            _answers(url)
            times = [time.perf_counter() - begun]
            begun = time.perf_counter()
            params = {"unit": "toy", "scope": "user", "settle": 0.0, "until": {"http": {"url": url}}}
            outcome = agent.run(f"bench-{number}", Order("restart_daemon", params, timeout=_ENOUGH), subject="toy")
            times.append(time.perf_counter() - begun)
            if outcome.status is not StepStatus.DONE:
                sys.exit(f"restart_daemon: {outcome.error}")
            booted.systemctl("stop", "toy")
            done = subprocess.run(heal, env=env, capture_output=True, text=True, timeout=_ENOUGH, check=False)
            if done.returncode:
                sys.exit(f"{' '.join(heal)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
            at = {fact["event"]: fact.get("at") for fact in map(json.loads, done.stdout.splitlines())}
            times.append(at["incident.ended"] - at["step.begun"])
            for name, seconds in zip(taken, times, strict=True):
                if number:
                    taken[name].append(seconds)
    found = {name: measure.Times(tuple(runs)) for name, runs in taken.items()}
    return [
        measure.ratio("restart to verified, a step", STEP, HAND, found, LIMIT),
        measure.ratio("restart to verified, in a pass", PASS, HAND, found, LIMIT),
    ]


def _answers(url: str) -> None:
    until = time.monotonic() + _ENOUGH
    while True:
        try:
            with urllib.request.urlopen(url, timeout=1.0):
                return
        except (urllib.error.URLError, OSError):
            if time.monotonic() > until:
                raise
            time.sleep(0.01)


if __name__ == "__main__":
    for result in results(5):
        print(result)
