"""The step `notify`."""

from typing import Literal, Optional, Tuple

from runbook.modules.declare import Impact, Invalid, Step
from runbook.modules.frozen import frozen


@frozen
class Notify(Step):
    """Tell people: the message goes into the report and the journal, and to channels where the configuration has some.

    Channels (mail, Slack, PagerDuty, webhooks and a hundred more) stand in `runbook.toml` or
    `~/.config/runbook/config.toml`, with how many messages each may get in an hour. About one fault a step tells a
    channel once in `repeat`, and who was told hears when it is over. A channel that fails or hangs is told in the
    report, and holds nothing up.

    Example:
        - notify: "{{ incident.host }}: vllm stays down"
        - notify:
            title: disk full
            message: "{{ incident.host }} has {{ incident.disk_free }} left"
            severity: high
            channels: [oncall]
    """

    impact = Impact.NONE
    idempotent = False  # after a crash nobody knows whether it was sent
    engine = True

    message: str  # what to tell
    title: Optional[str] = None  # a heading; without one, the detector's name
    severity: Optional[Literal["low", "medium", "high", "critical"]] = None  # how bad; without it, the incident's
    channels: Tuple[str, ...] = ()  # which channels of the configuration; without, its `default`, or all of them

    def check(self) -> None:
        """An empty message tells nobody anything."""
        if not self.message.strip():
            raise Invalid("`message` is empty: write what people are to know")
