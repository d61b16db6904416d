"""Claims: which watch has a runbook (and shard) of this journal. One has it, others stand by.

A claim lasts for some seconds and is renewed by each beat. It passes to another watch when it was released, when its
run does not live any more (`locks`), or when it lapsed: a process that was stopped keeps its locks, and does nothing.
Whoever lost it is fenced: what it holds counts as a dead run's, and its `Keeper` refuses to write.
"""

from __future__ import annotations

import time
from collections.abc import Mapping  # noqa: TC003 -- frozen classes look at their types
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.errors import Busy, Fenced, Hung
from runbook.engine.journal import codec
from runbook.engine.journal.facts import Fact
from runbook.modules.frozen import field, frozen, replace

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from runbook.engine.journal.batch import Batch
    from runbook.engine.journal.locks import Locks
    from runbook.engine.journal.store import Journal

    Alive = Callable[[str], bool]  # a run's id

WATCHING, STANDBY, HANGS, DIED = "watching", "standby", "hangs", "died"  # how a watch is
_COLUMNS: Final = "run, runbook, shard, holder, epoch, since, beat, until, every, ended, successor, told"


@frozen
class Claim:
    """What a watch holds: a runbook, or a shard of its hosts."""

    runbook: str
    shard: str  # "" or "1/3"
    run: str
    holder: str  # user@machine, process N
    epoch: int = 0  # one more with each that takes it
    why: str = ""  # from whom it was taken, and why, in words; "" = it was free


@frozen
class Watch:
    """A watch as the journal knows it. Times in seconds since the epoch."""

    run: str
    runbook: str
    shard: str
    holder: str
    epoch: int  # 0: it stands by
    since: float  # when it took its claim, or began to stand by
    beat: float  # its last sign of life
    until: float  # when its claim lapses without another
    every: float  # the seconds between its beats
    ended: float | None  # released, or lost
    successor: str  # the run that took over from it
    told: Mapping[str, Any] = field(default_factory=dict)  # what it says of itself: lag, degraded, observing, next…

    @property
    def stands_by(self) -> bool:
        """Another one has the claim."""
        return self.epoch == 0

    def state(self, now: float, *, lives: bool) -> str:
        """Return in a word how it is: watching, standby, hangs or died."""
        if not lives:
            return DIED
        if self.stands_by:
            return STANDBY
        return WATCHING if self.until > now else HANGS


def lives(journal: Journal, locks: Locks | None) -> Alive:
    """Return what tells whether a run lives: its process does, and no other watch took over from it.

    Without locks nobody can say, so that every run lives that was not fenced.
    """

    def alive(run: str) -> bool:
        return (locks is None or locks.held(f"run {run}")) and not fenced(journal, run)

    return alive


