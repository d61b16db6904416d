"""Seed 000 on a real (loopback, faulty) hub and real builds: resume, integrity, recovery, statistics."""

from __future__ import annotations

import json
import os
import re
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import end, living, until

sys.path.insert(0, str(Path(__file__).parents[1] / "system"))
pytest.importorskip("huggingface_hub")

from faulty_hub import Fault, Hub, weights

BUILD = """#!/bin/sh
mkdir -p out
for part in a b; do
    [ -e out/$part.o ] && [ out/$part.o -nt $part.c ] && continue
    echo "compiling $part"; echo $part >> ../compiled
    [ -e broken ] && { echo "$part.c:3:10: fatal error: numa.h: No such file or directory" >&2; exit 1; }
    cp $part.c out/$part.o
done
cat out/a.o out/b.o > out/server
"""


def safetensors(size, seed):
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    return struct.pack("<Q", len(header)) + header + weights(size, seed)


FILES = {"config.json": b'{"model_type": "toy"}', "model.safetensors": safetensors(4 << 20, 1)}


class Deployment:
    def __init__(self, runbook, hub, **more):
        self.runbook, self.hub = runbook, hub
        self.place = runbook.home / "deployments"
        self.root = self.place / "org--toy"
        self.cache = self.root / "model_cache"
        self.place.mkdir()
        given = {
            "model": "org/toy",
            "deployments": str(self.place),
            "endpoint": hub.url,
            "patience": "1s",
            "base": "100ms",
        }
        self.vars = runbook.write("vars.json", json.dumps({**given, "needed_space": "1MB", "owner": "root", **more}))

    def go(self, *words):
        return self.runbook.told("apply", "llm-deploy", "-e", f"@{self.vars}", *words)

    @property
    def whole(self):
        return all((self.cache / name).read_bytes() == body for name, body in FILES.items())


@pytest.fixture
def hub():
    with Hub(FILES) as served:
        yield served


@pytest.fixture
def deploy(runbook, hub):
    return lambda **more: Deployment(runbook, hub, **more)


def test_normal_deployment(deploy):
    one = deploy()
    ran = one.go()
    assert (ran.exit_code, ran.states, one.whole) == (0, {}, True)
    assert not (one.root / ".deploying").exists()


def test_retry_overhead_none_a_second_deployment_downloads_nothing(deploy, hub):
    one = deploy()
    one.go()
    sent = hub.sent
    assert one.go().exit_code == 0
    assert hub.sent == sent


def test_model_download_resume_after_an_interruption_says_what_it_found(deploy, hub):
    one = deploy()
    hub.faults = [Fault("stall", after=1 << 20, seconds=8)]  # longer than the attempt has patience
    ran = one.go()
    asked = ran.operations["download the model"]
    assert (asked["state"], asked["attempts"]) == ("succeeded", 2)
    assert re.search(r"found \d.* of 4\.\d* MB, resuming", json.dumps(asked["steps"]))
    assert one.whole
    assert hub.sent < 1.15 * sum(map(len, FILES.values()))


