"""The step `snapshot`."""

import os
from typing import List, Optional, Tuple

from runbook.modules.acting import likeness, perform_keep, tree, walking
from runbook.modules.acting.hands import size
from runbook.modules.acting.putting_back import in_order
from runbook.modules.acting.trees import Trees
from runbook.modules.acting.writable import plain
from runbook.modules.actions import Action, Keep
from runbook.modules.declare import Failed, Impact, Invalid, Path, Refused, Size, Step, Unclear
from runbook.modules.frozen import frozen
from runbook.modules.host import Host

ROOM = 64 * 1024 * 1024  # bytes that stay free where copies are


@frozen
class Snapshot(Step):
    """Keep a copy of files and trees, to be put back by `restore` or by `rollback: true`.

    Owner, mode, times, extended attributes, links and holes are kept; pipes, sockets, devices and what is mounted
    below are left out. The copy is there as a whole or not at all, in the agent's own directory on the host, or in
    `into`. Where nothing changed since the last one of the same name and paths, that one is it. An operation with
    `rollback: true` for which all is lost puts back what the snapshots before it hold, and so does a recovery with
    `rollback: true`; what is new meanwhile stays. With `register: kept`, `kept.id` names the snapshot.

    Example:
        - snapshot: {path: [/opt/serve/config, /opt/serve/active.json], name: before upgrade, keep: 5, max_size: 200MB}
    """

    impact = Impact.LOW
    guards = True
    timeout = 1800.0
    writes = ("path", "into")

    path: Tuple[Path, ...]  # files and directories; to be put back, they must lie in `writable`
    name: str = ""  # what this snapshot is of; `restore` finds it by that
    keep: int = 5  # how many of this name and these paths stay
    max_size: Size = 10**9  # refuse when the files have more than that in all
    into: Optional[Path] = None  # a directory in `writable` that only the agent's user writes to; made when missing

    def check(self) -> None:
        """Something to keep, and a place outside of it."""
        if not self.path:
            raise Invalid("`path` is empty: name at least one file or directory")
        if self.keep < 1:
            raise Invalid(f"`keep: {self.keep}` would keep nothing: write at least 1")
        for path in self.path if self.into else ():
            if _within(str(self.into), path):
                raise Invalid(f"`into: {self.into}` lies in {path}: a copy would hold the copies before it")

    def plan(self, host: Host) -> List[Action]:
        """Name what is to be copied, unless the last snapshot holds all of it as it is."""
        roots = tuple(sorted({plain(path) for path in self.path}))
        into = plain(self.into) if self.into else f"{host.own_directory()}/snapshots"
        paths, needed = [], 0
        for root in roots:
            tree.inside(root, host.writable)
            if _within(into, root) or _within(root, into):
                raise Refused(f"{root} and {into}, where snapshots are, lie in each other")
            found = list(walking.walk(host, root))
            if not found:
                raise Failed(f"{root} is not there, so there is nothing to keep")
            paths += [os.path.join(root, thing.path) if thing.path else root for thing in found]
            needed += sum(min(thing.stat.st_size, thing.stat.st_blocks * 512) for thing in found if thing.file)
        paths = sorted(set(paths), key=in_order)
        action = Keep(roots, tuple(paths), into, self.name, self.keep, self.max_size, self._same(host, into, paths))
        if not action.same:
            self._affordable(host, into, needed)
        return [action]

    def _same(self, host: Host, into: str, paths: List[str]) -> str:
        """Return the last snapshot, when all is as it holds it."""
        with Trees(host.writable) as trees:
            try:
                store = perform_keep.opened(trees, into)
            except FileNotFoundError:
                return ""
            with store:
                last = perform_keep.newest(store, self.name, {plain(path) for path in self.path})
                if last is None:
                    return ""
                try:
                    about, things = store.read(last.id)
                except Failed:  # it is damaged, and a new one is due
                    return ""
                if [thing.path for thing in things] != paths:
                    return ""
                wrong = any(likeness.difference(trees, thing, about.at) for thing in things)
                return "" if wrong else about.id

    def _affordable(self, host: Host, into: str, needed: int) -> None:
        if needed > self.max_size:
            raise Refused(
                f"{', '.join(self.path)}: {size(needed)} to keep, more than `max_size: {size(self.max_size)}`;"
                " raise it, or name less in `path`"
            )
        place = into
        while not os.path.isdir(place):
            place = os.path.dirname(place)
        try:
            free = host.free_space(place)
        except Unclear as error:
            raise Failed(str(error)) from error
        if needed + ROOM > free:
            raise Refused(
                f"no room for a snapshot of {size(needed)} in {into}: {size(free)} are free; name another `into`"
            )


def _within(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")
