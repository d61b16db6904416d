"""One HTTP request within a time limit, by the standard library alone; failures are answers."""

import http.client
import socket
import ssl
import time
import urllib.parse
import urllib.request
from contextlib import suppress
from dataclasses import field, replace
from typing import Dict, List, Mapping, Optional, Tuple

from runbook.modules.certificate import ends
from runbook.modules.frozen import frozen
from runbook.modules.outwait import outwait
from runbook.modules.web_address import parts

LARGEST = 64 * 1024  # bytes of a body that are read
REDIRECTS = 5
_TO_GET = {301: ("POST",), 302: ("POST",), 303: ("POST", "PUT", "PATCH", "DELETE")}  # these go on as GET


@frozen
class Request:
    """What to ask."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Optional[str] = None
    verify: bool = True
    largest: int = LARGEST  # bytes of the answer's body that are read


@frozen
class Answer:
    """What came back; status 0 and an error where nothing did."""

    status: int = 0
    body: str = ""
    error: str = ""
    location: Optional[str] = None
    cert_ends: Optional[float] = None  # seconds since the epoch
    content: bytes = b""  # the body as it came
    retry_after: Optional[float] = None  # seconds that the server wants to be left alone for


class _Elsewhere(Exception):
    """What was sent is not sent on, for it was meant for another server."""


def fetch(request: Request, timeout: float, env: Mapping[str, str]) -> Answer:
    """Ask, following redirects; the answer is there within `timeout` seconds, whatever the other side does."""
    opened: List[http.client.HTTPConnection] = []
    try:
        return outwait(lambda: _follow(request, timeout, env, opened), timeout)
    except TimeoutError:
        for connection in opened:  # wakes the thread that still waits on it
            if connection.sock is not None:
                with suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)
        return Answer(error=f"no answer within {timeout:g} s")


def _follow(
    request: Request, timeout: float, env: Mapping[str, str], opened: List[http.client.HTTPConnection]
) -> Answer:
    for _ in range(REDIRECTS + 1):
        answer = _ask(request, timeout, env, opened)
        if answer.location is None:
            return answer
        try:
            request = _redirected(request, answer)
        except ValueError as error:
            return replace(answer, status=0, error=f"redirected to what is no address: {error}")
        except _Elsewhere as error:
            return replace(answer, status=0, error=str(error))
    return replace(answer, status=0, error=f"more than {REDIRECTS} redirects")


def _redirected(request: Request, answer: Answer) -> Request:
    url = urllib.parse.urldefrag(urllib.parse.urljoin(request.url, answer.location or "")).url
    if request.method in _TO_GET.get(answer.status, ()):
        request = replace(request, method="GET", body=None)
    if parts(url)[:3] == parts(request.url)[:3]:
        return replace(request, url=url)
    if request.body is not None:
        raise _Elsewhere(f"redirected to another server, {url}, which was not meant to get the body")
    return replace(request, url=url, headers={})  # any of them may be a secret, whatever its name


def _ask(request: Request, timeout: float, env: Mapping[str, str], opened: List[http.client.HTTPConnection]) -> Answer:
    cert_ends = None
    connection, target = _connection(request, timeout, env)
    opened.append(connection)
    try:
        connection.connect()
        if isinstance(connection.sock, ssl.SSLSocket):
            cert_ends = ends(connection.sock.getpeercert(binary_form=True) or b"")
        headers = {"User-Agent": "runbook", "Accept": "*/*", "Connection": "close", **request.headers}
        body = None if request.body is None else request.body.encode()
        connection.request(request.method, target, body, headers)
        response = connection.getresponse()
        location = response.getheader("Location") if response.status in (301, 302, 303, 307, 308) else None
        body_read = response.read(request.largest)
        if response.length and len(body_read) < request.largest:
            raise http.client.IncompleteRead(body_read, response.length)
        return Answer(
            response.status,
            _decoded(body_read, response.headers),
            location=location,
            cert_ends=cert_ends,
            content=body_read,
            retry_after=_retry_after(response.getheader("Retry-After")),
        )
    except ssl.SSLCertVerificationError as error:
        reason = f"the certificate is not trusted: {error.verify_message}"
        return Answer(error=reason, cert_ends=_untrusted(request, timeout))
    except http.client.HTTPException as error:
        return Answer(error=_misspoken(error), cert_ends=cert_ends)
    except (OSError, ValueError) as error:
        return Answer(error=_reason(error, timeout), cert_ends=cert_ends)
    finally:
        connection.close()


def _connection(request: Request, timeout: float, env: Mapping[str, str]) -> Tuple[http.client.HTTPConnection, str]:
    scheme, host, port, target = parts(request.url)
    proxy = _proxy(scheme, host, env)
    at = proxy or (host, port)
    if scheme == "http":
        return http.client.HTTPConnection(*at, timeout=timeout), request.url if proxy else target
    secure = http.client.HTTPSConnection(*at, timeout=timeout, context=_context(verify=request.verify))
    if proxy:
        secure.set_tunnel(host, port)
    return secure, target


def _proxy(scheme: str, host: str, env: Mapping[str, str]) -> Optional[Tuple[str, int]]:
    names: Dict[str, str] = {"no": env.get("no_proxy") or env.get("NO_PROXY") or ""}
    # HTTP_PROXY in capitals is not read: a web server passes a client's `Proxy:` header on under that name
    address = env.get("http_proxy") if scheme == "http" else env.get("https_proxy") or env.get("HTTPS_PROXY")
    itself = host in ("localhost", "::1") or host.startswith("127.")
    if not address or itself or urllib.request.proxy_bypass_environment(host, names):  # type: ignore[attr-defined]
        return None
    split = urllib.parse.urlsplit(address if "://" in address else f"http://{address}")
    return (split.hostname, split.port or 80) if split.hostname else None


def _context(*, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _untrusted(request: Request, timeout: float) -> Optional[float]:
    """When a certificate ends that was refused, so that an ended one is seen as such; nothing is sent."""
    _, host, port, _ = parts(request.url)
    try:
        plain = socket.create_connection((host, port), timeout)
        with plain, _context(verify=False).wrap_socket(plain, server_hostname=host) as secure:
            return ends(secure.getpeercert(binary_form=True) or b"")
    except (OSError, ValueError):
        return None


def _decoded(body: bytes, headers: http.client.HTTPMessage) -> str:
    try:
        return body.decode(headers.get_content_charset() or "utf-8", "replace")
    except (LookupError, ValueError):  # no such charset, or one like `idna` that is none for a text
        return body.decode("utf-8", "replace")


def _retry_after(said: Optional[str]) -> Optional[float]:
    """Return the seconds that a server asks for, as a number or until a date; None for what is neither."""
    if said is None:
        return None
    if said.strip().isdecimal():
        return float(said.strip()[:9])
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def _misspoken(error: http.client.HTTPException) -> str:
    if isinstance(error, http.client.RemoteDisconnected):
        return "the server hung up without an answer"
    if isinstance(error, http.client.IncompleteRead):
        return "the server hung up in the middle of its answer"
    return f"what answers does not speak HTTP: {str(error).strip()[:200] or type(error).__name__}"


def _reason(error: Exception, timeout: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout:g} s"
    if isinstance(error, http.client.RemoteDisconnected):
        return "the server hung up without an answer"
    if isinstance(error, socket.gaierror):
        return f"no such name: {error.strerror}"
    if isinstance(error, ssl.SSLError):
        return f"no TLS: {error.reason or error}"
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()
