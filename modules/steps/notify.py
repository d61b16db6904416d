"""The step `notify`."""

from typing import Literal, Optional

from runbook.modules.declare import Impact, Invalid, Step
from runbook.modules.frozen import frozen


@frozen
class Notify(Step):
    """Tell people: the message goes to the log, and to the terminal where there is one.

    Example:
        - notify: "{{ incident.host }}: vllm stays down"
        - notify:
            title: disk full
            message: "{{ incident.host }} has {{ incident.disk_free }} left"
            severity: high
    """

    impact = Impact.NONE
    idempotent = False  # after a crash nobody knows whether it was sent
    engine = True

    message: str  # what to tell
    title: Optional[str] = None  # a heading; without one, the detector's name
    severity: Optional[Literal["low", "medium", "high", "critical"]] = None  # how bad; without it, the incident's

    def check(self) -> None:
        """An empty message tells nobody anything."""
        if not self.message.strip():
            raise Invalid("`message` is empty: write what people are to know")
