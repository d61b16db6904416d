"""`drain_node` and `resume_node` on a real Slurm, and through a kubectl that keeps what it is told."""

from __future__ import annotations

import json
import os
import re
import sys
import time

import pytest

ILL = """
name: ill
detectors:
  - name: gpu ill
    gpu:
    when: action >= 'reset'
    recover: [{drain_node: {node: gpu01}}]
    verify: {every: 100ms, within: 500ms}
    cured: [{resume_node: {node: gpu01}}]
"""
HEALED = """
name: healed
detectors:
  - name: gpu ill
    file: {sign}
    when: exists
    recover:
      - drain_node: {{node: gpu01}}
      - command: [rm, {sign}]
    verify: {{every: 100ms, within: 5s}}
    cured: [{{resume_node: {{node: gpu01}}}}]
"""
KUBECTL = """#!{python}
import json, os, pathlib, signal, sys
place = pathlib.Path({place!r})
with (place / "argv").open("a") as log:
    log.write(json.dumps(sys.argv[1:]) + "\\n")
state = place / "node.json"
node = json.loads(state.read_text())
words = [word for word in sys.argv[1:] if not word.startswith("--")]
if words[0] == "get" and words[1] == "pods":
    print(json.dumps({{"items": node["pods"]}}))
elif words[0] == "get":
    if words[2] != "gpu01":
        sys.exit('Error from server (NotFound): nodes "' + words[2] + '" not found')
    print(json.dumps(node))
elif words[0] == "annotate":
    name, equals, value = words[3].partition("=")
    node["metadata"]["annotations"].pop(name.rstrip("-"), None)
    if equals:
        node["metadata"]["annotations"][name] = value
elif words[0] == "drain":
    node["pods"] = []
else:
    if (place / "kills").exists():
        os.kill(os.getppid(), signal.SIGKILL)
        sys.exit(1)
    node["spec"] = {{"unschedulable": words[0] == "cordon"}}
state.write_text(json.dumps(node))
"""


@pytest.fixture
def slurm(cluster):
    """The cluster with its node in service and without jobs."""
    yield cluster
    cluster("scancel", "--user=root")
    if "DRAIN" in cluster.node():
        cluster("scontrol", "update", "NodeName=gpu01", "State=RESUME")


@pytest.fixture
def kubectl(tmp_path):
    place = tmp_path / "kube"
    place.mkdir()
    (place / "node.json").write_text(
        json.dumps({"metadata": {"annotations": {}}, "spec": {}, "pods": [{"metadata": {}}]})
    )
    program = place / "kubectl"
    program.write_text(KUBECTL.format(python=sys.executable, place=str(place)))
    program.chmod(0o755)

    class Kube:
        def __init__(self):
            self.env = {"PATH": f"{place}:{os.environ['PATH']}"}

        def node(self):
            return json.loads((place / "node.json").read_text())

        def told(self):
            """What it was told beyond questions, and what was told of it."""
            told = [json.loads(line) for line in (place / "argv").read_text().splitlines()]
            (place / "argv").write_text("")
            return [words for words in told if words[0] != "get"]

        def kills(self, *, on):
            """Whoever cordons or uncordons by it is killed before that is done."""
            (place / "kills").touch() if on else (place / "kills").unlink()

        def change(self, **values):
            (place / "node.json").write_text(json.dumps({**self.node(), **values}))

    return Kube()


def state(slurm):
    """A node's state and its reason."""
    told = slurm.node()
    reason = re.search(r"Reason=(.*) \[", told)
    flags = re.search(r"State=(\S+)", told)[1].replace("+NOT_RESPONDING", "")  # for a moment, on a busy machine
    return flags, reason[1] if reason else ""


def step(cli, env, *words):
    """The one step of `runbook run`."""
    ran = cli.json("run", *words, env=env)
    [operation] = ran.host["operations"]
    [found] = operation["steps"]
    return found


def test_a_node_is_drained_in_our_name_and_resumed_once_its_host_is_cured(cli, slurm, tmp_path):
    sign = cli.write("ill", "x")
    ran = cli.json("apply", cli.write("h.yaml", HEALED.format(sign=sign)), env=slurm.env)
    [incident] = ran.host["incidents"]
    assert incident["state"] == "cured", incident
    drained, _, resumed = incident["steps"]
    assert drained["actions"][0]["what"] == f"drain gpu01: runbook [{incident['id']}] gpu ill"
    assert resumed["actions"][0]["what"] == f"resume gpu01: runbook [{incident['id']}] gpu ill"
    assert state(slurm)[0].startswith("IDLE")
    assert "DRAIN" not in state(slurm)[0]


def test_two_ill_gpus_drain_their_node_once_in_the_name_of_both_and_it_stays_so_until_both_are_well(cli, slurm, gpus):
    env = {**gpus.environ, **slurm.env}
    runbook = cli.write("ill.yaml", ILL)
    gpus.tell(2, all__recovery=1)
    first = cli.json("apply", runbook, env=env).host["incidents"]
    assert [one["state"] for one in first] == ["unhealed", "unhealed"]
    ids = sorted(one["id"] for one in first)
    found, reason = state(slurm)
    assert found == "IDLE+DRAIN"
    assert sorted(re.search(r"\[(.*)\]", reason)[1].split(", ")) == ids
    slurm("scontrol", "update", "NodeName=gpu01", f"Reason=runbook [{ids[0]}, other] gpu ill")
    left = step(cli, slurm.env, "resume_node", "node=gpu01")
    assert left["changed"] is True
    assert "DRAIN" not in state(slurm)[0]


