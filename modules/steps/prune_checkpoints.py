"""The step `prune_checkpoints`."""

import itertools
import os
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Literal, Optional, Sequence, Tuple

from runbook.modules.acting import tree, walking
from runbook.modules.acting.walking import Found
from runbook.modules.actions import Action, Delete, Entry
from runbook.modules.checkpoints import told, uses, whole
from runbook.modules.declare import Duration, Failed, Glob, Impact, Invalid, Path, Step
from runbook.modules.frozen import frozen
from runbook.modules.host import Host

if TYPE_CHECKING:
    from runbook.modules.formats.validity import Verdict

FILES = (".ckpt", ".pt", ".pth", ".bin", ".safetensors")
JUDGING = 900.0  # seconds for reading checkpoints, all in all
ONE = 180.0  # and for one
BRIEF = 0.02  # for a file when that time is over
_USUAL = re.compile(r"(?:tmp-)?(?:checkpoint|ckpt|global_step|iter|step|epoch)[-_=]?\d[\w.=-]*")


@dataclass
class Checkpoint:
    """What goes or stays as one: a directory, or a file."""

    name: str
    things: List[Found]  # all that is in it, children before their directory
    newest: float = 0.0  # when the youngest file in it was last changed
    size: int = 0  # bytes that deleting it gives back
    sound: Optional[bool] = None  # None: not judged, or it can't be told
    reason: str = ""  # why it is not sound, or why that can't be told


