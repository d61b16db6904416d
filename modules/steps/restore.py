"""The step `restore`."""

import os
import time
from typing import Any, Dict, List, Optional, Sequence, Set, Tuple

from runbook.modules.acting import earlier, likeness, perform_keep, tree, walking
from runbook.modules.acting.copies import Store
from runbook.modules.acting.manifest import About
from runbook.modules.acting.putting_back import in_order
from runbook.modules.acting.trees import Trees
from runbook.modules.acting.writable import plain
from runbook.modules.actions import Action, Kept
from runbook.modules.actions import Restore as PutBack
from runbook.modules.declare import Failed, Impact, Invalid, Path, Step
from runbook.modules.frozen import frozen
from runbook.modules.host import Host

SHOWN = 5  # snapshots that a message names


@frozen
class Restore(Step):
    """Put files and trees back as a snapshot holds them; what is as it should be is not touched.

    Each file comes back at once, with its owner, mode, times and extended attributes. What is new since the snapshot
    stays, unless `exact` is set. What stood there is kept: a restore can be undone by `rollback: true`. `from: undo`
    puts back what steps such as `edit_config` and `chown` found there before they changed it, within seven days; so
    does `latest`, where no snapshot holds the path.

    Example:
        - restore: {path: /opt/serve/config, name: before upgrade}
        - restore: {path: /opt/serve/active.json, from: undo}
    """

    impact = Impact.DISRUPTIVE
    timeout = 1800.0
    writes = ("path", "kept_in")

    path: Path  # a file or directory that a snapshot holds, or one below it
    name: Optional[str] = None  # only snapshots of this name
    from_: str = "latest"  # latest, undo, or the id of a snapshot
    exact: bool = False  # delete what the snapshot does not hold
    kept_in: Optional[Path] = None  # the directory that `snapshot` was given as `into`

    def check(self) -> None:
        """A source that can be meant."""
        if self.from_ == "undo" and (self.exact or self.kept_in or self.name is not None):
            raise Invalid("`from: undo` puts back single changes: it goes without name, exact and kept_in")

    def effective_impact(self) -> Impact:
        """With `exact`, files may be lost."""
        return Impact.DESTRUCTIVE if self.exact else self.impact

    def plan(self, host: Host) -> List[Action]:
        """Put back what is otherwise than the snapshot holds it."""
        tree.inside(self.path, host.writable)
        path = plain(self.path)
        with Trees(host.writable) as trees:
            if self.from_ == "undo":
                return self._undone(host, trees, path)
            place = plain(self.kept_in) if self.kept_in else f"{host.own_directory()}/snapshots"
            try:
                store = perform_keep.opened(trees, place)
            except FileNotFoundError:
                return self._instead(host, trees, path, f"{place} is not there: no snapshot was taken")
            with store:
                found = self._chosen(store, path)
                if found is None:
                    return self._instead(host, trees, path, f"no snapshot in {place} holds {path}{_those(store)}")
                return self._put_back(host, trees, place, path, *found)

    def report(self, host: Host) -> Dict[str, Any]:
        """Say what was put back from where, and how much is new and stays."""
        return {name: host.kept[name] for name in ("source", "left") if name in host.kept}

    def _chosen(self, store: Store, path: str) -> Optional[Tuple[About, List[Kept]]]:
        """Return the snapshot that is meant, when it holds the path."""
        if self.from_ != "latest":
            found = store.read(self.from_)
            if not any(earlier.within(thing.path, path) for thing in found[1]):
                raise Failed(f"snapshot {self.from_} does not hold {path}; it is of {', '.join(found[0].roots)}")
            return found
        for about in store.list():
            if about.kind != "snapshot" or (self.name is not None and about.name != self.name):
                continue
            if any(earlier.within(path, root) or earlier.within(root, path) for root in about.roots):
                found = store.read(about.id)
                if any(earlier.within(thing.path, path) for thing in found[1]):
                    return found
        return None

    def _put_back(
        self, host: Host, trees: Trees, place: str, path: str, about: About, things: List[Kept]
    ) -> List[Action]:
        things = [thing for thing in things if thing.kind != "absent"]
        wanted = [thing for thing in things if earlier.within(thing.path, path)]
        wrong = {thing.path for thing in wanted if likeness.difference(trees, thing, about.at)}
        known = {thing.path for thing in things}
        below = ((f"{path}/{found.path}" if found.path else path, found) for found in walking.walk(host, path))
        new = [walking.entry(place, found.stat) for place, found in below if not found.mount]
        new = [entry for entry in new if entry.path not in known]
        remove = tuple(sorted(new, key=lambda entry: in_order(entry.path), reverse=True)) if self.exact else ()
        host.remember(source=about.id, left=0 if self.exact else len(new))
        if not wrong and not remove:
            return []
        disturbed = {os.path.dirname(each) for each in [*wrong, *(entry.path for entry in remove)]}
        chosen = [
            thing
            for thing in things
            if thing.path in wrong or (thing.kind == "directory" and _with(trees, thing, path, disturbed, wrong))
        ]
        chosen.sort(key=lambda thing: in_order(thing.path))
        clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(about.at))
        what = f"{path} from snapshot {about.id} of {clock}"
        own = f"{host.own_directory()}/snapshots"
        return [PutBack(what, tuple(chosen), remove, place, about.id, own)]

    def _undone(self, host: Host, trees: Trees, path: str) -> List[Action]:
        found = earlier.kept(trees, host.own_directory(), path)
        if not found.files and not found.actions:
            raise Failed(f"no step changed {path} within seven days in a way that was kept")
        wrong = [thing for thing in found.files if likeness.difference(trees, thing, 0.0)]
        host.remember(source="undo")
        own = f"{host.own_directory()}/snapshots"
        back: List[Action] = [PutBack(f"{path} as earlier steps found it", tuple(wrong), undo=own)] if wrong else []
        return [*found.actions, *back]

    def _instead(self, host: Host, trees: Trees, path: str, why: str) -> List[Action]:
        """Without a snapshot, `latest` is what earlier steps kept."""
        if self.from_ == "latest" and not (self.exact or self.kept_in or self.name is not None):
            found = earlier.kept(trees, host.own_directory(), path)
            if found.files or found.actions:
                return self._undone(host, trees, path)
        raise Failed(why)


def _with(trees: Trees, thing: Kept, path: str, disturbed: Set[str], wrong: Set[str]) -> bool:
    """Whether a directory has to be made for what lies in it, or gets another time by it."""
    if earlier.within(thing.path, path):
        return thing.path in disturbed
    above = any(earlier.within(each, thing.path) for each in wrong)
    return above and likeness.difference(trees, thing, 0.0) in {"missing", "kind"}


def _those(store: Store) -> str:
    """Name what there is."""
    listed: Sequence[About] = [about for about in store.list() if about.kind == "snapshot"][:SHOWN]
    told = [f"{about.id}{f' ({about.name})' if about.name else ''} of {', '.join(about.roots)}" for about in listed]
    return f"; there are {'; '.join(told)}" if told else ""