def test_a_persons_drain_is_neither_taken_over_nor_taken_back(cli, slurm):
    slurm("scontrol", "update", "NodeName=gpu01", "State=DRAIN", "Reason=new RAM on monday")
    assert step(cli, slurm.env, "drain_node", "node=gpu01")["changed"] is False
    assert step(cli, slurm.env, "resume_node", "node=gpu01")["changed"] is False
    assert state(slurm) == ("IDLE+DRAIN", "new RAM on monday")


def test_a_second_drain_and_a_second_resume_change_nothing(cli, slurm):
    changed = [step(cli, slurm.env, name, "node=gpu01")["changed"] for name in ("drain_node", "drain_node")]
    assert (changed, state(slurm)) == ([True, False], ("IDLE+DRAIN", "runbook [by hand]"))
    changed = [step(cli, slurm.env, name, "node=gpu01")["changed"] for name in ("resume_node", "resume_node")]
    assert changed == [True, False]


def test_check_drains_nothing(cli, slurm):
    found = step(cli, slurm.env, "drain_node", "node=gpu01", "--check")
    assert [action["what"] for action in found["actions"]] == ["drain gpu01: runbook [by hand]"]
    assert "DRAIN" not in state(slurm)[0]


def test_the_jobs_of_a_node_are_awaited_and_none_is_begun_on_it(cli, slurm):
    job = slurm("sbatch", "--parsable", "--output=/dev/null", "--wrap", "sleep 600").strip()
    until = time.monotonic() + 20
    while "JobState=RUNNING" not in slurm("scontrol", "show", "job", job):
        assert time.monotonic() < until
        time.sleep(0.05)
    late = step(cli, slurm.env, "drain_node", "node=gpu01", "wait=true", "every=100ms", "--timeout", "2s")
    assert (late["state"], state(slurm)[0]) == ("timeout", "MIXED+DRAIN")
    slurm("scancel", job)
    done = step(cli, slurm.env, "drain_node", "node=gpu01", "wait=true", "every=100ms", "--timeout", "20s")
    assert (done["state"], state(slurm)[0]) == ("done", "IDLE+DRAIN")


def test_the_machine_itself_stands_for_its_node(cli, slurm):
    assert step(cli, slurm.env, "drain_node")["actions"][0]["what"] == "drain gpu01: runbook [by hand]"


def test_a_node_that_slurm_does_not_know_is_told(cli, slurm):
    found = step(cli, slurm.env, "drain_node", "node=gpu99")
    assert "Slurm knows no node gpu99: name it with `node`; `sinfo -N` lists them" in found["error"]


def test_in_kubernetes_a_node_is_marked_and_cordoned_and_given_back(cli, kubectl):
    words = ("node=gpu01", "manager=kubernetes")
    assert step(cli, kubectl.env, "drain_node", *words, "wait=true", "every=100ms")["state"] == "done"
    assert kubectl.told() == [
        ["annotate", "--overwrite", "node", "gpu01", "runbook-drain=runbook [by hand]"],
        ["cordon", "gpu01"],
        ["drain", "gpu01", "--ignore-daemonsets", "--timeout=604800s"],
    ]
    assert step(cli, kubectl.env, "drain_node", *words, "wait=true")["changed"] is False
    assert kubectl.told() == []
    assert step(cli, kubectl.env, "resume_node", *words)["state"] == "done"
    assert kubectl.told() == [["uncordon", "gpu01"], ["annotate", "node", "gpu01", "runbook-drain-"]]
    assert kubectl.node()["metadata"] == {"annotations": {}}


@pytest.mark.parametrize(("name", "cordoned"), [("drain_node", True), ("resume_node", False)])
def test_what_was_killed_between_mark_and_cordon_is_finished_by_the_next_run(cli, kubectl, name, cordoned):
    words = ("node=gpu01", "manager=kubernetes")
    if name == "resume_node":
        step(cli, kubectl.env, "drain_node", *words)
    kubectl.kills(on=True)
    assert "was ended by signal 9" in step(cli, kubectl.env, name, *words)["error"]
    assert kubectl.node()["metadata"]["annotations"] == {"runbook-drain": "runbook [by hand]"}
    kubectl.kills(on=False)
    assert step(cli, kubectl.env, name, *words)["state"] == "done"
    assert (kubectl.node()["spec"], bool(kubectl.node()["metadata"]["annotations"])) == (
        {"unschedulable": cordoned},
        cordoned,
    )


def test_in_kubernetes_a_persons_cordon_is_theirs(cli, kubectl):
    kubectl.change(spec={"unschedulable": True})
    for name in ("drain_node", "resume_node"):
        assert step(cli, kubectl.env, name, "node=gpu01", "manager=kubernetes")["changed"] is False
    assert kubectl.told() == []


def test_a_node_that_kubernetes_does_not_know_is_told(cli, kubectl):
    found = step(cli, kubectl.env, "drain_node", "node=gpu99", "manager=kubernetes")
    assert "Kubernetes knows no node gpu99" in found["error"]
