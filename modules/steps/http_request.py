"""The step `http_request`."""

import http.client
import json as notation
import os
import urllib.parse
from dataclasses import field
from typing import TYPE_CHECKING, Any, Dict, List, Literal, Mapping, Optional, Tuple

from runbook.modules import cut
from runbook.modules.actions import Action, Do, Write
from runbook.modules.declare import Duration, Failed, Impact, Invalid, Path, Size, Step
from runbook.modules.formats.structure import structure
from runbook.modules.frozen import frozen
from runbook.modules.host import Host

if TYPE_CHECKING:
    from runbook.modules.acting.hands import Hands
    from runbook.modules.web import Answer

_ASKS = ("GET", "HEAD", "OPTIONS")  # methods that only ask
_TWICE = (*_ASKS, "PUT", "DELETE")  # methods of which a second request finds done what the first did (RFC 9110)
_REGISTERED = 64 * 1024  # characters of a body that a step can register
_PATIENT = 7 * 86400.0  # seconds: the step's own time is over long before
_SHOWN = 200  # characters of a refusal's body in a message


@frozen
class HttpRequest(Step):
    """Send a request to a web server; another answer than `expect` is a failure.

    `Retry-After` of a refusal (429, 503) is what the operation's next attempt waits for. `register` gets `status`,
    `body`, `json` (where the answer is some) and `latency`. Up to five redirects are followed, to another server
    without headers and never with a body. Proxies of the agent's environment are used, but never for the host itself.
    A request that only asks (GET, HEAD, OPTIONS) changes nothing; the others are not sent with `--check`, nor those.

    Example:
        - http_request: http://127.0.0.1:8000/v1/models
        - http_request:
            url: https://api.example.com/v1/jobs
            method: POST
            headers: {Authorization: "Bearer {{ secrets.token }}"}
            json: {job: "{{ incident.subject }}", state: restarted}
            expect: [200, 201]
    """

    impact = Impact.LOW
    idempotent = False  # but see `again`
    writes = ("save",)

    url: str  # the address, beginning with http:// or https://; text from a host belongs in `query` or `json`
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"  # the request's method
    headers: Mapping[str, str] = field(default_factory=dict)  # headers to send
    query: Mapping[str, Any] = field(default_factory=dict)  # what is asked for behind the `?`; encoded here
    body: Optional[str] = None  # text to send
    json: Any = None  # a value to send as JSON, instead of `body`
    expect: Tuple[int, ...] = ()  # the status codes that are a success; by default any from 200 to 299
    timeout_: Optional[Duration] = None  # for the whole answer; without it, the step's own `timeout`
    save: Optional[Path] = None  # a file below `writable` that gets the answer's body
    largest: Size = 10**7  # bytes of the body that are read; with `save` a longer one fails
    verify: bool = True  # false: take any certificate

    def check(self) -> None:
        """Refuse what is no web address, headers that would become several, and two bodies."""
        from runbook.modules.web_address import parts

        try:
            parts(self.url)
        except ValueError as error:
            raise Invalid(str(error)) from error
        for name, value in self.headers.items():
            if any(character in name + value for character in "\r\n\0") or not name.strip():
                raise Invalid(f"the header `{name}` holds a line break")
        if self.body is not None and self.json is not None:
            raise Invalid("`body` and `json` are both what is sent: write one of them")
        if self.save is not None and not os.path.isabs(self.save):
            raise Invalid(f"`save` must be an absolute path, not {self.save}")

    def again(self) -> bool:
        """Whether a second request does no more than the first."""
        return self.method in _TWICE

    def plan(self, host: Host) -> List[Action]:
        """Send it, when it is carried out."""
        return [Do(f"{self.method} {self._address()}", lambda hands: self._send(host, hands))]

    def _address(self) -> str:
        if not self.query:
            return self.url
        plain, _, fragment = self.url.partition("#")
        asked = urllib.parse.urlencode({name: _word(value) for name, value in self.query.items()})
        return f"{plain}{'&' if '?' in plain else '?'}{asked}{'#' if fragment else ''}{fragment}"

    def _send(self, host: Host, hands: "Hands") -> Dict[str, Any]:
        import time

        from runbook.modules.web import Request, fetch

        hands.touched = self.method not in _ASKS
        headers, body = dict(self.headers), self.body
        if self.json is not None:
            body = notation.dumps(self.json, ensure_ascii=False)
            if not any(name.lower() == "content-type" for name in headers):
                headers["Content-Type"] = "application/json"
        request = Request(self.method, self._address(), headers, body, verify=self.verify, largest=self.largest + 1)
        begun = time.monotonic()
        answer = fetch(request, _PATIENT if self.timeout_ is None else self.timeout_, host.env)
        hands.data.update(self._told(answer, time.monotonic() - begun))
        hands.output.add(answer.content[:_REGISTERED])
        self._judge(answer)
        changed = self.method not in _ASKS
        if self.save is not None:
            changed = self._keep(answer, hands) or changed
        return {"changed": changed}

    def _told(self, answer: "Answer", latency: float) -> Dict[str, Any]:
        body = answer.body if len(answer.body) <= _REGISTERED else cut.start(answer.body, _REGISTERED)
        told: Dict[str, Any] = {"status": answer.status, "body": body, "json": structure(body), "latency": latency}
        if answer.retry_after is not None:
            told["retry_after"] = answer.retry_after
        return told

    def _judge(self, answer: "Answer") -> None:
        what = f"{self.method} {self._address()}"
        if answer.status == 0:
            raise Failed(f"{what}: {answer.error}")
        if answer.status in self.expect if self.expect else 200 <= answer.status <= 299:
            return
        wanted = f", not {' or '.join(map(str, self.expect))}" if self.expect else ""
        later = f" (it wants to be asked again in {answer.retry_after:g} s)" if answer.retry_after else ""
        said = " ".join(answer.body.split())
        said = f": {said if len(said) <= _SHOWN else cut.start(said, _SHOWN) + ' …'}" if said else ""
        phrase = http.client.responses.get(answer.status, "")
        raise Failed(f"{what} answered {answer.status}{' ' + phrase if phrase else ''}{wanted}{later}{said}")

    def _keep(self, answer: "Answer", hands: "Hands") -> bool:
        from runbook.modules.acting import perform_file

        if len(answer.content) > self.largest:
            raise Failed(f"the answer is longer than `largest` ({self.largest} bytes): nothing was saved")
        return perform_file.write(hands, Write(self.save or "", answer.content, mode=0o640), True)[1]


def _word(value: Any) -> str:
    if isinstance(value, bool) or value is None or isinstance(value, (Mapping, list, tuple)):
        return notation.dumps(value)
    return str(value)
