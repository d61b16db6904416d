"""The step `reboot`."""

from typing import List

from runbook.modules.actions import Action, Run, Until
from runbook.modules.declare import Duration, Failed, Impact, Refused, Step
from runbook.modules.frozen import frozen
from runbook.modules.host import Host


@frozen
class Reboot(Step):
    """Reboot the host, and go on with the recovery once it is back.

    It is done when the host has another boot id. Where the machine took the connection, or runbook itself, down with
    it, the next pass sees that, goes on to the next step or to `verify`, and reboots nothing twice. It is taken as
    part of a recovery only, under its lease, and at most once a day for a host unless its `limit` says otherwise.

    Example:
        - reboot: {}
          mode: auto
          limit: 2 per 7d
    """

    impact = Impact.DESTRUCTIVE
    idempotent = False
    reboots = True
    budget = (1, 86400.0)
    timeout = 900.0

    within: Duration = 300.0  # how long the machine may take to go down
    controller: bool = False  # reboot the very machine that runbook runs on, too: something must start it again

    def plan(self, host: Host) -> List[Action]:
        """Order it, and wait for the end."""
        boot = host.boot_id()
        if not boot:
            raise Refused("the kernel tells no boot id, so nobody could see that the host came back")
        if host.about.get("controller") == boot and not self.controller:
            raise Refused(
                "this is the machine that runbook itself runs on: `controller: true` reboots it all the same; cron, a "
                "timer or a unit must then start runbook again"
            )
        argv = next((argv for argv in _WAYS if host.which(argv[0]) is not None), None)
        if argv is None:
            raise Failed("neither systemctl nor shutdown is on the PATH")
        return [Run(argv), Until("the machine goes down", lambda: False, within=self.within, every=1.0)]


_WAYS = (("systemctl", "reboot"), ("shutdown", "-r", "now"))
