"""What the agent itself runs in is neither stopped nor restarted: the step would end with it, half done."""

from typing import Optional

from runbook.modules.daemons.processes import table
from runbook.modules.declare import Refused
from runbook.modules.host import Host


def spare(host: Host, name: str, main: Optional[int], group: str = "") -> None:
    """Refuse to stop a daemon whose main process, or control group, the agent runs under.

    Raises:
        Refused: it does.
    """
    seen = table(host)
    here = seen.by_pid.get(host.pid())
    inside = bool(group) and here is not None and (here.cgroup == group or here.cgroup.startswith(group + "/"))
    if inside or (main is not None and here is not None and main in seen.ours):
        raise Refused(f"this agent runs in {name}, and would end with it: do it from another host, or by a timer")
