"""Addresses that this program listens on: how they are written, and what is said when one can't be had."""

from __future__ import annotations

import errno
import ipaddress
import socket
from typing import TYPE_CHECKING, Final, TypeVar

from runbook.engine.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

LOOPBACK: Final = "127.0.0.1"
Server = TypeVar("Server")


def parse(text: str, where: str) -> tuple[str, int]:
    """Return the host and the port of an address; a port alone is one of the loopback interface.

    Args:
        text: as it was given.
        where: the option that gave it, for messages.

    Raises:
        UserError: it is none.

    Example:
        >>> parse("9464", "--metrics"), parse("[::1]:9464", "--metrics"), parse("0.0.0.0:9464", "--metrics")
        (('127.0.0.1', 9464), ('::1', 9464), ('0.0.0.0', 9464))
    """
    host, _, port = text.strip().rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise UserError(
            f"`{text}` is no address", where=where, mend=f"an IPv6 address stands in brackets: [{host}]:{port}"
        )
    if not (port.isascii() and port.isdigit() and int(port) < 1 << 16):
        raise UserError(f"`{text}` names no port", where=where, mend=f"write it as {LOOPBACK}:9464")
    return host or LOOPBACK, int(port)


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def family(host: str) -> socket.AddressFamily:
    """Return the family of an address."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def bound(make: Callable[[], Server], address: tuple[str, int], where: str) -> Server:
    """Return what listens there.

    Raises:
        UserError: nothing can.
    """
    try:
        return make()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        mend = "another watch, or another program, has it: name another port" if error.errno == errno.EADDRINUSE else ""
        raise UserError(f"{written(*address)} can't be listened on: {reason}", where=where, mend=mend) from error


def written(host: str, port: int) -> str:
    """Return an address as it is written."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
