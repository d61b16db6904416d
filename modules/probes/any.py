"""The correlation `any`: one of its members holds."""

from typing import ClassVar, Tuple, Type

from runbook.modules.declare import Invalid, Probe, Record
from runbook.modules.frozen import frozen


@frozen
class Any(Probe):
    """One of several detectors holds: different signs of the same fault, with one recovery for them all.

    A member holds when any of its subjects does. Members without `recover` are inputs and open nothing themselves.

    Example:
        - name: server ill
          any: [server down, server slow]
          recover: [{restart_daemon: {unit: vllm}}]
    """

    record: ClassVar[Type[Record]] = Record  # its fields are those of its members' records
    engine: ClassVar[bool] = True

    members: Tuple[str, ...]  # the detectors' names; one of them holds

    def check(self) -> None:
        """Refuse members that say nothing."""
        repeated = next((name for name in self.members if self.members.count(name) > 1), None)
        if repeated is not None:
            raise Invalid(f"`{repeated}` is named twice")
        if len(self.members) < 2:
            raise Invalid("it takes two detectors or more; of one alone, use the detector itself")
