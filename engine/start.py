"""From a loaded runbook to a pass: its secrets and variables, the journal, the agent."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets as randomness
import time
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook.engine import configuration, fleet, intake, keep, restore, scratch
from runbook.engine.detect import components
from runbook.engine.errors import Busy, Hung, JournalUnusable, RenderError, UserError
from runbook.engine.journal import leases, watches
from runbook.engine.journal.facts import Fact, RunStart
from runbook.engine.journal.locks import Locks
from runbook.engine.journal.store import open_journal, who
from runbook.engine.language import chosen, render, taint
from runbook.engine.model import IncidentState
from runbook.engine.notify import channels
from runbook.engine.notify.channels import Channels
from runbook.engine.notify.teller import Teller
from runbook.engine.recover.state import Plan, Settings, State
from runbook.engine.run import Pass
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from runbook.engine.driver import Observer
    from runbook.engine.fleet.connection import Fleet
    from runbook.engine.inventory.inventory import Host
    from runbook.engine.journal.store import Journal
    from runbook.engine.journal.watches import Claim
    from runbook.engine.model import Runbook

HOST = "localhost"
_HERE: Mapping[str, Mapping[str, Any]] = {
    HOST: {"inventory_hostname": HOST, "inventory_hostname_short": HOST, "group_names": (), "groups": {}}
}  # without an inventory


@frozen
class Request:
    """What the command line asks for."""

    runbook: Runbook
    command: str
    settings: Settings
    wait: float = 120.0  # seconds
    diff: bool = False
    commits: bool = True  # false: nothing is written, not even the journal
    journal: str | None = None
    secrets: Mapping[str, Any] = field(default_factory=dict)  # given by -e @FILE instead of what the runbook says
    hosts: Sequence[Host] = ()  # of the inventory, in order; none: this machine alone
    size: int = 0  # how many hosts the runbook is for, before --limit
    users: Mapping[str, tuple[bool, str]] = field(default_factory=dict)  # by host: whether to become, and whom
    deadline: float | None = None  # seconds after which nothing new is begun
    hidden: Sequence[str] = ()  # what came out of a vault: nothing that is told or kept may have it


def redactor(sessions: Sequence[Session]) -> Callable[[str], str]:
    """Return what takes every session's secrets out of a text."""
    return render.redactor([value for session in sessions for value in session.hidden])


@frozen
class Opened:
    """What a driver needs, but for the connections: the state that earlier runs left, and who keeps what it does."""

    state: State
    hosts: tuple[str, ...]
    keeper: keep.Keeper
    writable: Mapping[str, tuple[str, ...]]
    teller: Teller | None


