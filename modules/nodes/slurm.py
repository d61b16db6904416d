"""Nodes of Slurm, by `scontrol`: a drained node finishes its jobs and gets no new ones."""

import re
from typing import Dict, List

from runbook.modules.acting import perform_process
from runbook.modules.acting.hands import Hands
from runbook.modules.actions import Run
from runbook.modules.declare import Failed, Unclear
from runbook.modules.host import Host
from runbook.modules.nodes import marks
from runbook.modules.nodes.marks import Mark
from runbook.modules.nodes.node import Node

NAME = "slurm"
PROGRAM = "scontrol"
EVICTS = False
_FIELD = re.compile(r"(?:^|\s)(\w+)=(\S*)")
_WHO = re.compile(r" \[[^\[\]]*@[^\[\]]*\]$")  # who said it, and when, behind a reason
_BUSY = {"ALLOCATED", "MIXED", "COMPLETING", "DRAINING"}
_TIME = 30.0  # seconds for a busy slurmctld to answer


def look(host: Host, name: str) -> Node:
    """Ask by the node's name, or by that of the machine behind it."""
    done = host.run(PROGRAM, "show", "node", name, timeout=_TIME)
    if done.exit_code and "not found" in done.stdout + done.stderr:
        return _named(_behind(host, name), name)
    if done.exit_code:
        raise Unclear(f"Slurm does not tell of {name}: {_said(done.stdout + done.stderr)}")
    return _named([done.stdout], name)


def drain(hands: Hands, node: Node, mark: Mark) -> None:
    """Drain it, or say that we want it drained, too."""
    state = () if node.drained else ("State=DRAIN",)
    _update(hands, f"NodeName={node.name}", *state, f"Reason={mark.text}")


def evict(hands: Hands, node: Node, within: float) -> None:
    """Leave its jobs alone: they end by themselves."""
    del hands, node, within


def resume(hands: Hands, node: Node) -> None:
    """Slurm forgets the reason with it."""
    _update(hands, f"NodeName={node.name}", "State=RESUME")


def _update(hands: Hands, *words: str) -> None:
    perform_process.run(hands, Run((PROGRAM, "update", *words)), doing=True)


def _behind(host: Host, name: str) -> List[str]:
    """Return what Slurm tells of the nodes that a machine is."""
    done = host.run(PROGRAM, "-o", "show", "nodes", timeout=_TIME)
    if done.exit_code:
        raise Unclear(f"Slurm does not tell of its nodes: {_said(done.stdout + done.stderr)}")
    return [line for line in done.stdout.splitlines() if _fields(line).get("NodeHostName") == name]


def _named(told: List[str], name: str) -> Node:
    if not told:
        raise Failed(f"Slurm knows no node {name}: name it with `node`; `sinfo -N` lists them")
    nodes = [_node(one) for one in told]
    if len(nodes) > 1:
        listed = ", ".join(node.name for node in nodes[:5])
        raise Failed(f"several nodes are on {name} ({listed}): say which with `node`")
    return nodes[0]


def _node(told: str) -> Node:
    fields = _fields(told)
    words = {word.rstrip("*~#!%$@^-") for word in fields.get("State", "").split("+")}
    found = re.search(r"(?:^|\s)Reason=(.*)", told)
    why = _WHO.sub("", found[1].strip()) if found else ""
    drained = any(word.startswith("DRAIN") for word in words)
    return Node(fields.get("NodeName", ""), drained, bool(_BUSY & words), marks.read(why) if drained else None, why)


def _fields(told: str) -> Dict[str, str]:
    return dict(_FIELD.findall(told.partition("Reason=")[0]))


def _said(output: str) -> str:
    lines = output.strip().splitlines()
    return lines[-1] if lines else "it says nothing"
