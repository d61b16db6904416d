"""The step `resume_node`."""

from typing import Any, List, Mapping, Optional

from runbook.modules.acting.hands import Hands
from runbook.modules.actions import Action, Do, Until
from runbook.modules.declare import Impact, Step
from runbook.modules.frozen import frozen
from runbook.modules.host import Host
from runbook.modules.nodes import marks, service
from runbook.modules.nodes.node import Node

_WITHIN = 60.0  # seconds


@frozen
class ResumeNode(Step):
    """Give a node back to its manager, if it was `drain_node` that took it.

    A drain without our name is a person's, and stays. One that another incident wants, too, stays for that. Outside of
    an incident (`runbook run resume_node`) all our drains of the node are meant.

    Example:
        - resume_node: {}
    """

    impact = Impact.DISRUPTIVE

    node: Optional[str] = None  # its name for its manager; without, the incident's host
    manager: service.ManagerName = "auto"  # auto: Slurm where scontrol is, else Kubernetes where kubectl is

    def check(self) -> None:
        """One node."""
        service.check(self.node)

    def plan(self, host: Host) -> List[Action]:
        """Look whether it is drained, and in whose name."""
        manager = service.manager(host, self.manager)
        node = service.look(host, manager, service.named(host, self.node))
        left = self._left(host, node)
        if left is None:
            return []
        if left.incidents:
            return [Do(f"leave {node.name} drained: {left.text}", lambda hands: self._resume(hands, host))]
        back = Until(
            f"{manager.NAME} takes {node.name} back", lambda: not manager.look(host, node.name).drained, _WITHIN
        )
        return [Do(f"resume {node.name}: {node.why}", lambda hands: self._resume(hands, host)), back]

    def _left(self, host: Host, node: Node) -> Optional[marks.Mark]:
        """Return what stays of our mark; None where there is nothing of ours to take away."""
        ours = service.incident(host)
        if node.mark is None or (ours != marks.BY_HAND and ours not in node.mark.incidents):
            return None
        return node.mark.minus(None if ours == marks.BY_HAND else ours)

    def _resume(self, hands: Hands, host: Host) -> Mapping[str, Any]:
        manager = service.manager(host, self.manager)
        name = service.named(host, self.node)
        with service.alone(host, name):
            node = service.look(host, manager, name)
            left = self._left(host, node)
            if left is None:
                return {"changed": False}
            if left.incidents:
                manager.drain(hands, node, left)
            else:
                manager.resume(hands, node)
        return {}

    def report(self, host: Host) -> "dict[str, Any]":
        """Say how it stands."""
        node = service.look(host, service.manager(host, self.manager), service.named(host, self.node))
        return {"node": node.name, "drained": node.drained, "drained_by": node.why}
