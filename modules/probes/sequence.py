"""The correlation `sequence`: its members came to hold one after the other."""

from typing import ClassVar, Tuple, Type

from runbook.modules.declare import Invalid, Probe, Record
from runbook.modules.frozen import frozen


@frozen
class Sequence(Probe):
    """Several detectors come to hold one after the other, in this order: a cause and then its effect.

    `within` is a key of the detector: the time between the first and the last.

    Example:
        - name: link loss stopped training
          sequence: [link down, no progress]
          within: 15m
          recover: [{restart_daemon: {unit: trainer}}]
    """

    record: ClassVar[Type[Record]] = Record  # its fields are those of its members' records
    engine: ClassVar[bool] = True

    members: Tuple[str, ...]  # the detectors' names; they hold in this order

    def check(self) -> None:
        """Refuse members that say nothing."""
        repeated = next((name for name in self.members if self.members.count(name) > 1), None)
        if repeated is not None:
            raise Invalid(f"`{repeated}` is named twice")
        if len(self.members) < 2:
            raise Invalid("it takes two detectors or more; of one alone, use the detector itself")
