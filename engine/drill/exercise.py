"""One fault, from a healthy place to its verdict, by passes of the production engine; called in the place itself."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from runbook.engine import fleet, start
from runbook.engine.decide.guards import Caps
from runbook.engine.drill import furnish, inject, verdict
from runbook.engine.drill.furnish import NotMade
from runbook.engine.drill.verdict import Verdict, Watcher
from runbook.engine.errors import UserError
from runbook.engine.language.drill_words import OWN
from runbook.engine.recover.state import Settings

if TYPE_CHECKING:
    from runbook.engine.fleet.connection import Fleet
    from runbook.engine.language.drill_words import Drill, Fault

_PAUSE: Final = 0.2  # seconds between them
_QUIET: Final = 2  # passes that must find nothing before the fault
_PREPARING: Final = 120.0  # seconds for them, operations included
_AGAIN: Final = 5.0  # seconds after which a pass that does not stop is left


class _Overdue(Exception):
    """A pass goes on after it was told to stop."""


def exercise(drill: Drill, fault: Fault) -> Verdict:
    """Make the place, see that it is well, inject the fault, and let the engine heal it."""
    began = time.monotonic()
    watcher = Watcher(fault)
    try:
        _wanted(fault)
        of_the_place = furnish.environment(fault.given)
        os.environ.clear()
        os.environ.update(of_the_place)
        furnish.furnish(fault.given)
        with fleet.here(os.environ["RUNBOOK_AGENT_DIR"]) as agent:
            passes = _Passes(drill, fault, agent, watcher)
            for number in range(_QUIET):
                begins = fault.operations == "before" and not number
                passes.one(operations=begins, seconds=_PREPARING)
                if watcher.trouble:
                    return verdict.unshown(fault, watcher.trouble[0], time.monotonic() - began)
                if watcher.noise:
                    return verdict.noisy(watcher, time.monotonic() - began)
                time.sleep(min(fault.every, _PAUSE))
            for one in fault.injections:
                inject.inject(one, fault.given)
            watcher.injected = time.time()
            passes.until_over()
            if fault.operation and watcher.seen is None:
                watcher.seen = furnish.met()  # an attempt that got over it by itself
    except (NotMade, UserError) as error:
        return verdict.unshown(fault, str(error).replace("\n", " "), time.monotonic() - began)
    return verdict.judge(watcher, time.monotonic() - began)


def _wanted(fault: Fault) -> None:
    """See that what the fault needs is there."""
    for need in fault.needs:
        if need == "root" and os.geteuid() != 0:
            raise NotMade("it needs root")
        if need != "root" and shutil.which(need) is None:
            raise NotMade(f"it needs the program `{need}`, which is not on the PATH")


class _Passes:
    """Passes of one runbook on a journal of the place's own."""

    def __init__(self, drill: Drill, fault: Fault, agent: Fleet, watcher: Watcher) -> None:
        self._drill = drill
        self._fault = fault
        self._agent = agent
        self._watcher = watcher

    def until_over(self) -> None:
        """Pass after pass, as `watch` and cron do, until there is nothing more to wait for."""
        until = time.monotonic() + self._fault.within
        operations = self._fault.operations in {"after", "repeated"}
        while not self._watcher.over and (rest := until - time.monotonic()) > 0:
            self.one(operations=operations, seconds=rest)
            if operations and not self._watcher.states and self._fault.of_attempts:
                return  # no other attempt is coming
            operations = self._fault.operations == "repeated"
            if not self._watcher.over:
                time.sleep(min(self._fault.every, max(0.0, until - time.monotonic())))

    def one(self, *, operations: bool, seconds: float) -> None:
        """Run a pass for at most so long."""
        runbook = replace(self._fault.runbook, finally_=())
        looked = frozenset(one.name for one in runbook.detectors) - self._drill.undrilled.keys()
        settings = Settings(
            Caps(approved=self._fault.approve),
            now=self._fault.now,
            detectors=looked,
            operations=operations,
            health=True,
        )
        request = start.Request(
            runbook, "apply", settings, seconds, journal=f"{OWN}/journal.db", secrets=self._drill.secrets
        )
        session = start.Session(request, connect=lambda: contextlib.nullcontext(self._agent))
        stopped = _Deadline(session, self._watcher, seconds)
        try:
            with stopped:
                session.run(stopped)
        except _Overdue:
            self._watcher.failed = self._watcher.failed or "a step or a look did not end in time"
        finally:
            session.close(0)


class _Deadline:
    """Stops a pass when its time is over, or when the watcher has seen enough; passes on what happens."""

    def __init__(self, session: start.Session, watcher: Watcher, seconds: float) -> None:
        self._session = session
        self._watcher = watcher
        self._seconds = seconds

    def fact(self, fact: Any) -> None:
        """Take in what happened."""
        was = self._watcher.over
        self._watcher.fact(fact)
        if self._watcher.over and not was:
            self._session.interrupt()

    def progress(self, *_: object) -> None:
        """Nobody watches."""

    def __enter__(self) -> None:
        signal.signal(signal.SIGALRM, self._late)
        signal.setitimer(signal.ITIMER_REAL, max(0.01, self._seconds), _AGAIN)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.0)

    def _late(self, *_: object) -> None:
        if self._session.interrupt() > 1:
            raise _Overdue
