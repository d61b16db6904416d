"""A runbook's place in a watch: it stands by, watches, or, where the journal can't be written, only observes."""

from __future__ import annotations

import contextlib
import enum
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from runbook.engine import restore
from runbook.engine.errors import Fenced, JournalUnusable, UserError
from runbook.engine.journal import watches
from runbook.engine.journal.facts import Fact
from runbook.engine.model import IncidentState, Mode
from runbook.engine.recover.commands import Jumped
from runbook.engine.start import Session
from runbook.engine.watching.sitting import Phase, Sitting
from runbook.engine.watching.tallies import Telling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from runbook.engine.alerts.inbox import Inbox
    from runbook.engine.alerts.payload import Message
    from runbook.engine.driver import Observer
    from runbook.engine.ears import Ears
    from runbook.engine.fleet.connection import Fleet, Gone
    from runbook.engine.journal.locks import Locks
    from runbook.engine.journal.watches import Claim
    from runbook.engine.start import Request

LASTS: Final = 10.0  # seconds for which a claim holds without a beat, at least
MOST: Final = 60.0  # the same, at most
BEAT: Final = 10.0  # seconds between two beats, at most
AGAIN: Final = 5.0  # seconds after which a journal that could not be written is tried again
SETTLE: Final = 10.0  # seconds in which events of one fault come in (DESIGN §3)
_WAITING: Final = frozenset({IncidentState.WAITING, IncidentState.VERIFYING, IncidentState.PENDING})


class Standing(enum.Enum):
    """What a watch does about a runbook."""

    STANDBY = "standby"
    ACTIVE = "active"
    OBSERVING = "observing"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Surroundings:
    """What the posts of a watch share."""

    fleet: Fleet
    ears: Ears
    observer: Callable[[str], Observer]  # by a runbook's name
    clock: Callable[[], float]
    shard: str = ""
    grace: float = 30.0  # seconds for steps on their way when the watch ends
    stop: str = ""  # the command that ends this watch
    inbox: Inbox | None = None  # of alerts
    hide: Callable[[Iterable[str]], None] = lambda _: None  # is told what no log may show
    telling: Telling = Telling()  # noqa: RUF009 -- it is frozen; what is wanted of what looks count


@dataclass(frozen=True)
class Held:
    """A run of this watch that goes on in another one: its claim is given to nobody else meanwhile."""

    run: str
    locks: Locks  # what shows that it lives


