"""Where the logs of docker's containers lie: JSON lines, in a file that docker rotates itself."""

import json
import os
from functools import partial
from typing import Any, List, Optional, Set, Tuple

from runbook.modules.declare import Absent, Unclear
from runbook.modules.host import Host
from runbook.modules.logs.listing import Listing

ROOT = "/var/lib/docker/containers"
SHORTEST = 12  # characters of an id that docker shows


def listing(host: Host) -> Listing:
    """Return what says which log a container of a name writes; another container of the name goes on in another."""
    return partial(_logs, host)


def _logs(host: Host, wanted: str, folders: Set[str]) -> List[str]:
    """Return the log of a container; none where there is no such container now.

    Raises:
        Absent: there is no docker here.
        Unclear: docker does not answer, or the container's log is kept in another form.
    """
    try:
        names = os.listdir(ROOT)
    except FileNotFoundError:
        names = None
    except OSError as error:
        raise Unclear(f"{ROOT} can't be read: {error.strerror}: look as root") from error
    if names is not None:
        folders.add(ROOT)
        found = [path for path in (_known(name, wanted) for name in sorted(names)) if path]
        if found:
            return found
    if host.which("docker") is None:
        if names is None:
            raise Absent("there is no docker here")
        return []
    return _inspected(host, wanted, folders)


def _known(identity: str, wanted: str) -> Optional[str]:
    """Return the log of a container by what docker keeps of it, if it is the one that is wanted."""
    folder = os.path.join(ROOT, identity)
    try:
        with open(os.path.join(folder, "config.v2.json"), encoding="utf-8") as file:
            config = json.load(file)
    except (OSError, ValueError, RecursionError):
        return None  # it is being made, or removed
    if not isinstance(config, dict) or not _is(config, identity, wanted):
        return None
    return str(config.get("LogPath") or os.path.join(folder, f"{identity}-json.log"))


def _is(config: Any, identity: str, wanted: str) -> bool:
    by_id = len(wanted) >= SHORTEST and identity.startswith(wanted)
    return by_id or str(config.get("Name", "")).lstrip("/") == wanted.lstrip("/")


def _inspected(host: Host, wanted: str, folders: Set[str]) -> List[str]:
    """Ask docker itself, which may keep its containers elsewhere."""
    form = "{{.LogPath}}\t{{.HostConfig.LogConfig.Type}}"
    done = host.run("docker", "inspect", "--type=container", "--format", form, "--", wanted)
    if done.exit_code:
        said = done.stderr.strip().splitlines()[:1]
        if said and "no such" in said[0].lower():
            return []
        raise Unclear(f"docker can't be asked about {wanted}: {said[0] if said else 'it says nothing'}")
    path, kind = _fields(done.stdout)
    if not path:
        raise Unclear(f"the log of {wanted} is kept by docker's driver `{kind or 'none'}`, not as JSON lines")
    folders.add(os.path.dirname(os.path.dirname(path)))
    return [path]


def _fields(output: str) -> Tuple[str, str]:
    path, _, kind = output.rstrip("\n").partition("\t")
    return path, kind
