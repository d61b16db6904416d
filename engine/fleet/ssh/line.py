"""The kept connection to one host by SSH, and the jump hosts that several of them share."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from runbook.engine.errors import HostUnreachable
from runbook.engine.fleet.agent import Agent
from runbook.engine.fleet.ssh import library  # noqa: F401 -- before anything else imports paramiko
from runbook.engine.fleet.ssh.channel import ChannelLink
from runbook.engine.fleet.ssh.connect import connect
from runbook.engine.fleet.target import begin, own_dir

if TYPE_CHECKING:
    from collections.abc import Callable

    from runbook.engine.fleet.asker import Asker
    from runbook.engine.fleet.ssh.hop import Hop
    from runbook.engine.fleet.ssh.session import Session
    from runbook.engine.fleet.target import Target


class SshLine:
    """One connection, and the agents over it."""

    def __init__(self, target: Target, hop: Hop, session: Session) -> None:
        self.host = target.name
        self._target, self._hop, self._session = target, hop, session

    def agent(self, user: str | None = None) -> Agent:
        """Start an agent in a channel of its own, as another user where one is named."""
        target = self._target
        other = None if user == self._hop.user else user
        begun = begin(target, other)
        link = ChannelLink(self._session, begun.command, self._hop.timeout)
        base = own_dir(target, other)
        return Agent(target.name, link, base=base, before=begun.before, far=True, become=other is not None)

    def close(self) -> None:
        """Hang up."""
        self._session.close()


def dial(target: Target, hop: Hop, asker: Asker) -> SshLine:
    """Connect to a host, over its jump hosts.

    Raises:
        HostUnreachable: it, or one of those, can't be reached.
    """
    jumps: _Jumps = asker.once("jump hosts", _Jumps)
    jump = jumps.take(hop.jumps, asker) if hop.jumps else None
    return SshLine(target, hop, connect(hop, asker, target.password, jump))


class _Jumps:
    """The connections to jump hosts, made once and closed by whoever needs one last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[tuple[Hop, ...], _Jump] = {}

    def take(self, hops: tuple[Hop, ...], asker: Asker) -> _Jump:
        """Return the connection to the last of some hosts, each reached over the one before."""
        with self._lock:
            jump = self._kept.get(hops)
            if jump is None or jump.lost():
                jump = self._kept[hops] = _Jump()
            jump.users += 1
        try:
            jump.ready(self, hops, asker)
        except BaseException:
            self.leave(hops, jump)
            raise
        return jump

    def leave(self, hops: tuple[Hop, ...], jump: _Jump) -> None:
        """Need it no more."""
        with self._lock:
            jump.users -= 1
            if jump.users:
                return
            if self._kept.get(hops) is jump:
                del self._kept[hops]
        jump.close()


class _Jump:
    """One connection to a jump host, and how many need it."""

    def __init__(self) -> None:
        self.users = 0
        self._session: Session | None = None
        self._making = threading.Lock()
        self._error: HostUnreachable | None = None
        self._leave: Callable[[], None] = lambda: None

    @property
    def session(self) -> Session:
        """The connection, which passes us on."""
        assert self._session is not None
        return self._session

    def lost(self) -> bool:
        """Tell whether it ended by itself, or could not be made."""
        return self._error is not None or (self._session is not None and not self._session.transport.is_active())

    def ready(self, jumps: _Jumps, hops: tuple[Hop, ...], asker: Asker) -> None:
        """Connect, unless another thread did; whoever waited for one that failed is told the same."""
        with self._making:
            if self._error is not None:
                raise HostUnreachable(self._error.what, where=self._error.where, mend=self._error.mend)
            if self._session is not None:
                return
            try:
                before = jumps.take(hops[:-1], asker) if hops[:-1] else None
                self._session = connect(hops[-1], asker, None, before)
            except HostUnreachable as error:
                self._error = error
                raise
            self._leave = lambda: jumps.leave(hops, self)

    def release(self) -> None:
        """Need it no more."""
        self._leave()

    def close(self) -> None:
        """Hang up."""
        if self._session is not None:
            self._session.close()
