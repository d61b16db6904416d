"""The process that sends a run's messages through apprise, so that nothing of it can hang or break a pass.

Messages come as lines of JSON on standard input, since addresses hold passwords: {number, title, body, severity,
channels: {NAME: [ADDRESS, …]}}. A line of JSON says how each channel went: {number, channel, sent, reason}. What one
channel gets it gets in order, and channels do not wait for each other.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import re
import sys
import threading
import time
from contextvars import ContextVar
from typing import Any, Final

from runbook.engine.notify.channels import MISSING, hidden

_TYPES: Final = {"low": "info", "medium": "warning", "high": "failure", "critical": "failure", "cured": "success"}


_channel: ContextVar[str] = ContextVar("channel", default="")  # that a thread, and what it starts, sends to
_CAUSE: Final = re.compile(r"\[Errno -?\d+\] ([^\"')\]]+)")


class _Heard(logging.Handler):
    """What apprise says, by the channel that it says it of."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.said: dict[str, list[str]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a warning, and of the rest what the system said."""
        text = record.getMessage()
        cause = _CAUSE.search(text) if record.levelno < logging.WARNING else None
        if cause is not None or record.levelno >= logging.WARNING:
            self.said.setdefault(_channel.get(), []).append(cause[1].lower() if cause is not None else text)


class _Post:
    """A thread for each channel, which sends what stands in its queue."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: dict[str, queue.SimpleQueue[dict[str, Any] | None]] = {}
        self._threads: list[threading.Thread] = []
        self._heard = _Heard()
        logger = logging.getLogger("apprise")
        logger.addHandler(self._heard)
        logger.setLevel(logging.DEBUG)
        logger.propagate = False

    def take(self, order: dict[str, Any]) -> None:
        """Put a message into the queues of its channels."""
        for channel in order["channels"]:
            if channel not in self._queues:
                self._queues[channel] = queue.SimpleQueue()
                self._threads.append(threading.Thread(target=self._work, args=(channel,), daemon=True))
                self._threads[-1].start()
            self._queues[channel].put(order)

    def finish(self, within: float) -> None:
        """Send what is left, for no longer than a message may take."""
        for waiting in self._queues.values():
            waiting.put(None)
        until = time.monotonic() + within
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _work(self, channel: str) -> None:
        _channel.set(channel)
        while (order := self._queues[channel].get()) is not None:
            addresses = order["channels"][channel]
            reasons = [reason for each in addresses if (reason := _sent(self._heard, order, each))]
            reason = hidden("; ".join(dict.fromkeys(reasons)), addresses)
            answer = {"number": order["number"], "channel": channel, "sent": not reason, "reason": reason}
            with self._lock:
                sys.stdout.write(json.dumps(answer) + "\n")
                sys.stdout.flush()


def main() -> None:
    """Send what comes, until nothing more does."""
    post = _Post()
    for line in sys.stdin:
        post.take(json.loads(line))
    post.finish(float(sys.argv[1]))
    os._exit(0)  # whoever still hangs is not waited for


def _sent(heard: _Heard, order: dict[str, Any], address: str) -> str:
    """Send to one address; return why that did not work."""
    try:
        import apprise
    except ImportError:
        return MISSING
    said = heard.said[_channel.get()] = []
    service = apprise.Apprise()
    try:
        if not service.add(address):
            return "its address is none that apprise knows"
        kind = _TYPES.get(order["severity"], "info")
        if service.notify(body=order["body"], title=order["title"], notify_type=kind, body_format="text"):
            return ""
    except Exception as error:  # noqa: BLE001 -- a hundred services, and each may raise what it likes
        return f"{type(error).__name__}: {error}"
    return " ".join(": ".join(each.rstrip(". ") for each in said).split()) or "it was not taken, and nobody said why"


if __name__ == "__main__":
    main()
