"""Seed 001, on a real training run: what the watchdog sees, does, and leaves behind."""

from __future__ import annotations

import json
import os
import time

import pytest
from command_line import CommandLine, living, until
from training import Training


@pytest.fixture
def training(runbook):
    made = []

    def make(**more):
        made.append(Training(runbook, **more))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture(scope="module")
def after_a_crash(tmp_path_factory):
    """A run whose daemon was killed the hard way, and one pass of the watchdog over it."""
    home = tmp_path_factory.mktemp("crash")
    one = Training(CommandLine(home))
    one.begin()
    (one.root / "inbox" / "job-7").write_text("train on these", encoding="utf-8")
    until((one.root / "processing" / "job-7").exists)
    one.kill()
    reached, orphans = one.step, set(living(str(one.root)))
    began = time.monotonic()
    ran = one.watch()
    yield one, ran, {"reached": reached, "orphans": orphans, "seconds": time.monotonic() - began}
    one.stop()


def test_scenario_1_daemon_crashes(after_a_crash):
    one, ran, _ = after_a_crash
    assert ran.states["daemon down"] == "cured"
    assert one.alive


def test_scenario_6_orphaned_processes(after_a_crash):
    one, ran, before = after_a_crash
    assert before["orphans"]
    assert before["orphans"].isdisjoint(living(str(one.root)))
    assert ran.steps("daemon down")[0] == "kill_orphans"


def test_checklist_training_resumes_from_correct_step(after_a_crash):
    one, _, before = after_a_crash
    resumed = [int(line.rpartition(" ")[2]) for line in one.log.splitlines() if line.startswith("resuming")]
    assert resumed[0] == 0
    assert before["reached"] - 10 <= resumed[-1] <= before["reached"]
    assert resumed[-1] % 10 == 0


def test_checklist_checkpoints_are_valid_after_crash(after_a_crash):
    one, ran, _ = after_a_crash
    found = one.runbook.told("probe", "file", f"path={one.root}/checkpoints/checkpoint-*", "format=checkpoint").json
    fields = found["records"][0]["fields"]
    assert (fields["count"], fields["valid"]) == (len(one.checkpoints), True)
    assert one.checkpoints
    assert "checkpoint broken" not in ran.states


def test_checklist_queue_system_handles_crashes_gracefully(after_a_crash):
    one, ran, _ = after_a_crash
    assert ran.steps("daemon down") == ["kill_orphans", "command", "restart_daemon"]
    assert len(list(one.root.glob("*/job-7"))) == 1


def test_feature_comprehensive_logging_tells_what_was_seen_killed_and_started(after_a_crash):
    one, _, before = after_a_crash
    told = one.runbook("history", "--incidents", "-v").out + one.runbook("export").out
    assert "daemon down" in told
    assert all(str(pid) in told for pid in before["orphans"])
    assert str(one.pid) in told


def test_success_metric_auto_restart_within_1_minute(after_a_crash):
    assert after_a_crash[2]["seconds"] < 60


def test_scenario_2_training_hangs(training):
    one = training(stalled="4s")
    one.begin()
    first = one.pid
    (one.root / "hang").touch()
    time.sleep(0.2)
    hung, stuck = time.monotonic(), one.step
    passes = iter(one.watch, None)
    ran = next(each for each in passes if "no progress" in each.states or time.monotonic() > hung + 60)
    assert ran.states["no progress"] == "cured"
    assert time.monotonic() > hung + 4
    assert one.pid != first
    assert one.step > stuck


def test_scenario_3_out_of_memory_gpu(training):
    one = training(batch_size=128)
    one.begin()
    one.configure(batch_size=128, max_length=2048)
    until(lambda: not one.alive)
    ran = one.watch()
    assert ran.states["gpu out of memory"] == "cured"
    assert (one.config["batch_size"], one.alive) == (64, True)
    assert ran.incidents["gpu out of memory"]["state"] == "cured"
    assert "CUDA out of memory" in json.dumps(ran.incidents["gpu out of memory"]["evidence"])


def test_future_8_batch_size_grows_again_after_a_quiet_time(training):
    one = training(batch_size=64, quiet="1h")
    one.begin()
    assert (one.watch().states, one.config["batch_size"]) == ({}, 32)
    rested = time.time() - 3700
    os.utime(one.root / "config.json", (rested, rested))
    ran = one.watch()
    assert ran.states == {"batch may grow": "cured"}
    assert (one.config["batch_size"], one.alive) == (64, True)


def test_scenario_7_config_corruption(training):
    one = training()
    one.begin()
    good = one.config
    (one.root / "config.json").write_text('{"batch_size": 3', encoding="utf-8")
    until(lambda: not one.alive)
    ran = one.watch()
    assert one.config == good
    assert ran.states["config corrupt"] == "cured"
    assert (ran.states["daemon down"], one.alive) == ("cured", True)


def test_edge_case_4_checkpoint_recovery(training):
    one = training(settling="0s")
    one.begin(steps=21)
    one.kill()
    broken, before = one.checkpoints[-1], one.checkpoints[-2]
    (one.root / "checkpoints" / f"checkpoint-{broken}" / "adapter_model.safetensors").write_bytes(b"\xff" * 20)
    ran = one.watch()
    assert ran.states["checkpoint broken"] == "cured"
    assert (ran.states["daemon down"], one.alive) == ("cured", True)
    assert f"resuming from step {before}" in one.log
