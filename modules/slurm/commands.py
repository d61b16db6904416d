"""Where Slurm's commands are: the PATH of who comes by SSH, or from systemd, often lacks the cluster's directory."""

import glob
import os
from functools import lru_cache
from typing import Dict, List, NamedTuple, Optional

from runbook.modules.bootstrap import safe
from runbook.modules.declare import Absent, Unclear
from runbook.modules.host import Host

USUAL = (
    *("/opt/slurm/bin", "/usr/local/slurm/bin", "/opt/slurm/current/bin", "/cm/shared/apps/slurm/current/bin"),
    *("/cm/local/apps/slurm/current/bin", "/usr/local/bin", "/usr/bin"),
)
_LATER = ("/opt/slurm-*/bin", "/opt/slurm/*/bin", "/usr/local/slurm-*/bin", "/opt/software/slurm/*/bin")
_CONF = ("/etc/slurm/slurm.conf", "/etc/slurm-llnl/slurm.conf", "/run/slurm/conf/slurm.conf")
_FRESH = 300.0  # seconds after which a login shell is asked anew
_SHELL = 15.0  # seconds for a profile that loads modules
_ASKED = 'printf \'\\n\\001%s\\001%s\\001\' "$PATH" "$SLURM_CONF"'


class Place(NamedTuple):
    """A directory of commands, and the configuration that goes with it."""

    directory: str
    conf: str = ""


def find(host: Host, program: str = "squeue") -> None:
    """See to it that Slurm's commands are on this process's PATH: in the usual places, or where a login shell has them.

    Raises:
        Absent: they are not to be found.
        Unclear: we are root, and others can write where they are.
    """
    there = host.which(program)
    if there is not None:
        _configure(host, there)
        return
    place = _usual(program) or _login(host, program)
    if place is None:
        raise _absent(program)
    if host.uid() == 0 and not safe(place.directory):
        raise Unclear(
            f"{program} is in {place.directory}, which is not on the PATH, and which others than root can write: root "
            "runs nothing from there; mend its owner and mode, or put it on the PATH of root's non-login shells"
        )
    added = {"PATH": ":".join(filter(None, (host.env.get("PATH", ""), place.directory)))}
    if place.conf and not host.env.get("SLURM_CONF"):
        added["SLURM_CONF"] = place.conf
    if host.env is os.environ:
        os.environ.update(added)  # what a step's actions run is looked for there
    else:
        host.env = {**host.env, **added}
    if host.which(program) is None:
        raise _absent(program)


def _configure(host: Host, there: str) -> None:
    """Take the configuration that a login shell names, where none is in any place that the commands look at."""
    beside = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(there))), "etc/slurm.conf")
    if host.env.get("SLURM_CONF") or any(os.path.exists(one) for one in (*_CONF, beside)):
        return
    conf = _profile(host.uid(), host.env.get("HOME", ""), int(host.uptime() // _FRESH)).get("SLURM_CONF", "")
    if conf and host.env is os.environ:
        os.environ["SLURM_CONF"] = conf


def _absent(program: str) -> Absent:
    return Absent(
        f"there is no Slurm here: {program} is not on the PATH, not in {USUAL[0]} or other usual places, and a login "
        "shell does not find it; where it is elsewhere, link it into /usr/local/bin"
    )


def _usual(program: str) -> Optional[Place]:
    several: List[str] = [*USUAL, *(found for each in _LATER for found in sorted(glob.glob(each), reverse=True))]
    return next((Place(one) for one in several if os.access(os.path.join(one, program), os.X_OK)), None)


def _login(host: Host, program: str) -> Optional[Place]:
    told = _profile(host.uid(), host.env.get("HOME", ""), int(host.uptime() // _FRESH))
    for directory in told.get("PATH", "").split(":"):
        if directory.startswith("/") and os.access(os.path.join(directory, program), os.X_OK):
            return Place(directory, told.get("SLURM_CONF", ""))
    return None


@lru_cache(maxsize=4)
def _profile(uid: int, home: str, turn: int) -> Dict[str, str]:
    """Return what a login shell of ours sets; it is asked seldom, since profiles may take their time."""
    del uid, home, turn  # whose it is, and for how long it holds
    host = Host()
    shell = "bash" if host.which("bash") is not None else "sh"
    try:
        done = host.run(shell, "-l", "-c", _ASKED, timeout=_SHELL)
    except Unclear:
        return {}
    _, *told = done.stdout.rpartition("\n")[2].split("\1")
    return dict(zip(("PATH", "SLURM_CONF"), told))
