"""The public face for Python programs: any callable, wrapped in a runbook's retry, recovery, breaker and fallback.

Example:
    >>> from runbook import Engine, heal          # doctest: +SKIP
    >>> @heal("api.yaml", operation="generate")   # doctest: +SKIP
    ... def generate(prompt: str) -> str: ...
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from runbook.engine import intake, start
from runbook.engine.calling import Call, HealError, Listeners, Unavailable, Waiting
from runbook.engine.decide.guards import Caps
from runbook.engine.journal.ask import attempts as past
from runbook.engine.journal.store import open_journal
from runbook.engine.language import load, render
from runbook.engine.model import Impact, Mode
from runbook.engine.program import CALL, Program
from runbook.engine.recover.state import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from runbook.engine.journal.ask.attempts import Recoveries, Retries
    from runbook.engine.journal.facts import Fact
    from runbook.engine.journal.store import Journal
    from runbook.engine.model import Operation

    P = ParamSpec("P")
    R = TypeVar("R")

HOST = start.HOST


class Engine:
    """A runbook for the functions of this program.

    Messages of `notify` go to the configuration's channels; no call waits until they have taken them, `close` and the
    end of the program do. Threads may share an engine; each call is a run of its own, and the breakers, limits and
    statistics are those of the journal, so that several processes share them too.

    Args:
        runbook: its file, or the name of a bundled one.
        vars: variables, over the runbook's own (as -e).
        secrets: their values, instead of what the runbook says.
        journal: the journal's file; default as for the command line.
        max_mode: what recoveries may do by themselves at most: observe, approve or auto.
        max_impact: the most that a step may do: none, low, disruptive or destructive.
        approve: approve what would wait for a person.

    Raises:
        runbook.engine.errors.RunbookInvalid: it does not lint; carries the findings.
        runbook.engine.errors.UserError: there is no such runbook, or a secret can't be read.

    Example:
        >>> engine = Engine("api.yaml")                              # doctest: +SKIP
        >>> answer = engine.run(client.generate, "Hello", operation="generate")  # doctest: +SKIP
    """

    def __init__(
        self,
        runbook: str | Path,
        *,
        vars: Mapping[str, Any] | None = None,  # noqa: A002 -- the language's own word
        secrets: Mapping[str, str] | None = None,
        journal: str | None = None,
        max_mode: str = "auto",
        max_impact: str = "destructive",
        approve: bool = False,
    ) -> None:
        self.runbook = intake.load(load.locate(str(runbook)), dict(vars or {}))
        self._caps = Caps(Mode(max_mode), Impact(max_impact), approve)
        self._secrets = intake.secrets_of(self.runbook, secrets or {})
        self._channels = start.channels_of(self.runbook)
        self._telling: set[threading.Thread] = set()  # awaiting how messages went
        self._place = journal
        self._actions: dict[str, Callable[..., Any]] = {}
        self._checks: dict[str, Callable[..., Any]] = {}
        self._listeners: list[Callable[[Fact], None]] = []
        self._journal: Journal | None = None
        self._told = False  # the journal, what components the runbook has
        self._lock = threading.Lock()

    def __enter__(self) -> Engine:  # noqa: PYI034 -- not made to be derived from
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Await the messages that are on their way, and close the journal. A later call opens it again."""
        for thread in tuple(self._telling):
            thread.join()
        with self._lock:
            if self._journal is not None:
                self._journal.close()
            self._journal = None

    def action(self, name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Register a function that the runbook's steps name: `recover: [{call: NAME}]`, `fallback: [{call: NAME}]`.

        A fallback gets the arguments of the call that failed; a recovery gets its own `arguments` alone.

        Example:
            >>> @engine.action("ask_local_model")    # doctest: +SKIP
            ... def ask_local_model(prompt): ...
        """
        return self._registered(self._actions, name)

    def check(self, name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Register a function that the runbook's probes name: `call: NAME` in a detector.

        What it returns is the record's `value`; one that raises, or returns false, is not `ok`.
        """
        return self._registered(self._checks, name)

    def on(self, listener: Callable[[Fact], None]) -> Callable[[Fact], None]:
        """Have a function told of everything that happens: facts, as `runbook.engine.journal.facts` lists them.

        Example:
            >>> engine.on(lambda fact: print(fact.kind, dict(fact.data)))    # doctest: +SKIP
        """
        self._listeners.append(listener)
        return listener

    def run(self, function: Callable[..., Any], *args: Any, operation: str | None = None, **kwargs: Any) -> Any:
        """Call a function as an operation of the runbook.

        Args:
            function: what `call:` stands for; a coroutine function is run to its end.
            args: given to it, and to fallbacks that are functions.
            operation: the operation's name; it may be left out where the runbook has one `call:` without a name.
            kwargs: given to it by name.

        Returns:
            What the function returned, or the fallback that answered in its place.

        Raises:
            Exception: the function's own last exception, with a note on what was tried.
            Unavailable: its breaker is open and no fallback answered.
            Waiting: a recovery waits for approval.
            HealError: it failed without an exception.
            runbook.engine.errors.JournalUnusable: the journal can't be written.
        """
        return self._run(function, args, kwargs, operation, None)

    async def arun(self, function: Callable[..., Any], *args: Any, operation: str | None = None, **kwargs: Any) -> Any:
        """Call a function, mostly a coroutine function, as an operation; as `run`, without blocking the event loop.

        Coroutines run in the loop of the caller, everything else in a thread.
        """
        loop = asyncio.get_running_loop()
        return await asyncio.to_thread(self._run, function, args, kwargs, operation, loop)

    def heal(self, operation: str | None = None) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Return the decorator that makes each call of a function an operation of the runbook.

        Raises:
            UserError: the runbook has no such operation.
        """
        self._operation(operation)

        def wrap(function: Callable[P, R]) -> Callable[P, R]:
            if inspect.iscoroutinefunction(function):

                @functools.wraps(function)
                async def healed_later(*args: P.args, **kwargs: P.kwargs) -> Any:
                    loop = asyncio.get_running_loop()
                    return await asyncio.to_thread(self._run, function, args, kwargs, operation, loop)

                return cast("Callable[P, R]", healed_later)

            @functools.wraps(function)
            def healed(*args: P.args, **kwargs: P.kwargs) -> R:
                found: R = self._run(function, args, kwargs, operation, None)
                return found

            return healed

        return wrap

    def apply(self, *, wait: float = 120.0) -> dict[str, Any]:
        """Make one pass over the detectors, with this program's checks and actions: look, recover, verify.

        Args:
            wait: seconds to wait for verifications at most.

        Returns:
            The document that `runbook apply --format json` prints.
        """
        from runbook.engine.report.document import document
        from runbook.engine.report.gather import Gather

        settings = Settings(self._caps, operations=False)
        request = start.Request(self.runbook, "apply", settings, wait, journal=self._place, secrets=self._secrets)
        program = Program(self._actions, self._checks)
        session = start.Session(request, connect=lambda: program)
        gather = Gather(start.redactor([session]))
        session.run(Listeners([gather.add, *self._listeners]))
        report = gather.report()
        session.close(report.exit_code)
        return document(report)

    def retries(self, operation: str | None = None) -> Retries:
        """Return how often an operation was tried and succeeded, with its last attempts."""
        return past.retries(self._opened(), self.runbook.name, operation or "")

    def recoveries(self) -> Recoveries:
        """Return how often recoveries were begun and cured."""
        return past.recoveries(self._opened(), self.runbook.name)

    def _registered(
        self, functions: dict[str, Callable[..., Any]], name: str
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        def register(function: Callable[P, R]) -> Callable[P, R]:
            functions[name] = function
            return function

        return register

    def _operation(self, name: str | None) -> Operation:
        calls = [each for each in self.runbook.operations if each.step.module == CALL]
        if name is None and len(calls) == 1:
            return calls[0]
        found = next((each for each in self.runbook.operations if each.name == name), None)
        if found is not None:
            return found
        names = ", ".join(f"`{each.name}`" for each in calls) or "none"
        what = "say which operation" if name is None else f"there is no operation `{name}`"
        raise HealError(what, where=self.runbook.file, mend=f"its operations with `call:` are {names}")

    def _opened(self) -> Journal:
        with self._lock:
            if self._journal is None:
                self._journal = open_journal(self._place, redact=render.redactor(list(self._secrets.values())))
            return self._journal

    def _run(
        self,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        name: str | None,
        loop: asyncio.AbstractEventLoop | None,
    ) -> Any:
        operation = self._operation(name)
        journal = self._opened()
        with Program(self._actions, self._checks, loop=loop) as program:
            program.hand(function, args, kwargs)
            with self._lock:
                first, self._told = not self._told, True
            call = Call(
                self.runbook,
                operation,
                program,
                journal,
                caps=self._caps,
                secrets=self._secrets,
                listeners=self._listeners,
                first=first,
                teller=lambda run: start.teller(self._channels, journal, self.runbook, run, self._secrets.values()),
                later=self._later,
            )
            return call.go()

    def _later(self, finish: Callable[[], None]) -> None:
        """Have messages awaited in a thread: whoever called waits for none. It ends with what a channel may take."""

        def work() -> None:
            try:
                finish()
            finally:
                self._telling.discard(thread)

        thread = threading.Thread(target=work, name="runbook-telling")
        self._telling.add(thread)
        thread.start()


def heal(
    runbook: str | Path | Engine, operation: str | None = None, **options: Any
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Wrap a function, or a coroutine function, in a runbook's retry, recovery, breaker, fallback and rollback.

    Args:
        runbook: its file, its name, or an `Engine` that is shared with other functions.
        operation: which of its operations a call is; it may be left out where there is but one `call:`.
        options: as for `Engine`.

    Returns:
        The decorator. The wrapped function takes and returns what the function does.

    Raises:
        runbook.engine.errors.UserError: when decorating: the runbook is not there or has no such operation.

    Example:
        >>> @heal("api.yaml", operation="generate")    # doctest: +SKIP
        ... async def generate(prompt: str) -> str:
        ...     return await client.generate(prompt)
    """
    engine = runbook if isinstance(runbook, Engine) else Engine(runbook, **options)
    return engine.heal(operation)


__all__ = ["Engine", "HealError", "Unavailable", "Waiting", "heal"]
