"""What a look's detector can hear, found and armed by the worker that looked: it may hang, the agent may not.

The worker shares the agent's inotify instance, so it adds the watches itself, and tells the agent their numbers; the
agent never touches a path.
"""

import errno
import os
import stat
from typing import Any, Dict, List, Mapping, MutableMapping, Sequence, Tuple

from runbook.modules.declare import Probe, Record
from runbook.modules.host import Host
from runbook.modules.listening import inotify
from runbook.modules.listening.mounts import Mounts
from runbook.modules.listening.places import MOST, Name, TooMany, places
from runbook.modules.listening.sources import Source
from runbook.modules.look import EARS

PROCESSES = 256  # that one detector listens to
_ITSELF = "="  # the name under which what is watched is told of itself


def sought(
    probe: Probe, host: Host, records: Sequence[Record], moment: MutableMapping[str, Any]
) -> "Mapping[str, Any] | None":
    """Return what the agent is to listen to; None where nothing of this probe can be heard.

    `names` are watches with the names in them that matter, `pids` processes with their starts; `why` says what can't be
    heard though it should.
    """
    if type(probe).sources is Probe.sources:
        return None
    found = _Sought(moment)
    try:
        for source in probe.sources(host, records):
            found.add(source)
    except Exception as error:  # noqa: BLE001 -- a fault in what a probe declares must not cost its look
        found.why.append(f"what can be heard could not be told: {type(error).__name__}: {error}")
    return found.told()


class _Sought:
    """The sources of one look."""

    def __init__(self, moment: MutableMapping[str, Any]) -> None:
        self.why: List[str] = []
        self._moment = moment
        self._names: Dict[Tuple[int, str], None] = {}
        self._pids: Dict[Tuple[int, int], None] = {}
        self._kernel = False
        self._deaf = False

    def add(self, source: Source) -> None:
        """Arm a source, or say why that can't be done."""
        if source.kind == "kernel":
            self._kernel = True
        elif source.kind == "process":
            self._pids[source.pid, source.started] = None
        elif self._moment[EARS] < 0:
            self._deaf = True
        else:
            self._path(source)

    def told(self) -> Mapping[str, Any]:
        """Return what the agent needs."""
        pids = sorted(self._pids)
        if len(pids) > PROCESSES:
            self.why.append(f"{PROCESSES} of its {len(pids)} processes are listened to")
        return {
            "names": [list(name) for name in self._names],
            "pids": [list(one) for one in pids[:PROCESSES]],
            "kernel": self._kernel,
            "deaf": self._deaf,
            "why": list(dict.fromkeys(self.why)),
        }

    def _path(self, source: Source) -> None:
        try:
            found = places(source.path, rotated=source.rotated)
        except TooMany:
            self.why.append(f"{source.path} would need over {MOST} directories to be watched")
            return
        for place in found:
            watch, why = self._watch(place.folder)
            if why:
                self.why.append(why)
            if watch:
                self._names[watch, place.name] = None
                if place.file:
                    self._aside(place)

    def _aside(self, place: Name) -> None:
        """Watch a file itself that may be written under another name, of which its directory is not told."""
        path = os.path.join(place.folder, place.file)
        try:
            about = os.stat(path)
            if stat.S_ISREG(about.st_mode) and (about.st_nlink > 1 or os.path.ismount(path)):
                watch, why = self._watch(path)
                if watch:
                    self._names[watch, _ITSELF] = None
                if why:
                    self.why.append(why)
        except OSError:
            pass  # it is not there, or not to be seen: the look says so

    def _watch(self, path: str) -> Tuple[int, str]:
        """Return the watch on a directory or file, 0 where there is none, and why."""
        known: Dict[str, Tuple[int, str]] = self._moment.setdefault("watches", {})
        if path not in known:
            known[path] = self._begun(path)
        return known[path]

    def _begun(self, path: str) -> Tuple[int, str]:
        real = os.path.realpath(path)
        if "mounts" not in self._moment:
            self._moment["mounts"] = Mounts()
        why = self._moment["mounts"].refusal(real)
        if why:
            return 0, why
        try:
            return inotify.watch(self._moment[EARS], real), ""
        except OSError as error:
            return 0, _reason(path, error)


def _reason(path: str, error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        most = _limit("max_user_watches")
        return (
            f"inotify's watches of this user are used up ({most}): raise it with `sysctl fs.inotify.max_user_watches`"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{path} may not be watched: {error.strerror}"
    return f"{path} can't be watched: {error.strerror}"


def _limit(name: str) -> str:
    try:
        with open(f"/proc/sys/fs/inotify/{name}", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return "?"
