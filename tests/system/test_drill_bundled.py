"""The drills that come with it: the faults of bundled runbooks are seen and healed, for real.

Every third one of each runbook, since they take seconds each; `DRILLS=all` runs them all, as `runbook drill NAME` does.
Their scenarios stand in tests/seeds, too.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import yaml
from drilling import drills, needed  # noqa: F401 -- a fixture

import runbook

pytestmark = needed

BUNDLED = Path(runbook.__file__).parent / "runbooks"
FILES = sorted(BUNDLED.glob("*.drill.yaml"))
EACH = 1 if os.environ.get("DRILLS") == "all" else 3
FAULTS = [
    (file, fault)
    for file in FILES
    for fault in yaml.load(file.read_text(encoding="utf-8"), yaml.CSafeLoader)["faults"][::EACH]
]


@pytest.mark.parametrize(
    ("file", "fault"), FAULTS, ids=[f"{file.name[:-11]}: {fault['name']}" for file, fault in FAULTS]
)
def test_a_bundled_fault_is_seen_and_healed(file, fault, drills):  # noqa: F811
    needs = fault.get("needs", [])
    listed = [needs] if isinstance(needs, str) else needs
    lacking = [need for need in listed if need != "root" and shutil.which(need) is None]
    if lacking and os.environ.get("CI") != "true":
        pytest.skip(f"there is no {', '.join(lacking)} here")
    done = drills.run("drill", file, "--only", fault["name"], "--format", "json")
    assert done.stdout, done.stderr
    [found] = json.loads(done.stdout)["faults"]
    assert (done.returncode, found["verdict"]) in {(0, "healed"), (0, "as expected")}, found
    if found["verdict"] == "healed":
        assert found["seen_after_s"] <= found["healed_after_s"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_detector_of_a_bundled_drill_has_a_fault_or_a_reason(file, drills):  # noqa: F811
    document = json.loads(drills.run("drill", file, "--list", "--format", "json").stdout)
    assert document["uncovered"] == []
