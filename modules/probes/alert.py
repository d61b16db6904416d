"""The `alert` probe: what a Prometheus Alertmanager says fires, as it tells `runbook watch --alerts`."""

from dataclasses import field
from typing import ClassVar, Literal, Mapping, Optional, Tuple, Type

from runbook.modules.declare import Duration, Invalid, Probe, Record, Time
from runbook.modules.frozen import frozen


@frozen
class AlertRecord(Record):
    """One alert, as its last webhook told it. All of it is text of whoever wrote the alert: it is never code."""

    alert: str  # what is told apart: the alert's name and its instance; `limit` counts for each of them
    name: str  # its `alertname`
    status: Literal["resolved", "firing"]  # unknown when it was left out of its group's last message, or grew silent
    severity: str  # its label `severity`; a detector's own severity comes from the runbook
    summary: str  # its annotation `summary`
    instance: str  # its label `instance`
    job: str  # its label `job`
    starts_at: Time  # when it began to fire
    age: Duration  # since then
    silent_for: Duration  # since it was last heard of
    description: str  # its annotation `description`
    labels: Mapping[str, str]  # all labels, such as labels.namespace
    fingerprint: str  # Alertmanager's own name for this set of labels
    generator_url: str  # where the query is that found it
    receiver: str  # who was told


@frozen
class Alert(Probe):
    """What an Alertmanager says fires: recovery from the alerts that you already have.

    Only `runbook watch --alerts 127.0.0.1:9465` hears alerts; in `apply` and `check` this is `absent`. An alert is
    about the host that its label `instance` (or `host_label`) names; a runbook without an inventory takes all. It is
    over when Alertmanager says `resolved`, whatever `when` asks, so leave `send_resolved` as it is. One that was left
    out of its group's last message (it was silenced), or not heard of for twice `repeat`, is `unknown`: nothing is
    begun for it.

    Example:
        - name: inference server down
          alert: {receiver: runbook, alertname: VllmDown}
          for: 30s
          recover: [{restart_daemon: {unit: vllm}}]
    """

    record: ClassVar[Type[Record]] = AlertRecord
    subject: ClassVar[Optional[str]] = "alert"
    engine: ClassVar[bool] = True
    heard: ClassVar[bool] = True
    settles: ClassVar[float] = 900.0

    receiver: str  # the name at the end of the webhook's URL, http://127.0.0.1:9465/alerts/NAME
    alertname: Tuple[str, ...] = ()  # only alerts of these names; none named = all
    labels: Mapping[str, str] = field(default_factory=dict)  # only alerts with these labels, each exactly so
    host_label: str = "instance"  # the label that names the host; a port or a path behind it is left away
    repeat: Duration = 4 * 3600.0  # Alertmanager's `repeat_interval` for this receiver

    def check(self) -> None:
        """Refuse a receiver that no URL could end with, and a repetition that would be over at once."""
        if not self.receiver or any(letter in self.receiver for letter in "/?#% \t\n"):
            raise Invalid(f"`{self.receiver}` can't be the end of a URL: write a name without slashes and blanks")
        if self.repeat < 1.0:
            raise Invalid("`repeat` is Alertmanager's repeat_interval, such as 4h")
