"""The correlation `all`: every one of its members holds at the same time."""

from typing import ClassVar, Tuple, Type

from runbook.modules.declare import Invalid, Probe, Record
from runbook.modules.frozen import frozen


@frozen
class All(Probe):
    """Several detectors hold on the same host within a time: a fault that no single one of them proves.

    A member holds when any of its subjects does. Members without `recover` are inputs and open nothing themselves.
    `within` is a key of the detector.

    Example:
        - name: hung collective
          all: [no progress, gpus idle]
          within: 10m
          recover: [{restart_daemon: {unit: trainer}}]
    """

    record: ClassVar[Type[Record]] = Record  # its fields are those of its members' records
    engine: ClassVar[bool] = True

    members: Tuple[str, ...]  # the detectors' names; each of them holds

    def check(self) -> None:
        """Refuse members that say nothing."""
        repeated = next((name for name in self.members if self.members.count(name) > 1), None)
        if repeated is not None:
            raise Invalid(f"`{repeated}` is named twice")
        if len(self.members) < 2:
            raise Invalid("it takes two detectors or more; of one alone, use the detector itself")
