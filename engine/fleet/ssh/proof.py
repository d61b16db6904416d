"""Showing a server who we are, as messages: what it answers, and whether it answers."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any, Final

import paramiko
from paramiko.auth_handler import AuthOnlyHandler
from paramiko.common import cMSG_USERAUTH_REQUEST
from paramiko.message import Message

from runbook.engine.fleet.ssh.packets import BANNER, Rubbish

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_QUESTIONS: Final = 16  # that a server may ask at once


class Proof(AuthOnlyHandler):  # type: ignore[misc]
    """Authentication that keeps what a server says of it, and can ask whether a key would do before it is used."""

    allowed: Sequence[str] = ()  # the methods that the server named last
    partial = False  # the last attempt was right, and more is wanted
    would_do = False
    _answered = False

    def query(self, username: str, algorithm: str, blob: bytes) -> bool:
        """Tell whether the server would take a signature by a key, before anybody is asked for its passphrase."""
        self.would_do = False
        self._offer(username, algorithm, blob, None)
        return self.would_do

    def prove(self, username: str, algorithm: str, blob: bytes, sign: Callable[[bytes, str], bytes]) -> bool:
        """Tell whether the server takes a key; `partial` says whether it wants more."""
        m = Message()
        m.add_string(self.transport.session_id)
        m.add_byte(cMSG_USERAUTH_REQUEST)
        for each in (username, "ssh-connection", "publickey"):
            m.add_string(each)
        m.add_boolean(True)
        m.add_string(algorithm)
        m.add_string(blob)
        self._offer(username, algorithm, blob, sign(m.asbytes(), algorithm))
        return self.is_authenticated() or self.partial

    def algorithm(self, kind: str) -> str:
        """Return by which algorithm a kind of key signs: RSA has several, and the server says which it takes."""
        if "rsa" not in kind:
            return kind
        taken = self.transport.server_extensions.get("server-sig-algs", b"").decode("ascii", "replace").split(",")
        plain = "rsa-sha2-256" if "rsa-sha2-512" not in taken and "rsa-sha2-256" in taken else "rsa-sha2-512"
        return plain + kind.removeprefix("ssh-rsa")

    def _offer(self, username: str, algorithm: str, blob: bytes, signature: bytes | None) -> None:
        def finish(m: Message) -> None:
            m.add_boolean(signature is not None)
            m.add_string(algorithm)
            m.add_string(blob)
            if signature is not None:
                m.add_string(signature)

        with contextlib.suppress(paramiko.AuthenticationException):  # a no; `allowed` says what else there is
            self.send_auth_request(username, "publickey", finish)

    def _parse_userauth_info_request(self, m: Message) -> None:
        if self.auth_method != "publickey":
            at = m.packet.tell()
            for _ in range(3):
                m.get_binary()
            if m.get_int() > _QUESTIONS:
                raise Rubbish("a server that asks far too much")
            m.packet.seek(at)
            super()._parse_userauth_info_request(m)
            return
        self._answered = self.would_do = True  # the number of this message means that, after such a question
        if self.auth_event is not None:
            self.auth_event.set()

    def send_auth_request(self, username: str, method: str, finish_message: Any = None) -> Any:
        """Make an attempt; where there is no answer, say so instead of calling it a refusal."""
        self._answered = False
        self.auth_method, self.username, self.auth_event = method, username, threading.Event()  # before the answer
        m = Message()
        m.add_byte(cMSG_USERAUTH_REQUEST)
        for each in (username, "ssh-connection", method):
            m.add_string(each)
        if finish_message is not None:
            finish_message(m)
        with self.transport.lock:
            self.transport._send_message(m)  # noqa: SLF001
        try:
            return self.wait_for_response(self.auth_event)
        except paramiko.AuthenticationException as error:
            if self._answered:
                raise
            raise (TimeoutError if self.transport.is_active() else EOFError) from error

    def _parse_userauth_banner(self, m: Message) -> None:
        self.banner = m.get_binary()[:BANNER]

    def _parse_userauth_failure(self, m: Message) -> None:
        self._answered = True
        at = m.packet.tell()
        self.allowed, self.partial = m.get_list(), m.get_boolean()
        m.packet.seek(at)
        super()._parse_userauth_failure(m)