class Session:
    """One runbook's run in this process."""

    def __init__(self, request: Request, *, connect: Callable[[], AbstractContextManager[Fleet]] | None = None) -> None:
        self._request = request
        self._connect = connect or (lambda: fleet.here(os.environ.get("RUNBOOK_AGENT_DIR")))
        self.secrets = intake.secrets_of(request.runbook, request.secrets)
        self.hidden = [*self.secrets.values(), *request.hidden]
        self._channels = Channels() if request.command == "check" else channels_of(request.runbook)
        self.run_id = randomness.token_hex(4)
        self._journal: Journal | None = None
        self._locks: Locks | None = None
        self._pass: Pass | None = None
        self._begun = False
        self._ended: Fact | None = None
        self._started = time.time()

    def interrupt(self) -> int:
        """Begin nothing new; return how often this was asked."""
        return self._pass.interrupt() if self._pass is not None else 2

    def run(self, observer: Observer) -> bool:
        """Run the pass; tell whether it was stopped.

        Raises:
            JournalUnusable: an intent could not be written, so its step was not begun.
        """
        request = self._request
        with contextlib.ExitStack() as stack:
            opened = self.open(stack, observer)
            self._pass = Pass(
                opened.state,
                opened.hosts,
                stack.enter_context(self._connect()),
                opened.keeper,
                observer,
                wait=request.wait,
                writable=opened.writable,
                diff=request.diff,
                teller=opened.teller,
                deadline=None if request.deadline is None else self._started + request.deadline,
            )
            self._pass.go()
            self.end(observer)
            return self._pass.interrupted

    def claim(self, shard: str, now: float, *, lasts: float, every: float, before: str = "") -> Claim | None:
        """Claim the runbook for a watch; None: this one stands by, and asks again with each beat.

        Args:
            shard: which of the hosts, such as `1/3`; empty = all.
            now: in seconds since the epoch.
            lasts: seconds without a beat after which another watch may take over.
            every: seconds between the beats.
            before: the run of this very watch before, which could not write the journal any more.

        Raises:
            JournalUnusable: it can't be opened, or written.
            Fenced: this run had it, and lost it.
        """
        if self._locks is None:
            self._locks = Locks(self._opened_journal().path)
            self._locks.take(f"run {self.run_id}")
        holder = f"{who()}, process {os.getpid()}"
        wanted = watches.Claim(self._request.runbook.name, shard, self.run_id, holder)
        return watches.take(self._opened_journal(), wanted, self._locks, now, lasts=lasts, every=every, before=before)

    def holder(self) -> watches.Watch | None:
        """Return the watch that has the runbook."""
        return watches.holder(self._opened_journal(), self._request.runbook.name, self._lives)

    def detach(self) -> Locks | None:
        """Return what shows that this run lives, so that it goes on to when the session is closed."""
        held, self._locks = self._locks, None
        return held

    def beat(self, claim: Claim, now: float, lasts: float, told: Mapping[str, Any]) -> bool:
        """Give a watch's sign of life; False: somebody else has its claim."""
        journal = self._opened_journal()
        journal.stands()
        return watches.beat(journal, claim, now, lasts, told)

    def release(self) -> None:
        """Give a watch's claim back, or stand by no more."""
        if self._journal is not None and self._request.commits:
            with contextlib.suppress(JournalUnusable):  # it is full, or gone: the claim lapses
                watches.release(self._journal, self.run_id, time.time())

    def open(self, stack: contextlib.ExitStack, observer: Observer, claim: Claim | None = None) -> Opened:
        """Open the journal, and tell that the run begins.

        Args:
            stack: what is to be given back at the end of the run goes there.
            observer: is told.
            claim: a watch's; without it, the runbook is kept for this run alone until its end.

        Raises:
            JournalUnusable: it can't be opened.
            Busy: another run of the runbook is at work.
        """
        request, runbook = self._request, self._request.runbook
        journal = self._opened_journal()
        if claim is None and request.commits:
            stack.callback(self._alone(journal, runbook.name).give, f"runbook {runbook.name}")
        elif claim is None:
            self._locks = Locks(journal.path, asks_only=True)
        scopes = self._scopes(scratch.about_run(stack, runbook, self.run_id, made=not request.settings.check))
        plan = Plan(
            runbook,
            self.run_id,
            request.settings,
            runbook.every if isinstance(runbook.every, float) else 60.0,
            scopes,
            {host.name: host.groups for host in request.hosts},
            request.users,
            request.size,
            signs=chosen.signs(runbook),
            heard=chosen.heard(runbook),
            began=self._started,
            last=journal.last_run(runbook.name),
        )
        since = restore.horizon(runbook, time.time())
        state, cursors = restore.load(plan, journal, list(scopes), since, time.time(), self._lives)
        self._begin(observer, plan)
        state = self._without_old_scratch(state)
        keeper = keep.Keeper(
            journal,
            runbook.name,
            self.run_id,
            cursors,
            since=since,
            locks=self._locks,
            commits=request.commits,
            claim=claim,
        )
        return Opened(state, tuple(scopes), keeper, _trees(scopes), self._teller())

    def end(self, observer: Observer) -> None:
        """Tell that the run is over."""
        self._ended = self._fact("run.ended", data={"duration": time.time() - self._started})
        observer.fact(self._ended)

    def close(self, exit_code: int, *, fenced: bool = False) -> None:
        """Write down how the run ended, unless another one took over, and close the journal."""
        if self._journal is None:
            return
        try:
            if self._begun and not fenced:
                with self._journal.transaction() as batch:
                    if self._ended is not None:
                        batch.event(self._ended)
                    batch.end_run(self.run_id, time.time(), exit_code)
        finally:
            self._journal.close()
            if self._locks is not None:
                self._locks.close()

    def _opened_journal(self) -> Journal:
        if self._journal is None:
            request = self._request
            self._journal = open_journal(
                request.journal, read_only=not request.commits, redact=render.redactor(self.hidden)
            )
        return self._journal

    def _scopes(self, about: Mapping[str, str]) -> dict[str, render.Scope]:
        """Return by host what templates may name: the inventory's variables stand behind the runbook's own."""
        found = {}
        known: Mapping[str, Mapping[str, Any]] = {host.name: host.vars for host in self._request.hosts} or _HERE
        for name, given in known.items():
            runbook = self._request.runbook
            if given:
                runbook = replace(runbook, vars={**given, **runbook.vars})
            found[name] = render.Scope(runbook, host=name, run=about, secrets=self.secrets)
        return found

    def _teller(self) -> Teller | None:
        """Return who tells people; nobody where nothing is done, or no channels are named."""
        if not self._request.commits or self._journal is None:
            return None
        return teller(self._channels, self._journal, self._request.runbook, self.run_id, self.hidden)

    def _lives(self, run: str) -> bool:
        if self._locks is None or self._journal is None:
            return False
        return watches.lives(self._journal, self._locks)(run)

    def _alone(self, journal: Journal, runbook: str) -> Locks:
        """Show that this run lives, and keep every other pass of the runbook on this journal out until it is over.

        Raises:
            Busy: one is at work, or the runbook is watched.
            Hung: one lives, and let its lease run out.
        """
        locks = self._locks = Locks(journal.path)
        if not locks.take(f"runbook {runbook}"):
            found = next((run for run in journal.unended(runbook) if locks.held(f"run {run.id}")), None)
            since = time.strftime("%H:%M:%S", time.localtime(found.started)) if found else ""
            told = f" (`{found.command}` by {found.by}, since {since})" if found else ""
            lapsed = leases.lapsed(journal, found.id, time.time()) if found else None
            if lapsed is not None:
                moved = time.strftime("%H:%M:%S", time.localtime(lapsed.until - leases.LASTS))
                what = f"another pass of `{runbook}` hangs in the recovery of `{lapsed.detector}`{told}"
                mend = f"{lapsed.holder} gave no sign of life since {moved}: end it, and run this again"
                raise Hung(what, where=journal.path, mend=mend)
            mend = "wait for its end; `runbook history` shows it then"
            raise Busy(f"another pass of `{runbook}` is at work{told}", where=journal.path, mend=mend)
        watches.refuse_watched(journal, runbook, locks, time.time())
        locks.take(f"run {self.run_id}")
        return locks

    def _begin(self, observer: Observer, plan: Plan) -> None:
        runbook, request = self._request.runbook, self._request
        data = {
            "runbook": runbook.name,
            "file": _absolute(runbook),
            "command": request.command,
            "hosts": list(plan.scopes),
            "check": request.settings.check,
            "operations": [operation.name for operation in runbook.operations if request.settings.operations],
            "aside": 0 if request.settings.operations else len(runbook.operations),
            "every": runbook.every,
            "components": components.declared(runbook),
            "order": [detector.name for detector in runbook.detectors],
            "detectors": sum(plan.chosen(detector) for detector in runbook.detectors),
            "chosen": [detector.name for detector in runbook.detectors if plan.chosen(detector)],
            "counted": restore.counted(runbook),
        }
        if not request.commits and self._journal is not None:
            data["watched"] = watches.holder(self._journal, runbook.name, self._lives) is not None
        fact = self._fact("run.begun", data=data)
        if request.commits and self._journal is not None:
            digest = hashlib.sha256(Path(runbook.file).read_bytes()).hexdigest() if runbook.file else ""
            started = RunStart(
                self.run_id, runbook.name, _absolute(runbook), digest, request.command, time.time(), who()
            )
            with self._journal.transaction() as batch:
                batch.begin_run(started)
                batch.event(fact)
            self._begun = True
        observer.fact(fact)

    def _without_old_scratch(self, state: State) -> State:
        """End the incidents about scratch directories that went with an earlier run, stopped before its end."""
        over = [each for each in state.incidents.values() if each.host == HOST and scratch.is_gone(each.subject)]
        if self._request.commits and self._journal is not None and over:
            now, reason = time.time(), "the scratch directory of its run is gone"
            with self._journal.transaction() as batch:
                for each in over:
                    ended = replace(each, state=IncidentState.UNVERIFIED, reason=reason, closed=now)
                    about = {"detector": each.detector, "subject": each.subject, "incident": each.id}
                    data = {"to": ended.state.value, "reason": reason, "opened": each.opened, "since": each.since}
                    batch.event(Fact("incident.ended", now, self.run_id, each.host, **about, data=data))
                    batch.incident(keep.row(ended, self._request.runbook.name, now))
        kept = {key: each for key, each in state.incidents.items() if each not in over}
        return replace(state, incidents=kept)

    def _fact(self, kind: str, **about: Any) -> Fact:
        return Fact(kind, time.time(), self.run_id, **about)


