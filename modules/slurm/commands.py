"""Where Slurm's commands are: the PATH of who comes by SSH, or from systemd, often lacks the cluster's directory."""

import glob
import os
from functools import lru_cache
from typing import Dict, List, Optional, Tuple

from runbook.modules.bootstrap import safe
from runbook.modules.declare import Absent, Unclear
from runbook.modules.host import Host

USUAL = (
    *("/opt/slurm/bin", "/usr/local/slurm/bin", "/opt/slurm/current/bin", "/cm/shared/apps/slurm/current/bin"),
    *("/cm/local/apps/slurm/current/bin", "/usr/local/bin"),
)
_LATER = ("/opt/slurm-*/bin", "/opt/slurm/*/bin", "/usr/local/slurm-*/bin", "/opt/software/slurm/*/bin")
_FILTERS = (
    *("SQUEUE_ACCOUNT", "SQUEUE_LICENSES", "SQUEUE_NAMES", "SQUEUE_PARTITION", "SQUEUE_QOS", "SQUEUE_RESERVATION"),
    *("SQUEUE_STATES", "SQUEUE_USERS"),
)
_CONF = ("/etc/slurm/slurm.conf", "/etc/slurm-llnl/slurm.conf", "/run/slurm/conf/slurm.conf")
_FRESH = 300.0  # seconds after which a login shell is asked anew
_SHELL = 15.0  # seconds for a profile that loads modules
_ASKED = 'printf \'\\n\\001%s\\001%s\\001\' "$PATH" "$SLURM_CONF"'


def find(host: Host, program: str = "squeue") -> None:
    """See to it that Slurm's commands are on this process's PATH: in the usual places, or where a login shell has them.

    Where a person's settings would hide jobs from them (SQUEUE_USERS and its like), they don't hide them from us.

    Raises:
        Absent: they are not to be found.
        Unclear: we are root, and others can write where they are.
    """
    _set(host, **dict.fromkeys(_FILTERS))
    there = host.which(program)
    if there is None:
        place = _usual(program) or _login(host, program)
        if place is not None and host.uid() == 0 and not safe(place):
            raise Unclear(
                f"{program} is in {place}, which is not on the PATH, and which others than root can write: root runs "
                "nothing from there; mend its owner and mode, or put it on the PATH of root's non-login shells"
            )
        if place is not None:
            _set(host, PATH=":".join(filter(None, (host.env.get("PATH", ""), place))))
        there = host.which(program)
    if there is None:
        raise Absent(
            f"there is no Slurm here: {program} is not on the PATH, not in {USUAL[0]} or other usual places, and a "
            "login shell does not find it; where it is elsewhere, link it into /usr/local/bin"
        )
    beside = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(there))), "etc/slurm.conf")
    if not host.env.get("SLURM_CONF") and not any(os.path.exists(one) for one in (*_CONF, beside)):
        _set(host, SLURM_CONF=_profile(*_asker(host)).get("SLURM_CONF") or None)


def _set(host: Host, **variables: Optional[str]) -> None:
    """Set variables, and take those away that are None; what a step's actions run finds them in this process's own."""
    changed = {name: value for name, value in variables.items() if host.env.get(name) != value}
    if not changed:
        return
    env = {name: value for name, value in {**host.env, **changed}.items() if value is not None}
    if host.env is not os.environ:
        host.env = env
        return
    for name in changed:
        os.environ.pop(name, None)
    os.environ.update(env)


def _usual(program: str) -> Optional[str]:
    several: List[str] = [*USUAL, *(found for each in _LATER for found in sorted(glob.glob(each), reverse=True))]
    return next((one for one in several if os.access(os.path.join(one, program), os.X_OK)), None)


def _login(host: Host, program: str) -> Optional[str]:
    places = _profile(*_asker(host)).get("PATH", "").split(":")
    return next((one for one in places if one.startswith("/") and os.access(f"{one}/{program}", os.X_OK)), None)


def _asker(host: Host) -> Tuple[int, str, int]:
    return host.uid(), host.env.get("HOME", ""), int(host.uptime() // _FRESH)


@lru_cache(maxsize=4)
def _profile(uid: int, home: str, turn: int) -> Dict[str, str]:
    """Return what a login shell of ours sets; it is asked seldom, since profiles may take their time."""
    del uid, turn  # whose it is, and for how long it holds
    host = Host()
    shell = "bash" if host.which("bash") is not None else "sh"
    try:
        done = host.run(shell, "-l", "-c", _ASKED, timeout=_SHELL, env={"HOME": home})
    except Unclear:
        return {}
    return dict(zip(("PATH", "SLURM_CONF"), done.stdout.rpartition("\n\1")[2].split("\1")))