def take(
    journal: Journal, wanted: Claim, locks: Locks, now: float, *, lasts: float, every: float, before: str = ""
) -> Claim | None:
    """Take a runbook for a watch, in one transaction; None: a watch or pass that lives has it, and this one stands by.

    Whoever stands by calls this again with each of its beats. What the other one left is taken over: its run has
    ended, and its leases count as those of a run that was killed.

    Args:
        journal: where.
        wanted: what, and by whom; its epoch is not looked at.
        locks: tell who lives; the run is held in them already.
        now: in seconds since the epoch.
        lasts: seconds that a claim lasts without a beat.
        every: seconds between the beats, for `runbook status`.
        before: the run of this very watch before: it has ended, for this one to go on, or could not write the journal.

    Raises:
        Fenced: this run had the claim, and lost it.
    """
    with journal.transaction() as batch:
        rows = _rows(journal, "WHERE runbook = ? AND shard = ?", wanted.runbook, wanted.shard)
        mine = next((one for one in rows if one.run == wanted.run), None)
        if mine is not None and mine.successor:
            refuse_lost(journal, replace(wanted, epoch=mine.epoch))
        old = next((one for one in rows if one.epoch and one.ended is None and one.run != wanted.run), None)
        living = {one.run for one in rows if one.run == wanted.run or locks.held(f"run {one.run}")} - {before}
        for gone in {one.run for one in rows if one is not old} - living:
            batch.write("DELETE FROM watches WHERE run = ?", (gone,))
        if mine is not None and mine.epoch and mine.ended is None:
            epoch = mine.epoch
        # A pass takes its lock before it asks for watches, in a transaction: one of the two sees the other.
        elif (old and _has(batch, old, mine, living, now, lasts)) or locks.held(f"runbook {wanted.runbook}"):
            epoch = 0
        else:
            epoch = 1 + max((one.epoch for one in rows), default=0)
        why = ""
        if old is not None and epoch and old.run == before and _ended(journal, before):
            batch.write("UPDATE watches SET ended = ? WHERE run = ?", (now, before))
        elif old is not None and epoch:
            hangs = "hangs, without a sign of life since" if old.run in living else ""
            what = "could not write the journal since" if old.run == before else hangs
            why = _supersede(batch, old, wanted, now, what or "died; its last sign of life was at")
        batch.write(
            "INSERT INTO watches (run, runbook, shard, holder, epoch, since, beat, until, every, told)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, '{}') ON CONFLICT DO UPDATE"
            " SET since = iif(epoch = excluded.epoch AND ended IS NULL, since, excluded.since), epoch = excluded.epoch,"
            " beat = excluded.beat, until = excluded.until, every = excluded.every, ended = NULL",
            (wanted.run, wanted.runbook, wanted.shard, wanted.holder, epoch, now, now, now + lasts, every),
        )
    return replace(wanted, epoch=epoch, why=why) if epoch else None


def beat(journal: Journal, claim: Claim, now: float, lasts: float, told: Mapping[str, Any]) -> bool:
    """Give a sign of life, and say how it goes; False: somebody else has the claim, and this watch must stop.

    It is not waited for until it lies on the disk: after a power cut there is no watch that lives.
    """
    with journal.transaction(durable=False) as batch:
        return bool(
            batch.write(
                "UPDATE watches SET beat = ?, until = ?, told = ? WHERE run = ? AND epoch = ? AND ended IS NULL",
                (now, now + lasts, codec.dump(told), claim.run, claim.epoch),
            )
        )


def release(journal: Journal, run: str, now: float) -> None:
    """Give a run's claim back, or stand by no more; of no effect where somebody else has it."""
    with journal.transaction() as batch:
        batch.write("UPDATE watches SET ended = ? WHERE run = ? AND epoch > 0 AND ended IS NULL", (now, run))
        batch.write("DELETE FROM watches WHERE run = ? AND epoch = 0", (run,))


def holds(journal: Journal, claim: Claim) -> bool:
    """Tell whether a claim is still ours: nobody took it over, though it may have lapsed."""
    return bool(
        journal.ask("SELECT 1 FROM watches WHERE run = ? AND epoch = ? AND ended IS NULL", (claim.run, claim.epoch))
    )


def refuse_lost(journal: Journal, claim: Claim) -> None:
    """Raise where a claim is not ours any more.

    Raises:
        Fenced: another watch has it; says which.
    """
    if holds(journal, claim):
        return
    after = next((one for one in _rows(journal, *_of(claim.runbook)) if one.epoch > claim.epoch), None)
    by = f" by {after.holder}, since {clock(after.since)}" if after is not None else ""
    raise Fenced(
        f"`{claim.runbook}` is watched{by or ' by nobody'}: this watch lost it, since it gave no sign of life",
        where=journal.path,
        mend="It was stopped, suspended or starved; start it again, and it stands by",
    )


