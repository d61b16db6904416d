"""Nodes of Kubernetes, by `kubectl`: cordoned against new pods, drained of those that run, and our mark in a note."""

import json
from typing import Any, Mapping

from runbook.modules.acting import perform_process
from runbook.modules.acting.hands import Hands
from runbook.modules.actions import Run
from runbook.modules.declare import Failed, Unclear
from runbook.modules.host import Host
from runbook.modules.nodes import marks
from runbook.modules.nodes.marks import Mark
from runbook.modules.nodes.node import Node

NAME = "kubernetes"
PROGRAM = "kubectl"
EVICTS = True
NOTE = "runbook-drain"  # the annotation that bears the mark
_TIME = 30.0  # seconds


def look(host: Host, name: str) -> Node:
    """Ask the API server for the node and for its pods."""
    node = _told(host, name, "node", name)
    pods = _told(host, name, "pods", "--all-namespaces", f"--field-selector=spec.nodeName={name}")
    try:
        cordoned = bool((node.get("spec") or {}).get("unschedulable"))
        note = str(((node.get("metadata") or {}).get("annotations") or {}).get(NOTE) or "")
        busy = any(_works(pod) for pod in pods.get("items") or ())
    except (TypeError, AttributeError) as error:
        raise Unclear(f"what kubectl tells of {name} is no node: {error}") from error
    return Node(name, cordoned, busy, marks.read(note), note)


def _told(host: Host, name: str, *words: str) -> Mapping[str, Any]:
    done = host.run(PROGRAM, "get", *words, "-o", "json", timeout=_TIME)
    if done.exit_code and "NotFound" in done.stderr:
        raise Failed(f"Kubernetes knows no node {name}: name it with `node`; `kubectl get nodes` lists them")
    if done.exit_code:
        said = done.stderr.strip().splitlines()[-1:] or ["it says nothing"]
        raise Unclear(f"kubectl does not tell of {name}: {said[0]}")
    try:
        found = json.loads(done.stdout)
    except ValueError as error:
        raise Unclear(f"kubectl does not answer in JSON: {error}") from error
    if not isinstance(found, dict):
        raise Unclear(f"what kubectl tells of {name} is no object")
    return found


def _works(pod: Mapping[str, Any]) -> bool:
    """Tell whether a pod is one that a drain evicts: neither over, nor a daemon's, nor the kubelet's own."""
    about = pod.get("metadata") or {}
    owners = {one.get("kind") for one in about.get("ownerReferences") or ()}
    over = (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}
    return not over and not owners & {"DaemonSet", "Node"}


def drain(hands: Hands, node: Node, mark: Mark) -> None:
    """Mark it, then cordon it: what is cordoned without our mark is a person's."""
    _kubectl(hands, "annotate", "--overwrite", "node", node.name, f"{NOTE}={mark.text}")
    if not node.drained:
        _kubectl(hands, "cordon", node.name)


def evict(hands: Hands, node: Node, within: float) -> None:
    """Evict its pods, as their disruption budgets allow."""
    _kubectl(hands, "drain", node.name, "--ignore-daemonsets", f"--timeout={int(within)}s")


def resume(hands: Hands, node: Node) -> None:
    """Take the mark away last: with it, whoever was killed in between does the rest."""
    if node.drained:
        _kubectl(hands, "uncordon", node.name)
    _kubectl(hands, "annotate", "node", node.name, f"{NOTE}-")


def _kubectl(hands: Hands, *words: str) -> None:
    perform_process.run(hands, Run((PROGRAM, *words)), doing=True)
