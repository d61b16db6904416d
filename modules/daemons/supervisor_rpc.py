"""One question to supervisor, by XML-RPC through a Unix socket or TCP."""

import base64
import http.client
import socket
import xmlrpc.client
from typing import Any, Dict, Optional
from urllib.parse import urlsplit

from runbook.modules.declare import Absent, Unclear

TIMEOUT = 5.0  # seconds for an answer
_BAD_NAME = 10  # the fault of a name that supervisor does not know
_SO_ALREADY = (60, 70)  # the faults of starting what runs, and of stopping what does not


def process_info(url: str, user: str, password: str, name: str) -> Optional[Dict[str, Any]]:
    """Return what supervisor says of a program, or None where it knows none of that name.

    Raises:
        Absent: nobody listens there.
        Unclear: there was no answer, or none that can be understood.
    """
    try:
        answer = _ask(url, user, password, "getProcessInfo", name)
    except xmlrpc.client.Fault as fault:
        if fault.faultCode == _BAD_NAME:
            return None
        raise Unclear(f"supervisor did not answer: {fault.faultString}") from fault
    if not isinstance(answer, dict):
        raise Unclear(f"supervisor at {url} answered no process's state")
    return answer


def order(url: str, user: str, password: str, method: str, name: str) -> None:
    """Have supervisor start or stop a program, without waiting for it; one that is so already is no fault.

    Raises:
        Absent: nobody listens there.
        Unclear: there was no answer, or it refused; the message says why.
    """
    try:
        _ask(url, user, password, method, name, False)
    except xmlrpc.client.Fault as fault:
        if fault.faultCode not in _SO_ALREADY:
            raise Unclear(f"supervisor refused: {fault.faultString}") from fault


def _ask(url: str, user: str, password: str, method: str, *values: Any) -> Any:
    try:
        transport = _Transport(url, user, password)
        with xmlrpc.client.ServerProxy("http://localhost/RPC2", transport=transport) as proxy:
            return getattr(proxy.supervisor, method)(*values)
    except xmlrpc.client.Fault:
        raise
    except xmlrpc.client.ProtocolError as error:
        raise Unclear(f"supervisor did not answer: {error.errcode} {error.errmsg}") from error
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise Absent(f"supervisor is not running here: nobody listens at {url}") from error
    except (OSError, http.client.HTTPException) as error:
        raise Unclear(f"supervisor at {url} did not answer: {error or type(error).__name__}") from error
    except Exception as error:
        raise Unclear(f"supervisor at {url} answered something else: {error}") from error


class _Transport(xmlrpc.client.Transport):
    """Speaks XML-RPC through a Unix socket or TCP, with supervisor's user and password."""

    def __init__(self, url: str, user: str, password: str) -> None:
        said = base64.b64encode(f"{user}:{password}".encode()).decode()
        super().__init__(headers=[("Authorization", f"Basic {said}")] if user else [])
        self._url = url

    def make_connection(self, host: Any) -> http.client.HTTPConnection:  # noqa: ARG002 -- the url says where
        """Return the connection to where supervisor listens."""
        if self._url.startswith("unix://"):
            return _Unix(self._url[len("unix://") :])
        parts = urlsplit(self._url)
        return http.client.HTTPConnection(parts.hostname or "localhost", parts.port or 80, timeout=TIMEOUT)


class _Unix(http.client.HTTPConnection):
    """HTTP through a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        """Connect."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT)
        try:
            self.sock.connect(self._path)
        except OSError:
            self.sock.close()
            raise
