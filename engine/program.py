"""The functions of a Python program in place of a host's modules: `call` is answered here, the rest by an agent.

The agent is started when something is asked of it: a program that only calls its functions needs none.
"""

from __future__ import annotations

import asyncio
import inspect
import time
import traceback
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from runbook.engine import fleet
from runbook.engine.fleet import messages
from runbook.engine.fleet.connection import Gone
from runbook.modules import cut, wire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from runbook.engine.fleet.connection import Answer
    from runbook.engine.fleet.hosts import Hosts
    from runbook.engine.fleet.messages import Errand, Spec
    from runbook.engine.model import Look, Order, Outcome

CALL: Final = "call"
_KEPT: Final = 8192  # characters of an answer or a traceback that are kept
_STATES: Final = (str, int, float, bool, type(None))


class Program:
    """The program's functions, as a fleet of one host (fleet/connection.py) for one pass.

    Args:
        actions: functions that recoveries and fallbacks name.
        checks: functions that `call` probes name.
        loop: the event loop in which coroutines run; None = one for each.
        agent_dir: the agent's directory, for tests.
    """

    def __init__(
        self,
        actions: Mapping[str, Callable[..., Any]],
        checks: Mapping[str, Callable[..., Any]],
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        agent_dir: str | None = None,
    ) -> None:
        self._actions = actions
        self._checks = checks
        self._loop = loop
        self._agent_dir = agent_dir
        self._agents: Hosts | None = None
        self._handed: tuple[Callable[..., Any] | None, tuple[Any, ...], dict[str, Any]] = (None, (), {})
        self._waiting: deque[tuple[int, Errand]] = deque()  # calls
        self._ready: deque[tuple[int, dict[str, Any]]] = deque()
        self._merged: dict[int, tuple[int, list[dict[str, Any]]]] = {}  # by the agent's number: ours, and our looks
        self._numbers: dict[int, int] = {}  # our number, by the agent's
        self._number = 0
        self.operations: set[str] = set()  # intents that belong to an operation
        self.values: dict[str, Any] = {}  # what functions returned, by intent
        self.error: BaseException | None = None  # what the last function raised

    def hand(self, function: Callable[..., Any] | None, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Say what `call:` without a name stands for, and with what it is called."""
        self._handed = (function, tuple(args), dict(kwargs))

    def __enter__(self) -> Program:  # noqa: PYI034 -- not made to be derived from
        return self

    def __exit__(self, *_: object) -> None:
        if self._agents is not None:
            self._agents.close()

    def send(self, host: str, request: Mapping[str, Any], user: str = "") -> int:
        """Send a request; looks of `call` are answered at once."""
        asked = request.get("asked")
        if asked is None:
            if self._agents is None and request.get("op") != "ask":
                return self._unheard(request)
            return self._sent(self._host().send(host, request, user))
        mine = [self._look(spec) for spec in asked if spec.probe == CALL]
        others = [spec for spec in asked if spec.probe != CALL]
        if not others:
            number = self._next()
            self._ready.append((number, {"seq": number, "looks": mine}))
            return number
        theirs = self._host().send(host, messages.probe(others), user)
        number = self._sent(theirs)
        self._merged[theirs] = (number, mine)
        return number

    def submit(self, host: str, errand: Errand, user: str = "") -> int:
        """Take a step: a call waits for the next `receive`, the others go to the agent."""
        if errand.order.module == CALL:
            number = self._next()
            self._waiting.append((number, errand))
            return number
        return self._sent(self._host().submit(host, errand, user))

    def receive(self, timeout: float) -> Sequence[Answer]:
        """Make the calls that wait, in the caller's own thread, or return what the agent answers."""
        if self._waiting:
            number, errand = self._waiting.popleft()
            called = self._call(errand.intent, errand.order, check=errand.check)
            return [(number, {"seq": number, "result": called})]
        if self._ready:
            return [self._ready.popleft()]
        if self._agents is None:
            time.sleep(timeout)
            return []
        return [self._renamed(number, message) for number, message in self._agents.receive(timeout)]

    def up(self, host: str) -> bool:
        """Tell whether a host was reached: functions are always there."""
        return self._agents is None or self._agents.up(host)

    def looks(self, message: Mapping[str, Any]) -> dict[str, Look]:
        """Return what was seen."""
        return messages.looks(message)

    def outcome(self, message: Mapping[str, Any]) -> Outcome:
        """Return how a step ended."""
        return messages.outcome(message)

    def _host(self) -> Hosts:
        if self._agents is None:
            self._agents = fleet.here(self._agent_dir)
        return self._agents

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _sent(self, theirs: int) -> int:
        number = self._numbers[theirs] = self._next()
        return number

    def _unheard(self, request: Mapping[str, Any]) -> int:
        """Answer what concerns an agent that was never needed: a lease that it need not know, an undo of a call."""
        number = self._next()
        if request.get("op") == "undo":
            refused = wire.result("refused", "what a function did can't be undone")
            self._ready.append((number, {"seq": number, "result": refused}))
        return number

    def _renamed(self, theirs: int, message: Mapping[str, Any] | Gone) -> Answer:
        if theirs in self._merged and not isinstance(message, Gone) and "looks" in message:
            number, mine = self._merged.pop(theirs)
            return number, {**message, "looks": [*mine, *message["looks"]]}
        return self._numbers.get(theirs, -1), message

    def _call(self, intent: str, order: Order, *, check: bool) -> dict[str, Any]:
        name = str(order.params.get("function") or "")
        function, args, kwargs = self._handed
        if name:
            function = self._actions.get(name)
            if intent not in self.operations:  # a recovery's: not about the program's own arguments
                args, kwargs = (), {}
        if function is None:
            missing = (
                f"no function `{name}` was registered by `@engine.action`" if name else "no function was handed over"
            )
            return wire.result("refused", missing)
        title = name or getattr(function, "__qualname__", repr(function))
        if check:
            return wire.result("planned", actions=[{"action": "call", "what": title}], changed=True)
        began = time.monotonic()
        try:
            value = self._finished(function(*args, **{**kwargs, **order.params.get("arguments", {})}), order.timeout)
        except Exception as error:  # noqa: BLE001 -- whatever a function raises is its failure
            self.error = error
            return _failed(error, time.monotonic() - began)
        self.values[intent] = value
        done = [{"action": "call", "what": title, "changed": True}]
        plain = {"value": value} if isinstance(value, _STATES) else {}
        return wire.result("done", changed=True, duration=time.monotonic() - began, actions=done,
                           output=cut.start(str(value), _KEPT), data=plain)  # fmt: skip

    def _finished(self, value: Any, timeout: float) -> Any:
        """Await what has to be awaited, in the program's own loop where it has one."""
        if not inspect.isawaitable(value):
            return value
        if self._loop is None:
            return asyncio.run(_awaited(value, timeout))
        return asyncio.run_coroutine_threadsafe(_awaited(value, timeout), self._loop).result()

    def _look(self, spec: Spec) -> dict[str, Any]:
        name = str(spec.params.get("function", ""))
        answer = {"id": spec.id, "status": "unknown", "records": [], "reason": "", "state": {}}
        function = self._checks.get(name)
        if function is None:
            return {**answer, "reason": f"no function `{name}` was registered by `@engine.check`"}
        began = time.monotonic()
        try:
            value = self._finished(function(**spec.params.get("arguments", {})), spec.deadline)
            fields = {"ok": value is not False, "value": value, "error": ""}
        except Exception as error:  # noqa: BLE001 -- a check that raises is a record that is not ok
            fields = {"ok": False, "value": None, "error": _words(error)}
        fields["duration"] = time.monotonic() - began
        return {**answer, "status": "seen", "records": [{"subject": "", "fields": fields}]}


async def _awaited(value: Awaitable[Any], seconds: float) -> Any:
    async with asyncio.timeout(seconds):
        return await value


def _failed(error: Exception, duration: float) -> dict[str, Any]:
    """Return a failure as `error` detectors judge it: its words, its traceback, and when it may be tried again."""
    data = {}
    wait = _retry_after(error)
    if wait is not None:
        data["retry_after"] = wait
    text = "".join(traceback.format_exception(error))
    output = text if len(text) <= _KEPT else cut.after(text[-_KEPT:])
    status = "timeout" if isinstance(error, TimeoutError) and not str(error) else "failed"
    return wire.result(
        status,
        _words(error),
        duration=duration,
        output=output,
        data=data,
    )


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _retry_after(error: BaseException) -> float | None:
    """Return the seconds that a server asked for, as the clients of the common libraries carry them."""
    given = getattr(error, "retry_after", None)
    if given is None:
        headers = getattr(getattr(error, "response", None), "headers", None) or getattr(error, "headers", None)
        get = getattr(headers, "get", None)
        given = get("Retry-After") if callable(get) else None
    try:
        seconds = float(given)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return seconds if 0 <= seconds < float("inf") else None
