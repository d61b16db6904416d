"""What a look's detector can hear, found and armed by the worker that looked: it may hang, the agent may not.

The worker shares the agent's inotify instance, so it adds the watches itself, and tells the agent their numbers; the
agent never touches a path.
"""

import errno
import os
import stat
import time
from contextlib import suppress
from typing import Any, Dict, List, Mapping, MutableMapping, NamedTuple, Optional, Sequence, Tuple

from runbook.modules.declare import Probe, Record
from runbook.modules.host import Host
from runbook.modules.listening import inotify
from runbook.modules.listening.mounts import Mounts
from runbook.modules.listening.places import MOST, TooMany, places
from runbook.modules.listening.sources import Source
from runbook.modules.look import EARS, EPOCH

PROCESSES = 256  # that one detector listens to
AGAIN = 300.0  # seconds after which all is begun anew: of a mount, or a directory far above, nothing is heard
_ITSELF = "="  # the name under which what is watched is told of itself

_Paths = Tuple[Tuple[str, bool], ...]
_lately: "Dict[str, Tuple[Any, _Paths, float, _Watched]]" = {}  # of the process that looks, by key


def sought(
    probe: Probe, host: Host, records: Sequence[Record], moment: MutableMapping[str, Any], spec: Mapping[str, Any]
) -> Optional[Mapping[str, Any]]:
    """Return what the agent is to listen to; None where nothing of this probe can be heard.

    `names` are watches with the names in them that matter, `pids` processes with their starts; `why` says what can't be
    heard though it should.
    """
    if type(probe).sources is Probe.sources:
        return None
    why: List[str] = []
    found: List[Source] = []
    try:
        found += probe.sources(host, records)
    except Exception as error:  # noqa: BLE001 -- a fault in what a probe declares must not cost its look
        why.append(f"what can be heard could not be told: {type(error).__name__}: {error}")
    paths = tuple((source.path, source.rotated) for source in found if source.kind == "path")
    deaf = bool(paths) and moment[EARS] < 0
    watched = _Watched((), ()) if deaf or not paths else _known(paths, spec, moment)
    pids = sorted({(source.pid, source.started) for source in found if source.kind == "process"})
    if len(pids) > PROCESSES:
        why.append(f"{PROCESSES} of its {len(pids)} processes are listened to")
    return {
        "names": watched.names,
        "pids": [list(one) for one in pids[:PROCESSES]],
        "kernel": any(source.kind == "kernel" for source in found),
        "deaf": deaf,
        "why": [*why, *watched.why],
    }


class _Watched(NamedTuple):
    """What is watched to hear of some paths."""

    names: Sequence[Tuple[int, str]]  # watches, and the names in them that matter
    why: Sequence[str]  # why not all of it


def _known(paths: _Paths, spec: Mapping[str, Any], moment: MutableMapping[str, Any]) -> _Watched:
    """Return what is watched already, where nothing has happened to it that was heard, and not long ago."""
    key, epoch, now = str(spec.get("listen")), spec.get(EPOCH), time.monotonic()
    before = _lately.get(key)
    if before is not None and before[:2] == (epoch, paths) and now - before[2] < AGAIN:
        return before[3]
    watched = _Watching(moment).all(paths)
    _lately[key] = epoch, paths, now, watched
    return watched


class _Watching:
    """Begins what watches some paths need."""

    def __init__(self, moment: MutableMapping[str, Any]) -> None:
        self._moment = moment
        self._names: Dict[Tuple[int, str], None] = {}
        self._why: Dict[str, None] = {}

    def all(self, paths: _Paths) -> _Watched:
        """Watch them."""
        for path, rotated in paths:
            self._path(path, rotated=rotated)
        return _Watched(tuple(self._names), tuple(self._why))

    def _path(self, path: str, *, rotated: bool) -> None:
        try:
            found = places(path, rotated=rotated)
        except TooMany:
            self._why[f"{path} would need over {MOST} directories to be watched"] = None
            return
        for place in found:
            self._add(place.folder, place.name)
            if place.file:
                self._aside(os.path.join(place.folder, place.file))

    def _add(self, path: str, name: str) -> None:
        watch, why = self._watch(path)
        if why:
            self._why[why] = None
        if watch:
            self._names[watch, name] = None

    def _aside(self, path: str) -> None:
        """Watch a file itself that may be written under another name, of which its directory is not told."""
        with suppress(OSError):  # it is not there, or not to be seen: the look says so
            about = os.stat(path)
            if stat.S_ISREG(about.st_mode) and (about.st_nlink > 1 or os.path.ismount(path)):
                self._add(path, _ITSELF)

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
