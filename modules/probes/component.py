"""The `component` probe: how what operations depend on has answered them lately."""

from typing import ClassVar, Literal, Optional, Type

from runbook.modules.declare import Duration, Percent, Probe, Record
from runbook.modules.frozen import frozen

Level = Literal["healthy", "degraded", "unhealthy", "critical"]


@frozen
class ComponentRecord(Record):
    """The last attempts that needed a component, up to its `window` (20)."""

    name: str  # the component
    error_rate: Optional[Percent]  # how many of the attempts failed, 0 to 100; null where there was none
    attempts: int  # how many attempts that is of
    latency_mean: Optional[Duration]  # how long the successful ones took; null where none was
    level: Level  # healthy below 5 % errors, degraded below 20, unhealthy below 50, critical from there on; or worse


@frozen
class Component(Probe):
    """The error rate of a component: a hub, a server, whatever operations say by `component:` that they depend on.

    It is made of the operations' attempts that the journal knows, on this host. Below five attempts nothing can be
    said of it: it is `absent`. While a detector with `component:` has an incident, the component is at least as ill as
    the incident's severity says: low and medium degraded, high unhealthy, critical.

    Example:
        - name: hub ill
          component: hub
          when: level >= 'unhealthy'
          recover: [{notify: "the hub fails {{ incident.error_rate }} % of our attempts"}]
    """

    record: ClassVar[Type[Record]] = ComponentRecord
    subject: ClassVar[Optional[str]] = "name"
    engine: ClassVar[bool] = True

    name: Optional[str] = None  # the component; by default all of them, each a subject of its own
