"""The `call` probe: what a function of the program that uses the runbook says."""

from dataclasses import field
from typing import Any, ClassVar, Iterator, Mapping, Type

from runbook.modules.declare import Probe, Record, Unclear
from runbook.modules.frozen import frozen
from runbook.modules.host import Host
from runbook.modules.steps.call import ONLY_FROM_PYTHON


@frozen
class Called(Record):
    """What a function answered."""

    ok: bool  # it did not raise, and did not return false
    value: Any  # what it returned; the items of a mapping are reached by a dot: `value.queue > 100`
    error: str  # what it raised, in words; empty where it did not
    duration: float  # seconds that it took


@frozen
class Call(Probe):
    """Ask a function of the Python program that uses this runbook, which registered it by `@engine.check`.

    A function that raises is a record that is not `ok`, with its message.

    Example:
        - name: slow answers
          call: response_time
          when: not ok or value > 2
    """

    record: ClassVar[Type[Record]] = Called

    function: str  # the name under which the program registered it
    arguments: Mapping[str, Any] = field(default_factory=dict)  # given by name

    def look(self, host: Host) -> Iterator[Record]:  # noqa: ARG002 -- no host has the program's functions
        """Refuse: a host has no such function."""
        raise Unclear(ONLY_FROM_PYTHON)
