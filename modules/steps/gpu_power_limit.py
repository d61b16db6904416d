"""The step `gpu_power_limit`."""

from typing import Any, List, Literal, Mapping, Optional

from runbook.modules import nvml
from runbook.modules.actions import Action, Do
from runbook.modules.cards.subject import called, chosen
from runbook.modules.declare import Absent, Failed, Impact, Invalid, Percent, Step, Unclear, Watt
from runbook.modules.frozen import frozen
from runbook.modules.host import Host

_CLOSE = 1000  # milliwatts: cards round what they are told


@frozen
class GpuPowerLimit(Step):
    """Set how much power a GPU may draw: less heat at once, for some speed.

    A share is one of what the card draws by default, so that 100 % among the `cured` steps undoes it; what the card
    can't do is rounded to what it can. The limit holds until the driver is loaded anew: where persistence mode is off,
    until nothing uses the GPU.

    Example:
        - gpu_power_limit: {percent: 80}
        - gpu_power_limit: {watts: 400, gpu: all}
    """

    impact = Impact.DISRUPTIVE
    on_subject = True

    percent: Optional[Percent] = None  # the share of what `of` says
    watts: Optional[Watt] = None  # or the limit itself
    of: Literal["default", "max"] = "default"  # of what the share is one: the card's usual limit, or its highest
    gpu: Optional[str] = None  # its number, UUID or PCI address, or `all`; without, the GPU of the incident

    def check(self) -> None:
        """One of the two, and something to live on."""
        if (self.percent is None) == (self.watts is None):
            raise Invalid("write `percent`, or `watts`, and not both")
        if (self.percent if self.percent is not None else self.watts or 0.0) <= 0:
            raise Invalid("a GPU without power computes nothing: write more than 0")

    def plan(self, host: Host) -> List[Action]:
        """Compare with what it is."""
        actions: List[Action] = []
        for reading in chosen(host, self.gpu):
            if "power_least" not in reading:
                raise Failed(
                    f"the power limit of {called(reading)} can't be set: the card or its driver does not do it"
                )
            wanted = self._wanted(reading)
            if abs(wanted - reading["power_set"]) >= _CLOSE:
                actions.append(Do(self._said(reading, wanted), lambda _, r=reading, w=wanted: _limited(r, w)))  # type: ignore[misc]
        return actions

    def _wanted(self, reading: Mapping[str, Any]) -> int:
        whole = reading["power_default" if self.of == "default" else "power_most"]
        asked = whole * self.percent / 100 if self.percent is not None else 1000 * (self.watts or 0.0)
        return int(min(max(asked, reading["power_least"]), reading["power_most"]))

    def _said(self, reading: Mapping[str, Any], wanted: int) -> str:
        share = f", {self.percent:g}% of its {self.of}" if self.percent is not None else ""
        least, most = reading["power_least"], reading["power_most"]
        edge = f", the {'least' if wanted == least else 'most'} it can do" if wanted in {least, most} else ""
        return f"limit {called(reading)} to {_watts(wanted)}{share or edge} (from {_watts(reading['power_set'])})"


def _limited(reading: Mapping[str, Any], wanted: int) -> Mapping[str, Any]:
    try:
        now = nvml.limit_power(str(reading["uuid"]), wanted)
    except (Absent, Unclear) as error:
        raise Failed(str(error)) from error
    if abs(now - wanted) >= _CLOSE:
        raise Failed(f"{called(reading)} took no limit of {_watts(wanted)}: the driver says {_watts(now)}")
    return {"watts": now / 1000, "watts_before": reading["power_set"] / 1000}


def _watts(milliwatts: int) -> str:
    return f"{milliwatts / 1000:g} W"