def teller(known: Channels, journal: Journal, runbook: Runbook, run: str, hidden: Iterable[str]) -> Teller | None:
    """Return who tells people what a run has to say; nobody where the configuration has no channels.

    Args:
        known: the channels.
        journal: where it stands who was told of what.
        runbook: whose messages these are.
        run: its id.
        hidden: secrets, which no message may hold.
    """
    return Teller(known, journal, runbook, run, render.redactor(list(hidden))) if known.by_name else None


def channels_of(runbook: Runbook) -> Channels:
    """Return the channels of the configuration.

    Raises:
        UserError: the runbook names one that is not among them.
    """
    found = channels.channels(configuration.read())
    for call in taint.calls(runbook):
        given = call.params.get("channels") or () if call.module == "notify" else ()
        names = [each for each in ((given,) if isinstance(given, str) else given) if isinstance(each, str)]
        _refuse(found, names, runbook, call.title)
    for detector in runbook.detectors:
        _refuse(found, detector.tell.channels if detector.tell else (), runbook, f"`tell` of {detector.name}")
    return found


def _refuse(known: Channels, names: Iterable[str], runbook: Runbook, title: str) -> None:
    """Refuse names that are no channels."""
    wrong = known.unknown(names)
    if wrong is not None:
        where = f"{runbook.file}: {title}" if runbook.file else title
        raise UserError(f"there is no channel `{wrong[0]}`", where=where, mend=wrong[1])


def _trees(scopes: Mapping[str, render.Scope]) -> dict[str, tuple[str, ...]]:
    """Return by host the trees in which steps may write.

    Raises:
        RenderError: one can't be made out; says on which host.
    """
    found = {}
    for host, scope in scopes.items():
        try:
            found[host] = render.writable(scope)
        except RenderError as error:
            if len(scopes) > 1:
                error.where = f"{error.where} of {host}"
            raise
    return found


def _absolute(runbook: Runbook) -> str:
    """Return where the runbook lies, for whoever reads the journal from another directory."""
    return os.path.abspath(runbook.file) if runbook.file else ""  # noqa: PTH100 -- a link stays a link