def refuse_watched(journal: Journal, runbook: str, locks: Locks, now: float) -> None:
    """Raise where a watch has a runbook; the pass that asks has taken its lock already.

    Raises:
        Busy: a watch is at it.
        Hung: its process lives, and its claim has lapsed.
    """
    with journal.transaction():  # after the watch's own that took the claim, or before it: then that one sees the lock
        found = holder(journal, runbook, lives(journal, locks))
    if found is None:
        return
    stop = str(found.told.get("stop") or f"end {found.holder}")
    said = f"`{runbook}` is watched (`runbook watch` by {found.holder}, since {clock(found.since)})"
    if found.until <= now:
        what = f"{said}, and that hangs: it gave no sign of life since {clock(found.beat)}"
        raise Hung(what, where=journal.path, mend=f"Stop it first ({stop}), and run this again")
    mend = f"It looks by itself; `runbook check` looks now as well. To run this by hand, stop the watch first: {stop}"
    raise Busy(said, where=journal.path, mend=mend)


def fenced(journal: Journal, run: str) -> bool:
    """Tell whether another watch took over from a run before it ended."""
    return bool(journal.ask("SELECT 1 FROM watches WHERE run = ? AND successor <> ''", (run,)))


def holder(journal: Journal, runbook: str, alive: Alive) -> Watch | None:
    """Return a watch that has a runbook, or a shard of it, and lives, though it may hang (`until` is over)."""
    rows = _rows(journal, *_of(runbook))
    return next((one for one in rows if one.epoch and one.ended is None and alive(one.run)), None)


def known(journal: Journal, runbook: str = "") -> tuple[Watch, ...]:
    """Return the watches that were not stopped in good order: who has what, and who stands by; by runbook."""
    rows = _rows(journal, "WHERE ended IS NULL AND (? = '' OR runbook = ?)", runbook, runbook)
    return tuple(sorted(rows, key=lambda one: (one.runbook, one.shard, -one.epoch, one.since)))


def stances(journal: Journal, now: float, alive: Alive, runbook: str = "") -> tuple[tuple[Watch, str], ...]:
    """Return the watches, each with its state; who stood by and is no more is left out."""
    found = [(one, one.state(now, lives=alive(one.run))) for one in known(journal, runbook)]
    return tuple((one, state) for one, state in found if not (one.stands_by and state == DIED))


def _has(batch: Batch, old: Watch, mine: Watch | None, living: Collection[str], now: float, lasts: float) -> bool:
    """Tell whether another watch has its claim still: it lives, and has given a sign of life in time."""
    if old.run not in living:
        return False
    if old.beat > now:  # the clock was put back: its claim must not last until the old time comes again
        batch.write("UPDATE watches SET beat = ?, until = ? WHERE run = ?", (now, now + lasts, old.run))
        return True
    # Where whoever stands by did not run either, the machine slept or the clock jumped: the other has its chance first.
    return old.until > now or (mine is not None and now - mine.beat > lasts)


def _ended(journal: Journal, run: str) -> bool:
    """Tell whether a run was ended in good order."""
    return bool(journal.ask("SELECT 1 FROM runs WHERE id = ? AND ended IS NOT NULL", (run,)))


def _supersede(batch: Batch, old: Watch, new: Claim, now: float, what: str) -> str:
    """End a watch from which another one takes over; return why, in words."""
    batch.write("UPDATE watches SET ended = ?, successor = ? WHERE run = ?", (now, new.run, old.run))
    batch.write("UPDATE runs SET ended = ? WHERE id = ? AND ended IS NULL", (now, old.run))
    why = f"{old.holder} {what} {clock(old.beat)}"
    data = {"message": f"{why}: {new.holder} took over", "level": "error", "by": new.run, "beat": old.beat}
    batch.event(Fact("watch.superseded", now, old.run, data=data))
    return why


def _rows(journal: Journal, where: str, *values: str) -> list[Watch]:
    rows = journal.ask(f"SELECT {_COLUMNS} FROM watches {where}", values)  # noqa: S608 -- words of this file
    return [Watch(*(*row[:-1], codec.load(row[-1]))) for row in rows]


def _of(runbook: str) -> tuple[str, str]:
    return "WHERE runbook = ? ORDER BY epoch DESC", runbook


def clock(at: float) -> str:
    """Return the local time of day."""
    return time.strftime("%H:%M:%S", time.localtime(at))
