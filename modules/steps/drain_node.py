"""The step `drain_node`."""

from typing import Any, List, Mapping, Optional

from runbook.modules.acting.hands import Hands
from runbook.modules.actions import Action, Do, Until
from runbook.modules.declare import Duration, Impact, Invalid, Step
from runbook.modules.frozen import frozen
from runbook.modules.host import Host
from runbook.modules.nodes import marks, service
from runbook.modules.nodes.node import Manager

_LONGEST = 7 * 86400.0  # seconds; the step's timeout is the bound


@frozen
class DrainNode(Step):
    """Let a node get no new work: `scontrol` drains it in Slurm, `kubectl cordon` in Kubernetes.

    The drain bears our name and the incident's; a node that somebody else drained is left as it is. Several incidents
    may want one node drained, and `resume_node` gives it back with the last of them. With `wait`, Slurm's jobs are
    awaited, for a day unless `timeout` says otherwise, and Kubernetes' pods are evicted (`kubectl drain`).

    Example:
        - drain_node: {}
        - drain_node: {node: gpu07, wait: true}
          timeout: 12h
    """

    impact = Impact.DISRUPTIVE
    timeout = 86400.0

    node: Optional[str] = None  # its name for its manager; without, the incident's host
    wait: bool = False  # until no work is on it
    reason: str = ""  # what people read; without, the detector's name
    manager: service.ManagerName = "auto"  # auto: Slurm where scontrol is, else Kubernetes where kubectl is
    every: Duration = 5.0  # time between two looks while it waits

    def check(self) -> None:
        """One node, and time between looks."""
        service.check(self.node)
        if self.every <= 0:
            raise Invalid("`every` must be longer than 0: write 5s")

    def plan(self, host: Host) -> List[Action]:
        """Look whether it is drained, and in whose name."""
        manager = service.manager(host, self.manager)
        node = service.look(host, manager, service.named(host, self.node))
        ours = service.incident(host)
        actions: List[Action] = []
        if not node.drained or (node.mark is not None and ours not in node.mark.incidents):
            actions.append(Do(f"drain {node.name}: {self._mark(host).text}", lambda hands: self._drain(hands, host)))
        if self.wait and (node.busy or not node.drained):
            if manager.EVICTS:
                actions.append(
                    Do(f"evict what runs on {node.name}", lambda hands: manager.evict(hands, node, _LONGEST))
                )
            idle = Until(
                f"no work is on {node.name}", lambda: not manager.look(host, node.name).busy, _LONGEST, self.every
            )
            actions.append(idle)
        return actions

    def _mark(self, host: Host) -> marks.Mark:
        return marks.made(service.incident(host), self.reason or str(host.about.get("detector") or ""))

    def _drain(self, hands: Hands, host: Host) -> Optional[Mapping[str, Any]]:
        manager: Manager = service.manager(host, self.manager)
        name = service.named(host, self.node)
        with service.alone(host, name):
            node = service.look(host, manager, name)
            if node.drained and node.mark is None:
                return {"changed": False, "drained_by": node.why}
            mark = self._mark(host) if node.mark is None else node.mark.plus(service.incident(host))
            manager.drain(hands, node, mark)
        return {"drained_by": mark.text}

    def report(self, host: Host) -> "dict[str, Any]":
        """Say whose drain it is."""
        node = service.look(host, service.manager(host, self.manager), service.named(host, self.node))
        return {"node": node.name, "drained": node.drained, "drained_by": node.why}