class Post:
    """Watches one runbook.

    Args:
        request: which, and how.
        around: what it shares with others.
        operating: carry the operations out first.
        operated: they were begun by this watch before.
        held: what the post before this one has handed over.
    """

    def __init__(
        self,
        request: Request,
        around: Surroundings,
        *,
        operating: bool = True,
        operated: bool = False,
        held: Held | None = None,
    ) -> None:
        settings = replace(request.settings, settle=SETTLE)
        self.request = replace(request, settings=settings)
        self.standing = Standing.STANDBY
        self.sitting: Sitting | None = None
        self.lag = 0.0  # seconds by which the last round began late
        self.next: float | None = None  # when the next round is due
        self._around = around
        self._observer = around.observer(self.name)
        self._operating = operating
        self.operated = operated  # the operations were begun, here or by the post before it
        self._session: Session | None = None
        self._stack = contextlib.ExitStack()
        self._claim: Claim | None = None
        self._try = 0.0  # when to claim the runbook, or try the journal, again
        self._beat = 0.0  # when to give the next sign of life
        self._told = ""  # what was said of the journal
        self._code = 0  # what was left at the end
        self._finished = False  # all that was waited for is over
        self._held = held
        self.refused = ""  # what is wrong with the files that this was read from
        interval = shortest(request)
        self.beats = min(BEAT, max(0.5, interval / 2))
        self.lasts = min(MOST, max(LASTS, 1.5 * interval))

    @property
    def name(self) -> str:
        """The runbook's."""
        return self.request.runbook.name

    @property
    def run(self) -> str:
        """The id of the run that watches; empty where none does."""
        return self._session.run_id if self._session is not None and self.sitting is not None else ""

    @property
    def epoch(self) -> int:
        """How often the runbook was claimed, up to now."""
        return self._claim.epoch if self._claim is not None else 0

    @property
    def open(self) -> int:
        """How many incidents are not over."""
        return len(self.sitting.state.incidents) if self.sitting is not None else 0

    def exit_code(self) -> int:
        """Return what is left: 0 = nothing, 3 = what waits for people or verifications, 2 = anything else."""
        if self.sitting is None:
            return self._code
        if self.standing is Standing.OBSERVING or (self._finished and self.sitting.tallies.failed):
            return 2
        states = {each.state for each in self.sitting.state.incidents.values()}
        return 2 if states - _WAITING else 3 if states - {IncidentState.PENDING} else 0

    @property
    def done(self) -> bool | None:
        """All that its looks count is over; None: they count nothing."""
        if self.standing is Standing.ACTIVE and self.sitting is not None:
            return self.sitting.done if self.sitting.tallies else None
        return False

    def finish(self) -> None:
        """Say how all that was to be waited for ended."""
        if self.sitting is None or not self.sitting.tallies:
            return
        self._finished = True
        tallies = self.sitting.tallies
        self.say("done", tallies.summary(), "warning" if tallies.failed else "info")
        for line in tallies.left():
            self.say("left", f"a person must look at {line}", "warning")

    def turn(self) -> float:
        """Do what there is to do; return in how many seconds there is more.

        Raises:
            Fenced: another watch has taken the runbook over.
        """
        now = self._around.clock()
        if self.standing is Standing.STOPPED:
            return MOST
        try:
            if self.standing is not Standing.ACTIVE and now >= self._try:
                self._enlist(now)
            pause = self.sitting.turn() if self.sitting is not None else MOST
            if self.standing is Standing.ACTIVE and now >= self._beat:
                self._live(now)
        except JournalUnusable as error:
            self._observe(error, now)
            pause = 0.0
        if self.sitting is not None and self.sitting.phase is Phase.OVER:
            self._end()
            return MOST
        waits = self._beat if self.standing is Standing.ACTIVE else self._try
        return max(0.0, min(pause, waits - now))

    def heard(self, number: int, answer: Mapping[str, Any] | Gone) -> bool:
        """Take in an answer, if it is to something of ours; tell whether it is."""
        if self.sitting is None:
            return False
        try:
            return self.sitting.heard(number, answer)
        except JournalUnusable as error:
            self._observe(error, self._around.clock())
            return True

    def round(self, names: Sequence[str] | None = None, late: float = 0.0) -> None:
        """Look at all hosts, since it is time to.

        Args:
            names: the detectors that are due; None = all.
            late: seconds since they were.
        """
        self.lag = late
        if self.sitting is not None:
            with self._guarded():
                self.sitting.round(self.sitting.hosts, self.sitting.detectors if names is None else names)

    def stir(self, host: str, names: Sequence[str]) -> None:
        """Look at detectors of a host: something has happened."""
        if self.sitting is not None:
            self.sitting.stir(host, names)

    def deaf(self, host: str) -> None:
        """Look at a host again soon: nobody there says any more when something happens."""
        if self.sitting is not None:
            self.sitting.deaf(host)

    def alerted(self, message: Message) -> bool:
        """Take in alerts; tell whether what they led to is durable."""
        if self.standing is not Standing.ACTIVE or self.sitting is None:
            return self.standing is Standing.STANDBY and self._session is not None  # whoever watches it hears them, too
        with self._guarded():
            self.sitting.alerted(message)
        return self.standing is Standing.ACTIVE

    def jumped(self, by: float) -> None:
        """Take in that the clock was put forward."""
        if self.sitting is not None:
            self.sitting.take(Jumped(by))

    def leave(self) -> None:
        """Begin nothing new; steps on their way are waited for."""
        if self.sitting is None:
            self._end()
            return
        if number := self.sitting.in_hand:
            steps = f"{number} step{'s' * (number != 1)} on the way"
            what = f"stopping: {steps}, awaited for at most {self._around.grace:g} s; a second signal ends at once,"
            self.say("stopping", f"{what} and lets them go on, on their hosts: the next start asks for them", "warning")
        with self._guarded():
            self.sitting.leave(self._around.grace)

    def drop(self) -> None:
        """Leave at once: whoever watches it next asks what became of the steps that are on their way."""
        if self.sitting is not None:
            with self._guarded():
                self.sitting.leave(0.0)
        self._end()

    def hand_over(self) -> None:
        """Leave at once, as for `drop`, and keep the claim for the post that takes this one's place."""
        if self.sitting is not None:
            with self._guarded():
                self.sitting.leave(0.0)
        self._end(hands_over=True)

    def take_held(self) -> Held | None:
        """Return, once, what this post has held and nobody has yet."""
        held, self._held = self._held, None
        return held

    def fenced(self) -> None:
        """Stop without a word to the journal: it belongs to another watch."""
        self._close(fenced=True)
        self.standing = Standing.STOPPED

    def say(self, what: str, message: str, level: str = "info", *, whole: bool = False) -> None:
        """Tell what the watch itself came upon, and write it down where that can be.

        Args:
            what: of which kind.
            message: in words.
            level: how bad it is.
            whole: it is about the whole watch, and about this runbook no more than about others.
        """
        run = self._session.run_id if self._session is not None else ""
        data = {"message": message, "level": level, **({"whole": True} if whole else {})}
        fact = Fact(f"watch.{what}", self._around.clock(), run, data=data)
        if self.sitting is not None and self.standing is Standing.ACTIVE:
            with contextlib.suppress(JournalUnusable):
                self.sitting.note(fact)
                return
        self._observer.fact(fact)

    def _enlist(self, now: float) -> None:
        """Claim the runbook; sit down to it where that succeeds."""
        self._try = now + (self.beats if self.standing is Standing.STANDBY else AGAIN)
        session = self._session if self.standing is Standing.STANDBY and self._session is not None else None
        if session is None:
            session = Session(self.request)
            self._around.hide(session.hidden)
        try:
            before = self._held.run if self._held is not None else ""
            claim = session.claim(self._around.shard, now, lasts=self.lasts, every=self.beats, before=before)
        except JournalUnusable as error:
            session.close(1)
            self._session = self._session if self._session is not session else None
            if self.standing is not Standing.OBSERVING:
                self._observe(error, now)
            return
        if claim is None:
            if self.standing is Standing.OBSERVING:
                self._close()
                self.standing = Standing.STANDBY
            if self._session is not session:
                self._session = session
                held = session.holder()
                by = f" by {held.holder}, since {watches.clock(held.since)}" if held is not None else ""
                self.say("standby", f"`{self.name}` is watched already{by}; stands by", "info")
            return
        if self.standing is Standing.OBSERVING:
            self._close()
        was = self.standing
        self._session, self._claim, self.standing, self._told = session, claim, Standing.ACTIVE, ""
        if self._held is not None:
            self._held.locks.close()
            self._held = None
        if was is Standing.OBSERVING:
            self.say("recovered", "the journal can be written again: what is wrong is healed again", "warning")
        elif claim.why:
            self.say("took_over", f"took `{self.name}` over: {claim.why}", "warning")
        self._sit(session, claim)

    def _sit(self, session: Session, claim: Claim | None) -> None:
        request, observer = self.request, self._observer
        opened = session.open(self._stack, observer, claim)
        runbook = request.runbook
        self.sitting = Sitting(
            opened,
            self._around.fleet,
            self._around.ears,
            observer,
            operating=self._operating and claim is not None and request.settings.operations,
            operated=self.operated,
            horizon=lambda now: restore.horizon(runbook, now),
            wait=request.wait,
            diff=request.diff,
            telling=self._around.telling,
            clock=self._around.clock,
        )
        self._operating = False  # once
        self._beat = 0.0
        self.sitting.hear_from(self._around.inbox)
        self.sitting.begin()

    def _live(self, now: float) -> None:
        assert self._claim is not None
        assert self._session is not None
        self._beat = now + self.beats
        if not self._session.beat(self._claim, now, self.lasts, self._about()):
            raise Fenced(f"`{self.name}` was taken over by another watch", mend="it watches now; this one stops")

    def _about(self) -> dict[str, Any]:
        """Return what `runbook status` says of this watch."""
        sitting = self.sitting
        assert sitting is not None
        return {
            "lag": round(self.lag, 3),
            "next": self.next,
            "hosts": len(sitting.hosts),
            "detectors": len(sitting.detectors),
            "listening": sitting.listening,
            "stop": self._around.stop,
            "degraded": [self.refused] if self.refused else [],
            "file": self.request.runbook.file,
        }

    def _observe(self, error: JournalUnusable, now: float) -> None:
        """Go on without the journal: look and tell, and do nothing."""
        if self.standing is Standing.ACTIVE and self._session is not None:
            run, held = self._session.run_id, self._session.detach()
            self._held = Held(run, held) if held is not None else None
        self._close(fenced=True)
        self._try, self.standing = now + AGAIN, Standing.OBSERVING
        caps = replace(self.request.settings.caps, mode=Mode.OBSERVE, observes="the journal can't be written")
        settings = replace(self.request.settings, caps=caps, operations=False)
        only_looks = replace(self.request, settings=settings, commits=False)
        try:
            self._session = Session(only_looks)
            self._sit(self._session, None)
        except UserError:  # it can't even be read
            self._close(fenced=True)
        if str(error) != self._told:
            self._told = str(error)
            what = f"the journal can't be written: {error.what} ({error.where}): `{self.name}` is only observed"
            self.say("degraded", f"{what} until it can; nothing is healed. {error.mend}".rstrip(), "error")

    @contextlib.contextmanager
    def _guarded(self) -> Any:
        try:
            yield
        except JournalUnusable as error:
            self._observe(error, self._around.clock())

    def _end(self, *, hands_over: bool = False) -> None:
        if self._session is not None and self.sitting is not None and self.standing is Standing.ACTIVE:
            with contextlib.suppress(JournalUnusable):
                self.sitting.farewell()
            self._session.end(self._observer)
            if hands_over and (locks := self._session.detach()) is not None:
                self._held = Held(self._session.run_id, locks)
        elif self._held is not None and not hands_over:
            self._held.locks.close()
            self._held = None
        with contextlib.suppress(JournalUnusable):
            self._close(releases=self._held is None)
        self.standing = Standing.STOPPED

    def _close(self, *, fenced: bool = False, releases: bool = True) -> None:
        """Let go of the journal, and of the claim unless that is handed over."""
        code = self._code = self.exit_code()
        self.operated = self.operated or (self.sitting is not None and self.sitting.operated)
        self.sitting, self._claim = None, None
        stack, self._stack = self._stack, contextlib.ExitStack()
        session, self._session = self._session, None
        stack.close()
        if session is not None:
            if releases and not fenced:
                session.release()
            session.close(code, fenced=fenced)


def shortest(request: Request) -> float:
    """Return the shortest time between two looks, in seconds; for cron expressions a minute."""
    runbook = request.runbook
    every = [runbook.every, *(each.every for each in runbook.detectors if each.every is not None)]
    return min(each if isinstance(each, float) else 60.0 for each in every)
