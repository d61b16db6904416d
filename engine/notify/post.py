"""The process that sends one message through apprise, so that nothing of it can hang or break a pass.

What is to be sent comes as JSON on standard input, since addresses hold passwords: {title, body, severity, channels:
{NAME: [ADDRESS, …]}}. A line of JSON says how each channel went: {channel, sent, reason}.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
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


def main() -> None:
    """Send it to all channels at once."""
    order = json.load(sys.stdin)
    lock = threading.Lock()

    def tell(channel: str, reason: str) -> None:
        with lock:
            sys.stdout.write(json.dumps({"channel": channel, "sent": not reason, "reason": reason}) + "\n")
            sys.stdout.flush()

    try:
        import apprise
    except ImportError:
        for channel in order["channels"]:
            tell(channel, MISSING)
        return
    heard = _Heard()
    logger = logging.getLogger("apprise")
    logger.addHandler(heard)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False

    def send(channel: str, addresses: list[str]) -> None:
        _channel.set(channel)
        reasons = [reason for each in addresses if (reason := _sent(apprise, heard, order, each))]
        tell(channel, hidden("; ".join(dict.fromkeys(reasons)), addresses))

    threads = [threading.Thread(target=send, args=each, daemon=True) for each in order["channels"].items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _sent(apprise: Any, heard: _Heard, order: dict[str, Any], address: str) -> str:
    """Send to one address; return why that did not work."""
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
