"""What people have said, beside the runbook: approvals, acknowledgements, maintenance, components set back.

Part of the ground: the journal keeps it, the guards ask it, the commands write it.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 -- a frozen class looks at its types

from runbook.modules.frozen import field, frozen


@frozen
class Maintenance:
    """Hosts on which nothing is begun for a while. Times in seconds since the epoch."""

    id: str
    hosts: str  # an inventory pattern
    since: float
    until: float | None  # None = until it is taken off
    by: str  # user@machine
    reason: str = ""


@frozen
class Ack:
    """A person has seen an incident and deals with it: nothing is begun about it, and it counts as no host down."""

    incident: str
    at: float
    until: float | None  # None = until the incident ends
    by: str
    reason: str = ""


@frozen
class Approval:
    """A person allowed, or refused, exactly the steps that the digest stands for."""

    incident: str
    digest: str
    at: float
    until: float
    by: str
    granted: bool = True
    reason: str = ""


@frozen
class Reset:
    """A person called a component well again: what it did before counts no more."""

    component: str
    host: str  # "" = on every host
    at: float
    by: str


@frozen
class People:
    """All that holds now."""

    maintenance: tuple[Maintenance, ...] = ()
    acks: Mapping[str, Ack] = field(default_factory=dict)  # by incident
    approvals: Mapping[str, Approval] = field(default_factory=dict)  # by incident: the last word
    resets: tuple[Reset, ...] = ()


__all__ = ["Ack", "Approval", "Maintenance", "People", "Reset"]
