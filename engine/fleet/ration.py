"""What one agent may say: answers to what it was asked, in time, and no more than that.

A host can be broken or in bad hands. Whatever goes beyond this ends the connection to it, and harms no other.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from runbook.engine.fleet import shapes
from runbook.engine.fleet.stirs import Endless, Stirs

if TYPE_CHECKING:
    from collections.abc import Mapping

_PATIENCE = 60.0  # seconds over the time that a request may take by itself
_STEP = 600.0  # seconds that a step without a timeout may take
_LOOK = 30.0  # seconds of a look that says nothing else
_BURST, _STEADY = 2000, 20.0  # words about a step's progress at once, and for each second
_WORDS, _WORDS_STEADY = 4 << 20, 16 << 10  # bytes of standard error at once, and for each second
_GIVEN, _LAYERS = 3, 200  # times that one piece of code is given (one can arrive damaged), and pieces
_LATEST = 1e11  # seconds since the epoch
_BEATS, _BEAT = 10, 17.5  # heartbeats at once, and seconds for each further one


class Excess(Exception):
    """An agent said what it was not asked for, or more than it may; the message says what."""


class Ration:
    """The account of one connection."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._open: dict[int, tuple[float, str, dict[str, Any]]] = {}  # by request: due, kind, states of its looks
        self._given: dict[object, int] = {}
        self._progress = 0
        self._words = 0
        self._beats = 0
        self._stirs = Stirs(self._began)

    def asked(self, seq: int, request: Mapping[str, Any]) -> None:
        """Take in that a request goes out."""
        op, asked, specs = str(request.get("op")), request.get("asked"), request.get("specs")
        states: dict[str, Any] = {}
        takes = 0.0
        if asked is not None:
            states = {spec.id: spec.state for spec in asked}
            takes = sum([spec.deadline or _LOOK for spec in asked])
            self._stirs.armed([spec.listen for spec in asked if spec.listen])
        elif op == "probe" and isinstance(specs, list):
            states = {str(spec["id"]): spec.get("state") or {} for spec in specs}
            takes = sum(float(spec.get("deadline") or _LOOK) for spec in specs)
            self._stirs.armed(spec["listen"] for spec in specs if spec.get("listen"))
        elif op in {"run", "undo"}:
            timeout = request.get("timeout")
            takes = timeout if isinstance(timeout, int | float) else _STEP
        elif op == "listen":
            takes = float("inf")  # it is never answered for good
        self._open[seq] = time.monotonic() + takes + _PATIENCE, op, states

    def answer(self, message: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """Return the request that a message answers, and the message as it should be; empty where it says nothing.

        Raises:
            Excess: nothing was asked under its number, or it was answered, or there is no end to what it says of it.
        """
        seq = message.get("seq")
        if type(seq) is not int or seq not in self._open:
            raise Excess(f"it answers request {seq!r:.40}, which it was not asked, or has answered")
        _, op, states = self._open[seq]
        if "progress" in message and op in {"run", "undo"}:
            self._progress += 1
            if self._progress > _BURST + _STEADY * (time.monotonic() - self._began):
                raise Excess("there is no end to what it says about a step's progress")
            share = message.get("share")
            known = {"share": share} if isinstance(share, float) and 0.0 <= share <= 1.0 else {}
            return seq, {"seq": seq, "progress": shapes.text(message["progress"]), **known}
        if op == "listen" and "error" not in message:
            return seq, self._heard(seq, message)
        del self._open[seq]
        if op == "probe":
            return seq, shapes.looks(message, states)
        if op in {"run", "undo", "ask"}:
            return seq, shapes.result(message)
        return seq, {"seq": seq, **{name: message[name] for name in ("ours", "pong", "error") if name in message}}

    def _heard(self, seq: int, message: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is left of what an agent hears: of each look that was asked for, one word until the next."""
        try:
            keys = self._stirs.said(message.get("stirred"), time.monotonic())
        except Endless as error:
            raise Excess("there is no end to what it says it hears") from error
        at = message.get("at")
        if keys:
            return {"seq": seq, "stirred": keys, "at": at if isinstance(at, int | float) and 0 <= at < _LATEST else 0.0}
        return {"seq": seq, "listens": True} if message.get("listens") is True else {}

    def gives(self, what: object) -> None:
        """Take in that the agent asks for code.

        Raises:
            Excess: it was given that already, or asks for much that there is not.
        """
        self._given[what] = self._given.get(what, 0) + 1
        if self._given[what] > _GIVEN or len(self._given) > _LAYERS:
            raise Excess("it asks for code again and again")

    def beats(self) -> None:
        """Take in that the agent shows that it lives.

        Raises:
            Excess: it does that all the time.
        """
        self._beats += 1
        if self._beats > _BEATS + (time.monotonic() - self._began) / _BEAT:
            raise Excess("there is no end to its heartbeats")

    def words(self, size: int) -> None:
        """Take in so many bytes of its standard error.

        Raises:
            Excess: there is no end to them.
        """
        self._words += size
        if self._words > _WORDS + _WORDS_STEADY * (time.monotonic() - self._began):
            raise Excess("there is no end to what it writes to its standard error")

    def overdue(self) -> bool:
        """Tell whether a request should have been answered long ago."""
        now = time.monotonic()
        return any(due < now for due, _, _ in self._open.values())
