"""The `port` probe: whether something listens on a TCP port."""

import re
import socket
import time
from typing import ClassVar, Iterator, Optional, Tuple, Type

from runbook.modules.declare import Duration, Invalid, Probe, Record
from runbook.modules.frozen import frozen
from runbook.modules.host import Host
from runbook.modules.outwait import outwait

_ADDRESS = re.compile(r"(?:(?P<host>[^\s:/\[\]]+|\[[0-9A-Fa-f:.%\w]+\]):)?(?P<port>[0-9]{1,5})")


@frozen
class Endpoint(Record):
    """One TCP endpoint."""

    address: str  # the endpoint, as host:port
    open: bool  # something took the connection
    latency: Duration  # how long that took, or how long it was waited for
    error: str  # why it is not open, such as `connection refused`; empty when it is


@frozen
class Port(Probe):
    """A TCP port takes connections. A refusal, a silence or an unknown name are `open: false`.

    Example:
        - name: server not listening
          port: 127.0.0.1:8000
          when: not open
    """

    record: ClassVar[Type[Record]] = Endpoint
    subject: ClassVar[Optional[str]] = "address"

    address: str  # host:port, or a port of this host alone
    timeout_: Duration = 3.0  # how long to wait for an answer

    def check(self) -> None:
        """Refuse what is no endpoint."""
        _endpoint(self.address)

    def look(self, host: Host) -> Iterator[Record]:  # noqa: ARG002 -- the network is asked, not the host
        """Connect, and hang up."""
        name, port = _endpoint(self.address)
        address = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
        begun = time.monotonic()
        try:
            if _numeric(name):
                socket.create_connection((name, port), self.timeout_).close()
            else:  # the lookup of a name has no time limit of its own
                outwait(lambda: socket.create_connection((name, port), self.timeout_).close(), self.timeout_)
        except OSError as error:
            yield Endpoint(address, open=False, latency=time.monotonic() - begun, error=reason(error, self.timeout_))
        else:
            yield Endpoint(address, open=True, latency=time.monotonic() - begun, error="")


def _numeric(name: str) -> bool:
    """Tell whether a host is given by its address."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, name)
        except OSError:
            continue
        return True
    return False


def reason(error: OSError, timeout: float) -> str:
    """Say in a few words why a connection did not come about."""
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout:g} s"
    if isinstance(error, socket.gaierror):
        return f"no such name: {error.strerror}"
    return (error.strerror or str(error) or type(error).__name__).lower()


def _endpoint(address: str) -> Tuple[str, int]:
    found = _ADDRESS.fullmatch(address.strip())
    if found is None or not 0 < int(found["port"]) < 65536:
        raise Invalid(f"`{address}` is no endpoint: write host:port, or a port alone")
    return (found["host"] or "127.0.0.1").strip("[]"), int(found["port"])
