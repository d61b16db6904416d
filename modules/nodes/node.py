"""A node as its manager knows it, and what a manager must be able to do."""

from typing import Optional, Protocol

from runbook.modules.acting.hands import Hands
from runbook.modules.frozen import frozen
from runbook.modules.host import Host
from runbook.modules.nodes.marks import Mark


@frozen
class Node:
    """A node at one moment."""

    name: str  # as the manager names it
    drained: bool  # it gets no new work
    busy: bool  # there is work on it still
    mark: Optional[Mark] = None  # ours
    why: str = ""  # why it is drained, in the words of whoever did it


class Manager(Protocol):
    """Slurm or Kubernetes."""

    NAME: str
    PROGRAM: str
    EVICTS: bool  # work on a drained node does not end by itself

    def look(self, host: Host, name: str) -> Node:
        """Return how a node stands.

        Raises:
            Failed: there is no such node.
            Unclear: the manager does not answer.
        """

    def drain(self, hands: Hands, node: Node, mark: Mark) -> None:
        """Let it get no new work, and bear a mark."""

    def evict(self, hands: Hands, node: Node, within: float) -> None:
        """End the work on it, within so many seconds."""

    def resume(self, hands: Hands, node: Node) -> None:
        """Let it get work again, and take the mark away."""
