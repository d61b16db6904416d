"""Time that passes between two looks, which may be of two processes, with a reboot or a set clock in between."""

from typing import Any, Dict, Mapping

from runbook.modules.host import Host


def mark(host: Host) -> Dict[str, Any]:
    """Return this moment in a form that `since` takes, as JSON."""
    return {"at": host.now(), "up": round(host.uptime(), 3), "boot": host.boot_id()}


def since(host: Host, moment: Mapping[str, Any]) -> float:
    """Return the seconds that passed since a moment, never less than none.

    Within one boot the time that the machine has been up counts, which nobody sets; over a reboot, the clock.
    """
    boot = host.boot_id()
    if boot and moment.get("boot") == boot:
        return max(0.0, host.uptime() - float(moment["up"]))
    return max(0.0, host.now() - float(moment["at"]))


def earlier(moment: Mapping[str, Any], seconds: float) -> Dict[str, Any]:
    """Return the moment so many seconds before."""
    return {**moment, "at": moment["at"] - seconds, "up": moment["up"] - seconds}
