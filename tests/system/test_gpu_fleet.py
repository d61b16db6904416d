"""The bundled runbook gpu-fleet on a real Slurm node, with faked GPUs: what its cases promise, done for real."""

from __future__ import annotations

import json
import os
import re
import sys

import booted_host
import pytest

UNIT = """
[Service]
Type=oneshot
Environment=RUNBOOK_JOURNAL={kept}/journal.db RUNBOOK_AGENT_DIR={kept} PYTHONPATH={path} NO_COLOR=1
Environment=LD_LIBRARY_PATH={kept} FAKE_NVML={kept}/gpus PATH={kept}:/usr/bin:/bin
ExecStart=/bin/sh {kept}/pass.sh
"""
PASS = """\
#!/bin/sh
# what cron would run at each boot: the GPU that fell off the bus is back after it
cat /proc/sys/kernel/random/boot_id >> {kept}/boots
boot=$(wc -l < {kept}/boots)
cp {kept}/gpus.$boot {kept}/gpus
{python} -m runbook apply gpu-fleet --detector 'node wants a reboot' -e itself=true -e steady=200ms -e evidence={kept}/evidence --format json \
    > {kept}/out.$boot 2> {kept}/err.$boot
echo $? > {kept}/code.$boot
"""
SCONTROL = """\
#!/bin/sh
# a node whose state is a file, as `scontrol` shows and changes it
node={kept}/node
case "$1 $3" in
    "show "*) cat $node ;;
    "update State=DRAIN") printf 'NodeName=n1\\n   State=IDLE+DRAIN\\n   %s [root@now]\\n' "$4" > $node ;;
    "update State=RESUME") printf 'NodeName=n1\\n   State=IDLE\\n' > $node ;;
esac
echo "$@" >> {kept}/scontrol.log
"""


@pytest.fixture
def fleet(cli, cluster, gpus, tmp_path):
    """Run a pass of gpu-fleet on this node; its programs write down what they were told."""
    programs = tmp_path / "bin"
    programs.mkdir()
    log = tmp_path / "programs.log"

    def program(name, *lines):
        file = programs / name
        file.write_text("\n".join(["#!/bin/sh", f'echo {name} "$@" >> {log}', *lines, ""]))
        file.chmod(0o755)

    healed = "".join(f"gpu{number}.recovery=0\\n" for number in range(4))
    program("nvidia-smi", f'[ "$1" = --gpu-reset ] && printf "{healed}" >> {gpus.state}', "exit 0")
    program("dcgmi")
    env = {**gpus.environ, **cluster.env, "PATH": f"{programs}:{os.environ['PATH']}"}

    class Fleet:
        evidence = tmp_path / "evidence"

        def apply(self, *words):
            given = ("-e", f"evidence={self.evidence}", "-e", "steady=200ms", *words)
            return cli.json("apply", "gpu-fleet", *given, env=env).host["incidents"]

        def told(self):
            return log.read_text().splitlines()

    fleet = Fleet()
    fleet.program = program
    yield fleet
    if "DRAIN" in cluster.node():
        cluster("scontrol", "update", "NodeName=gpu01", "State=RESUME")


def state(cluster):
    return re.search(r"State=(\S+)", cluster.node())[1]


def test_a_node_with_two_gpus_for_a_reset_is_drained_mended_diagnosed_and_given_back(fleet, cluster, gpus):
    gpus.tell(4, gpu1__recovery=1, gpu3__recovery=1)
    [incident] = fleet.apply()
    assert (incident["detector"], incident["subject"], incident["state"]) == (
        "gpu wants a reset",
        "localhost",
        "cured",
    ), incident["reason"]
    steps = [step["module"] for step in incident["steps"]]
    assert steps == ["drain_node", "collect", "reset_gpu", "command", "resume_node"]
    assert fleet.told() == ["nvidia-smi -q", "nvidia-smi --gpu-reset -i GPU-1,GPU-3", "dcgmi diag -r 1"]
    assert "DRAIN" not in state(cluster)
    [bundle] = fleet.evidence.iterdir()
    assert incident["id"] in bundle.name


def test_a_node_that_can_not_be_rebooted_stays_drained(fleet, cluster, gpus):
    gpus.tell(4, gpu1__recovery=2)
    [incident] = fleet.apply()
    assert (incident["detector"], incident["state"]) == ("node wants a reboot", "unhealed")
    assert "this is the machine that runbook itself runs on" in incident["reason"]
    assert state(cluster) == "IDLE+DRAIN"


def test_a_diagnosis_that_fails_keeps_the_node_drained(fleet, cluster, gpus):
    fleet.program("dcgmi", "echo 'PCIe: fail'; exit 226")
    gpus.tell(4, gpu1__recovery=1)
    [incident] = fleet.apply()
    assert incident["state"] == "unhealed"
    assert "dcgmi: exit code 226: PCIe: fail" in incident["reason"]
    assert state(cluster) == "IDLE+DRAIN"
    assert f"runbook [{incident['id']}]" in cluster.node()


def test_a_node_that_is_well_is_left_alone(fleet, cluster, gpus):
    gpus.tell(4)
    assert fleet.apply() == []
    assert "DRAIN" not in state(cluster)


@pytest.fixture
def node(tmp_path, nvml, gpus):
    """A machine whose second GPU is lost until it boots anew, and that runs gpu-fleet on itself at each boot."""
    lacks = booted_host.lacking()
    if lacks:
        if os.environ.get("CI") == "true":
            pytest.fail(lacks)
        pytest.skip(lacks)
    kept = tmp_path / "machine/kept"
    kept.parent.mkdir()
    names = {"kept": kept, "python": sys.executable, "path": os.environ.get("PYTHONPATH", "")}
    gpus.tell(2, gpu1__error=15)
    lost = gpus.state.read_text()
    gpus.tell(2)
    files = {
        "pass.sh": PASS.format(**names),
        "scontrol": SCONTROL.format(**names),
        "dcgmi": f"#!/bin/sh\necho diagnosed >> {kept}/dcgmi.log\n",
        "node": "NodeName=n1\n   State=IDLE\n",
        "gpus.1": lost,
        "gpus.2": gpus.state.read_text(),
        "libnvidia-ml.so.1": nvml / "libnvidia-ml.so.1",
    }
    host = booted_host.BootedHost(kept.parent, {"pass.service": UNIT.format(**names)}, files)
    yield host
    host.close()


def test_a_node_whose_gpu_is_lost_is_drained_rebooted_diagnosed_and_given_back_by_the_pass_after_its_boot(node):
    assert node.wait_for("code.2") == "0\n", (node.kept / "out.2").read_text() + (node.kept / "err.2").read_text()
    [incident] = json.loads((node.kept / "out.2").read_text())["runs"][0]["hosts"]["localhost"]["incidents"]
    assert (incident["detector"], incident["state"]) == ("node wants a reboot", "cured")
    updates = [line for line in (node.kept / "scontrol.log").read_text().splitlines() if line.startswith("update")]
    mark = f"Reason=runbook [{incident['id']}] node wants a reboot"
    assert updates == [f"update NodeName=n1 State=DRAIN {mark}", "update NodeName=n1 State=RESUME"]
    assert (node.kept / "dcgmi.log").read_text() == "diagnosed\n"
    assert len((node.kept / "boots").read_text().split()) == 2
    assert [bundle.name.endswith(f"{incident['id']}.tar.gz") for bundle in (node.kept / "evidence").iterdir()] == [True]
