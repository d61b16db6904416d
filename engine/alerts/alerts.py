"""What a watch has of alerts: it listens, takes what came, and says when that is durable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.alerts.inbox import Inbox
from runbook.engine.alerts.server import Listener

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runbook.engine.alerts.inbox import Post


class Alerts:
    """A server, and what it heard.

    Args:
        address: HOST:PORT; a port alone is one of the loopback interface.
        token: what a sender has to show; needed where other machines can connect.
        call: is called, by another thread, when something came.

    Raises:
        UserError: the address can't be listened on, or must not be without a token.

    Example:
        >>> alerts = Alerts("127.0.0.1:9465")  # doctest: +SKIP
        >>> for post in alerts.heard():  # doctest: +SKIP
        ...     sitting.alerted(post.message)
        ...     post.taken()
    """

    def __init__(self, address: str, token: str | None = None, call: Callable[[], None] = lambda: None) -> None:
        self.inbox = Inbox(call)
        self._listener = Listener(address, token, self.inbox)
        self.address = self._listener.address

    def heard(self) -> Sequence[Post]:
        """Return what came since this was asked last; each is to be `taken` once what it led to is durable."""
        return self.inbox.heard()

    def close(self) -> None:
        """Hear no more; whoever still waits is told to send again."""
        self.inbox.close()
        self._listener.close()
