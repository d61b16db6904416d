"""Taking a node out of service and putting it back: whose manager knows it, and only what is our own."""

import re
from typing import Any, ContextManager, Literal, Mapping, Optional

from runbook.modules.alone import alone as alone_at
from runbook.modules.declare import Failed, Invalid, Unclear
from runbook.modules.host import Host
from runbook.modules.nodes import kubernetes, marks, slurm
from runbook.modules.nodes.node import Manager, Node

ManagerName = Literal["auto", "slurm", "kubernetes"]
_MANAGERS: Mapping[str, Any] = {"slurm": slurm, "kubernetes": kubernetes}
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_PATIENCE = 60.0  # seconds for another step that is at the same node


def check(node: Optional[str]) -> None:
    """Refuse what is more than one node: a list in brackets would drain a fleet.

    Raises:
        Invalid: it is no name.
    """
    if node is not None and _NAME.fullmatch(node) is None:
        raise Invalid(f"`node: {node}` is no single node's name")


def named(host: Host, node: Optional[str]) -> str:
    """Return the node that a step is for: the one it names, or the host that the incident is on.

    Raises:
        Failed: the host is called what no node can be.
    """
    if node is not None:
        return node
    inventory = str(host.about.get("host") or "localhost")
    name = host.name() if inventory == "localhost" else inventory
    if _NAME.fullmatch(name) is None:
        raise Failed(f"{name!r} can't be a node's name: say which it is with `node`")
    return name


def manager(host: Host, wanted: str) -> Manager:
    """Return the manager of this host's nodes.

    Raises:
        Failed: there is none.
    """
    for name, one in _MANAGERS.items():
        if wanted in {"auto", name} and host.which(one.PROGRAM) is not None:
            found: Manager = one
            return found
    sought = [one.PROGRAM for name, one in _MANAGERS.items() if wanted in {"auto", name}]
    raise Failed(
        f"{' and '.join(sought)} {'are' if len(sought) > 1 else 'is'} not on the PATH: no manager of nodes here"
    )


def look(host: Host, one: Manager, name: str) -> Node:
    """Return how a node stands.

    Raises:
        Failed: the manager does not answer, or knows no such node.
    """
    try:
        return one.look(host, name)
    except Unclear as error:
        raise Failed(str(error)) from error


def incident(host: Host) -> str:
    """Return in whose name a node is drained."""
    return str(host.about.get("incident") or marks.BY_HAND)


def alone(host: Host, name: str) -> ContextManager[None]:
    """Keep other steps of this host away from a node: eight GPUs that are ill drain one node, each in its own name.

    Raises:
        Failed: another one is at it for too long.
    """
    return alone_at(host, f"node-{name}", f"been at the node {name}", _PATIENCE)
