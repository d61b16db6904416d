"""What went wrong with a connection, in words for the person who has to mend it."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Final

from runbook.engine.errors import HostUnreachable

if TYPE_CHECKING:
    from paramiko.ssh_exception import ChannelException

SLOW: Final = "look whether it hangs: its load, memory and disks; -T 30s gives it longer"
LOG: Final = "look into the host's own log (journalctl -u ssh): it knows why"
_WHERE: Final = "look whether it is up and whether the way to it is open (network, firewall, VPN)"


def lost(error: BaseException | None, goodbye: str) -> str:
    """Say why a connection that stood is gone."""
    if goodbye:
        return f"the server hung up: {goodbye}"
    if error is None or isinstance(error, EOFError):
        return "the other side closed it"
    if isinstance(error, ConnectionResetError):
        return "reset by the other side"
    if isinstance(error, TimeoutError) or getattr(error, "errno", None) == errno.ETIMEDOUT:
        return "the network gave it up: nothing that was sent was acknowledged"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__


def refused(name: str, error: ChannelException, to: tuple[str, int] | None) -> HostUnreachable:
    """Say why a channel was not opened."""
    if to is not None:
        return HostUnreachable(
            f"the jump host does not pass us on to {to[0]} port {to[1]}: {error.text.lower()}",
            where=name,
            mend="look whether it reaches that address, and AllowTcpForwarding in its sshd_config",
        )
    if error.code == 2:  # what sshd says when there are too many sessions
        return HostUnreachable(
            f"the host opens no further session on this connection: {error.text.lower()}",
            where=name,
            mend="raise MaxSessions in its sshd_config; each user under `become` takes one",
        )
    return HostUnreachable(f"the host opens no session: {error.text.lower()}", where=name)


def unconnected(name: str, error: OSError, address: str, port: int, timeout: float) -> HostUnreachable:
    """Say why a TCP connection could not be made."""
    place = f"{address} port {port}"
    if isinstance(error, socket.gaierror):
        if error.errno == socket.EAI_AGAIN:
            return HostUnreachable(
                f"the name {address} can't be looked up now: {_said(error)}",
                where=name,
                mend=f"look whether the name server answers: getent hosts {address}",
            )
        return HostUnreachable(
            f"the name {address} is not known: {_said(error)}",
            where=name,
            mend="mend the name, or give `ansible_host` (an address) in the inventory, or HostName in ~/.ssh/config",
        )
    if isinstance(error, ConnectionRefusedError):
        return HostUnreachable(
            f"{place} refuses the connection: the machine is up, and nothing listens there",
            where=name,
            mend="look whether sshd runs, and whether `ansible_port` is right",
        )
    if isinstance(error, TimeoutError):
        return HostUnreachable(f"{place} did not answer within {timeout:g} s (connect)", where=name, mend=_WHERE)
    if error.errno in {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN}:
        return HostUnreachable(f"no way to {place}: {_said(error)}", where=name, mend=_WHERE)
    if error.errno in {errno.EMFILE, errno.ENFILE}:
        return HostUnreachable(
            "this machine has no file descriptor left for a further connection",
            where=name,
            mend="raise the limit (`ulimit -n 65536`), or give fewer hosts",
        )
    return HostUnreachable(f"{place} can't be connected to: {_said(error)}", where=name, mend=_WHERE)


def _said(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