@frozen
class PruneCheckpoints(Step):
    """Delete old checkpoints of a training run, and never one that is in use, or the last one that is sound.

    The newest stay (by the step in their names and by the time of their last change: where these disagree, both), and
    the best by a metric; a checkpoint that is cut off or corrupt counts as none of them. In use is what a process has
    open, mapped or on its command line, what a link beside it or beside `path`, or a pointer file leads to (`latest`,
    `latest_checkpointed_iteration.txt`), what a file in `named_in` names, what the newest `trainer_state.json` calls
    the best, and what changed within `settled`. Whether a checkpoint is sound is told by its shards, ranks and indexes
    (Transformers, DeepSpeed, FSDP, Megatron, Lightning) and by its files: safetensors, torch, JSON.

    Of older checkpoints, sound or not, the oldest goes first. With `corrupt`, broken ones go before them, whatever
    their age; without it, none goes where none is sound. Each is one action, so that a step that is killed leaves at
    most one half deleted. `deleted`, `freed` (bytes), `kept` (each with its reason) and `dangling` (links that lead
    nowhere) are its result.

    Example:
        - prune_checkpoints: {path: /srv/train/output, keep: 3}
        - prune_checkpoints:
            path: /srv/train/output
            keep: 2
            best: eval_loss
            named_in: [/srv/train/status.json]
            corrupt: true
    """

    impact = Impact.DESTRUCTIVE
    timeout = 3600.0
    writes = ("path",)

    path: Path  # the directory that holds the checkpoints
    keep: int = 3  # how many of the newest sound ones stay
    match: Tuple[Glob, ...] = ()  # names of checkpoints; without any, the usual ones such as checkpoint-500
    best: Optional[str] = None  # a metric such as eval_loss, whose best checkpoints stay as well
    goal: Literal["min", "max"] = "min"  # which values of `best` are the better ones
    keep_best: int = 1  # how many of the best stay
    metrics: Optional[str] = None  # the JSON file in each checkpoint that holds `best`; else what trainers write
    named_in: Tuple[Path, ...] = ()  # status files or configs: the checkpoints that they name are in use
    settled: Duration = 600.0  # what changed more lately may still be written
    corrupt: bool = False  # delete checkpoints that are cut off or corrupt, whatever their age

    def check(self) -> None:
        """Numbers that keep something, and names that stay below the path."""
        if self.keep < 1:
            raise Invalid(f"`keep: {self.keep}` would keep no checkpoint: write at least 1")
        if self.keep_best < 1:
            raise Invalid(f"`keep_best: {self.keep_best}`: write at least 1, or leave out `best`")
        if self.metrics is not None and self.best is None:
            raise Invalid("`metrics` is the file with the metric that `best` names: write `best` too")
        for name in (*self.match, *([] if self.metrics is None else [self.metrics])):
            if not name or name.startswith("/") or ".." in name.split("/"):
                raise Invalid(f"`{name}` must be a name in `path`, without `..`")
        for pattern in self.match:
            if "/" in pattern:
                raise Invalid(f"`match: {pattern}`: checkpoints lie directly in `path`; name their directory there")

    def plan(self, host: Host) -> List[Action]:
        """Choose what goes: the broken ones, if asked for, then the oldest."""
        tree.inside(self.path, host.writable)
        found = list(walking.walk(host, self.path))
        if not found:
            host.note(f"{self.path} is not there")
        if found and not found[-1].directory:
            raise Failed(f"{self.path} is no directory: name the one that holds the checkpoints")
        units = self._units(found)
        things = {unit.name: unit.things for unit in units}
        beside = [thing for thing in found if thing.path and "/" not in thing.path and thing.path not in things]
        kept, dangling = uses.gathered(
            self._unsettled(units, host.now()),
            uses.pointed(self.path, beside, things),
            uses.told(self.named_in, self.path, things),
            uses.held(self.path, things, host),
        )
        leaving = list(self._leaving(units, kept))
        host.remember(
            deleted=[unit.name for unit in leaving],
            freed=sum(unit.size for unit in leaving),
            kept={unit.name: kept[unit.name] for unit in units if unit.name in kept},
            dangling=dangling,
        )
        self._say(host, units, kept)
        return [Delete(f"{self.path.rstrip('/')}/{unit.name}", tuple(_entries(unit))) for unit in leaving]

    def report(self, host: Host) -> Dict[str, Any]:
        """Say what went, what that gave back, and why the others stay."""
        return {name: host.kept[name] for name in ("deleted", "freed", "kept", "dangling")}

    def _say(self, host: Host, units: Sequence[Checkpoint], kept: Dict[str, str]) -> None:
        """Tell which checkpoints stay, by the reasons for it."""
        by_reason: Dict[str, List[str]] = {}
        for unit in units:
            if unit.name in kept:
                by_reason.setdefault(kept[unit.name], []).append(unit.name)
        told = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in by_reason.items())
        if told:
            host.note(f"{sum(map(len, by_reason.values()))} kept ({told})")
        elif not units and os.path.isdir(self.path):
            host.note(f"no checkpoint in {self.path} by its name; `match` says which names are some")

    def _units(self, found: Sequence[Found]) -> List[Checkpoint]:
        """Group what lies in the path by checkpoint, the oldest first."""
        by_name: Dict[str, Checkpoint] = {}
        for thing in found:
            name = thing.path.partition("/")[0]
            if name and self._fits(name):
                by_name.setdefault(name, Checkpoint(name, [])).things.append(thing)
        units = []
        for unit in by_name.values():
            top = unit.things[-1]
            usual = top.directory or (top.file and (self.match or top.path.endswith(FILES)))
            if not usual:
                continue
            times = [thing.stat.st_mtime for thing in unit.things if thing.file]
            unit.newest = max(times, default=top.stat.st_mtime)
            unit.size = sum(it.stat.st_size for it in unit.things if it.file and it.stat.st_nlink == 1)
            units.append(unit)
        stepped = {unit.name: told.step(unit.name) for unit in units}
        by_step = all(number is not None for number in stepped.values())
        units.sort(key=lambda unit: ((stepped[unit.name] or 0) if by_step else 0, unit.newest, unit.name))
        return units

    def _fits(self, name: str) -> bool:
        import fnmatch

        if self.match:
            return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.match)
        return _USUAL.fullmatch(name) is not None

    def _unsettled(self, units: List[Checkpoint], now: float) -> Iterator[Tuple[str, str]]:
        for unit in units:
            emptied = unit is not units[-1] and not any(
                thing.file for thing in unit.things
            )  # by a step that was killed
            if now - unit.newest < self.settled and not emptied:
                yield unit.name, f"changed within {_lately(self.settled)}"
            if any(thing.mount for thing in unit.things):
                yield unit.name, "something is mounted in it"

    def _leaving(self, units: List[Checkpoint], kept: Dict[str, str]) -> Iterator[Checkpoint]:
        """Yield what goes, the broken first; note in `kept` why the others stay."""
        until = time.monotonic() + JUDGING
        newest = self._newest(units, until)
        worth = {**newest, **dict(self._best(units, until))}
        kept.update({name: why for name, why in worth.items() if name not in kept})
        going = [unit for unit in units if unit.name not in kept]
        if self.corrupt:
            yield from (unit for unit in going if self._judged(unit, units, until).sound is False)
        older = bool(newest)  # where none is sound, none is older than what is kept
        for unit in units:
            older = older and unit.name not in newest
            if unit not in going or (self.corrupt and unit.sound is False):
                continue
            if older or unit.sound is not False:
                yield unit
            else:
                why = (
                    "not sound, and newer than what is kept"
                    if newest
                    else "not sound, and none is: `corrupt: true` deletes it"
                )
                kept[unit.name] = f"{why}: {unit.reason}"

    def _newest(self, units: List[Checkpoint], until: float) -> Dict[str, str]:
        """Return the newest that are sound as far as that can be told, and the last one that surely is."""
        kept: Dict[str, str] = {}
        by_time = sorted(units, key=lambda unit: unit.newest)
        for order, why in ((units, "among the newest"), (by_time, "among the newest by time")):
            sound = (unit for unit in reversed(order) if self._judged(unit, units, until).sound is not False)
            for unit in itertools.islice(sound, self.keep):
                kept.setdefault(unit.name, why)
        last = next((unit for unit in reversed(units) if self._judged(unit, units, until).sound), None)
        if last is not None:
            kept.setdefault(last.name, "the last one that is surely sound")
        return kept

    def _best(self, units: List[Checkpoint], until: float) -> Iterator[Tuple[str, str]]:
        states = [unit for unit in units if any(it.path == f"{unit.name}/{told.STATE}" for it in unit.things)]
        if states:
            yield told.best_so_far(os.path.join(self.path, states[-1].name)), "the best so far, says the trainer"
        if self.best is None or not units:
            return
        known = {unit.name: told.metrics(os.path.join(self.path, unit.name), self.metrics) for unit in units}
        values = {name: metrics[self.best] for name, metrics in known.items() if self.best in metrics}
        if not values:
            names = sorted({name for metrics in known.values() for name in metrics})
            there = f"they tell {', '.join(names[:20])}" if names else "they tell no metric at all"
            raise Failed(f"{self.path}: no checkpoint tells `{self.best}`, so the best is not known; {there}")
        by_name = {unit.name: unit for unit in units}
        ranked = (by_name[name] for name in told.ranked(values, self.goal))
        sound = (unit for unit in ranked if self._judged(unit, units, until).sound is not False)
        for unit in itertools.islice(sound, self.keep_best):
            yield unit.name, f"the best by {self.best} ({values[unit.name]:g})"

    def _judged(self, unit: Checkpoint, units: Sequence[Checkpoint], until: float) -> Checkpoint:
        """Judge a checkpoint, once."""
        if unit.sound is None and not unit.reason:
            unit.sound, unit.reason = self._verdict(unit, units, until)
        return unit

    def _verdict(self, unit: Checkpoint, units: Sequence[Checkpoint], until: float) -> Tuple[Optional[bool], str]:
        if unit.name.startswith("tmp-"):
            return False, "a save that was broken off"
        for mark in whole.LAST if unit.things[-1].directory else ():
            alike = [other for other in units if _shape(other.name) == _shape(unit.name)]
            if any(_holds(other, mark) for other in alike) and not _holds(unit, mark):
                return False, f"without {mark}, which is written last: the save was broken off"
        try:
            verdict = _read(os.path.join(self.path, unit.name), until)
        except OSError as error:
            return None, f"it can't be read: {error.strerror}"
        return verdict.valid, verdict.reason or "sound"


def _read(path: str, until: float) -> "Verdict":
    """Judge file after file; when the time is over, each only by what its end says, so that all are looked at."""
    from runbook.modules.formats.validity import judge

    known: Dict[str, Any] = {}
    seen = -1
    while True:
        now = time.monotonic()
        verdict, known = judge(path, "checkpoint", max(now + BRIEF, min(until, now + ONE)), known)
        files = len(known.get("hashed", ()))
        if verdict.valid is not None or files <= seen:
            return verdict
        seen = files


def _entries(unit: Checkpoint) -> Iterator[Entry]:
    return (thing._replace(path=thing.path[len(unit.name) + 1 :]).entry for thing in unit.things)


def _holds(unit: Checkpoint, name: str) -> bool:
    return any(thing.path == f"{unit.name}/{name}" for thing in unit.things)


def _shape(name: str) -> str:
    """Return what the names of one run's checkpoints have in common."""
    return re.sub(r"\d+", "0", name)


def _lately(seconds: float) -> str:
    return f"{seconds / 60:g} min" if seconds >= 60 else f"{seconds:g} s"
