"""The `http` probe: what a web server answers."""

import time
from dataclasses import field
from typing import Any, ClassVar, Iterator, Literal, Mapping, Optional, Tuple, Type

from runbook.modules.declare import Duration, Invalid, Probe, Record
from runbook.modules.formats.structure import structure
from runbook.modules.frozen import frozen
from runbook.modules.host import Host


@frozen
class Response(Record):
    """The answer to one request, or why there was none."""

    url: str  # the address that was asked
    status: int  # the status code; 0 = no answer
    ok: bool  # the status is one of `expect`; by default any from 200 to 299
    latency: Duration  # from the first packet to the whole answer, or to the failure
    body: str  # the first 64 KiB of the answer
    json: Any  # the answer, where it is JSON of at most 64 levels; else null
    error: str  # why there was no answer, such as `connection refused`; empty when there was one
    cert_days_left: Optional[float]  # days until the server's certificate ends (negative: it has); null without TLS


@frozen
class Http(Probe):
    """Ask a web server. A refusal, a reset, a silence or an unknown name are an answer too: `status` is 0.

    Up to five redirects are followed. Proxies of the agent's environment are used, but never for this host itself.

    Example:
        - name: server down
          http: http://127.0.0.1:8000/health
          when: status != 200
    """

    record: ClassVar[Type[Record]] = Response
    subject: ClassVar[Optional[str]] = "url"

    url: str  # the address, beginning with http:// or https://
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"  # the request's method
    headers: Mapping[str, str] = field(default_factory=dict)  # headers to send
    body: Optional[str] = None  # text to send
    timeout_: Duration = 5.0  # for the whole answer, redirects and the lookup of the name included
    expect: Tuple[int, ...] = ()  # the status codes that are `ok`; by default any from 200 to 299
    verify: bool = True  # false: take any certificate

    def check(self) -> None:
        """Refuse what is no web address, and headers that would become several."""
        from runbook.modules.web_address import parts

        try:
            parts(self.url)
        except ValueError as error:
            raise Invalid(str(error)) from error
        for name, value in self.headers.items():
            if any(character in name + value for character in "\r\n\0") or not name.strip():
                raise Invalid(f"the header `{name}` holds a line break")

    def look(self, host: Host) -> Iterator[Record]:
        """Ask once."""
        from runbook.modules.web import Request, fetch

        begun = time.monotonic()
        answer = fetch(
            Request(self.method, self.url, self.headers, self.body, verify=self.verify), self.timeout_, host.env
        )
        yield Response(
            url=self.url,
            status=answer.status,
            ok=answer.status in self.expect if self.expect else 200 <= answer.status <= 299,
            latency=time.monotonic() - begun,
            body=answer.body,
            json=structure(answer.body),
            error=answer.error,
            cert_days_left=None if answer.cert_ends is None else (answer.cert_ends - host.now()) / 86400,
        )