def test_resume_after_system_restart(deploy, hub):
    one = deploy()
    hub.rate = 2 << 20
    child = subprocess.Popen(
        [sys.executable, "-m", "runbook", "apply", "llm-deploy", "-e", f"@{one.vars}"], env=one.runbook.env,
        cwd=one.runbook.home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    until(lambda: hub.sent > 1 << 20)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    end(str(one.runbook.home / "agent"))  # the agent goes too, as in a power cut
    hub.rate = 0
    sent = hub.sent
    assert one.go().exit_code == 0
    assert one.whole
    assert hub.sent - sent < len(FILES["model.safetensors"])


def test_error_table_corrupted_download_is_detected_and_fetched_again(deploy, hub):
    one = deploy()
    hub.faults = [Fault("corrupt", after=1 << 20)]
    assert one.go().exit_code == 0
    assert one.whole


def test_corrupted_files_are_detected_and_downloaded_again_later_too(deploy, hub):
    one = deploy()
    one.go()
    damaged = bytearray(FILES["model.safetensors"])
    damaged[:16] = b"\xff" * 16
    (one.cache / "model.safetensors").write_bytes(damaged)
    assert one.go().exit_code == 0
    assert one.whole


def test_deployment_integrity_missing_files_come_back(deploy):
    one = deploy()
    one.go()
    (one.cache / "config.json").unlink()
    assert one.go().exit_code == 0
    assert one.whole


def test_error_table_network_timeout_waits_and_retries(deploy, hub):
    one = deploy()
    hub.meta = [Fault("503")] * 40
    ran = one.go()
    assert ran.operations["download the model"]["attempts"] > 1
    assert "network timeout" in ran.states


def test_gated_or_unknown_is_not_tried_again(deploy, hub):
    one = deploy()
    hub.token = "hf_other"
    ran = one.go()
    assert (ran.operations["download the model"]["attempts"], ran.states) == (1, {"refused": "unhealed"})


def test_error_table_permission_error_waits_for_a_person_and_then_goes_on(deploy):
    if os.getuid() != 0:
        pytest.skip("only root can give files to others")
    one = deploy(owner="root")
    one.root.mkdir()
    (one.root / "strange").write_text("")
    os.chown(one.root / "strange", 65534, 65534)
    book = one.runbook.write(
        "denied.yaml",
        f"""
name: denied
use: [llm-deploy]
vars: {{root: {one.root}, owner: root}}
writable: ["{one.place}"]
operations:
  - name: look
    command: [sh, -c, '[ "$(stat -c %u "$1")" = 0 ] || {{ echo "permission denied"; exit 1; }}', sh, {one.root}/strange]
    timeout: 5s
""",
    )
    first = one.runbook.told("apply", book)
    assert (first.states["permission error"], first.operations["look"]["state"]) == ("waiting", "waiting")
    incident = first.incidents["permission error"]["id"]
    assert one.runbook("approve", incident).exit_code == 0
    again = one.runbook.told("apply", book)
    assert (again.states["permission error"], again.operations["look"]["state"]) == ("cured", "succeeded")
    assert (one.root / "strange").stat().st_uid == 0


@pytest.fixture
def source(deploy):
    one = deploy()
    path = one.place / "vllm"
    path.mkdir()
    for name, text in {"build.sh": BUILD, "a.c": "int a;\n", "b.c": "int b;\n"}.items():
        (path / name).write_text(text)
    (path / "build.sh").chmod(0o755)
    known = json.loads(one.vars.read_text())
    one.vars.write_text(
        json.dumps({**known, "source": str(path), "build": ["./build.sh"], "built": ["out/server", "out/*.o"]})
    )
    return one, path


def built(ran):
    return json.dumps(ran.operations["build the server"]["steps"])


def test_build_resume_full_partial_and_no_rebuild(source):
    one, path = source
    assert "full build" in built(one.go())
    assert (path / "out" / "server").read_text() == "int a;\nint b;\n"
    one.go()
    assert (one.place / "compiled").read_text() == "a\nb\n"
    time.sleep(0.02)
    (path / "b.c").write_text("int c;\n")
    one.go()
    assert (path / "out" / "server").read_text() == "int a;\nint c;\n"


def test_error_table_build_failure_cleans_and_retries(source):
    one, path = source
    (path / "broken").touch()
    ran = one.go()
    assert ran.operations["build the server"]["state"] == "failed"
    assert ran.states["build failure"] == "unhealed"
    assert "numa.h" in json.dumps(ran.incidents["build failure"]["evidence"])
    (path / "broken").unlink()
    assert one.go().operations["build the server"]["state"] == "succeeded"


def test_cleanup_failed_deployments(deploy):
    one = deploy()
    one.cache.mkdir(parents=True)
    (one.cache / "part").write_bytes(bytes(1000))
    (one.root / ".deploying").touch()
    week_ago = time.time() - 8 * 86400
    for path in (one.cache / "part", one.root / ".deploying"):
        os.utime(path, (week_ago, week_ago))
    words = ("check", "llm-deploy", "--fix", "-e", f"@{one.vars}")
    assert one.runbook.told(*words).states["failed deployment left behind"] == "waiting"
    assert (one.cache / "part").exists()
    assert one.runbook.told(*words, "--yes").states["failed deployment left behind"] == "cured"
    assert list(one.root.iterdir()) == []


def test_retry_statistics(deploy, hub):
    one = deploy()
    hub.faults = [Fault("stall", after=1 << 20, seconds=8)]
    one.go()
    figures = {each["name"]: each for each in one.runbook.told("stats").json["operations"]}["download the model"]
    assert (figures["attempts"], figures["successes"], figures["failures"], figures["rate"]) == (2, 1, 1, 0.5)
    hub_figures = {each["name"]: each for each in one.runbook.told("stats").json["components"]}["hub"]
    assert hub_figures["attempts"] == 2


def test_deployment_logs_tell_of_every_retry_and_recovery(deploy, hub):
    one = deploy()
    hub.meta = [Fault("503")] * 40
    one.go()
    told = [json.loads(line) for line in one.runbook("export").out.splitlines()]
    kinds = {each.get("kind") for each in told}
    assert {"attempt.ended", "incident.opened", "operation.ended"} <= kinds
    assert not list(living(str(one.runbook.home / "agent")))
