"""Showing a host who we are."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

from paramiko.ssh_exception import AuthenticationException, SSHException

from runbook.engine.errors import HostUnreachable
from runbook.engine.fleet.ssh import keys, trouble

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runbook.engine.fleet.asker import Asker
    from runbook.engine.fleet.ssh.hop import Hop
    from runbook.engine.fleet.ssh.transport import Transport

_KEY, _PASSWORD, _QUESTIONS = "publickey", "password", "keyboard-interactive"
_STAGES: Final = 4  # ways of showing who we are that a host may want one after another
_TOLD: Final = 8  # keys that a message names


def authenticate(transport: Transport, hop: Hop, asker: Asker, password: str | None) -> None:
    """Log in, by the keys that there are, and by the password if one was given.

    Raises:
        HostUnreachable: the host does not let us in.
    """
    tried = _Tried(hop)
    try:
        auth = transport.authentication(hop.timeout)
        for _ in range(_STAGES):
            auth.partial = False
            for method in hop.methods:
                if auth.allowed and method not in auth.allowed:
                    continue
                if method == _KEY:
                    _by_key(auth, hop, asker, tried)
                elif password is not None and method in {_PASSWORD, _QUESTIONS}:
                    tried.password = True
                    _by_password(auth, hop, method, password)
                if auth.is_authenticated():
                    return
                if auth.partial:
                    break  # so far, so good: it wants something else besides
            if not auth.partial:
                break
        if not auth.allowed:
            _by_nothing(auth, hop)  # to learn what it would take
            if auth.is_authenticated():
                return
    except (SSHException, OSError, EOFError) as error:
        raise _cut(transport, hop, error, tried) from error
    raise tried.failed(auth.allowed, password)


def _by_key(auth: Any, hop: Hop, asker: Asker, tried: _Tried) -> None:
    for identity in keys.identities(hop, asker):
        algorithm = auth.algorithm(identity.kind)
        tried.keys.append(str(identity))
        if identity.locked and not auth.query(hop.user, algorithm, identity.blob):
            continue
        if auth.prove(hop.user, algorithm, identity.blob, identity.unlock()) or _KEY not in auth.allowed:
            return


def _by_password(auth: Any, hop: Hop, method: str, password: str) -> None:
    with contextlib.suppress(AuthenticationException):  # a no
        if method == _PASSWORD:
            auth.auth_password(hop.user, password)
        else:
            auth.auth_interactive(hop.user, lambda _title, _text, fields: [password] * len(fields))


def _by_nothing(auth: Any, hop: Hop) -> None:
    with contextlib.suppress(AuthenticationException):
        auth.send_auth_request(hop.user, "none", lambda _m: None)


class _Tried:
    """What was tried, for the message."""

    def __init__(self, hop: Hop) -> None:
        self._hop = hop
        self.keys: list[str] = []
        self.password = False

    def failed(self, allowed: Sequence[str], password: str | None) -> HostUnreachable:
        """Say that nothing helped."""
        hop = self._hop
        more = f" and {len(self.keys) - _TOLD} more" if len(self.keys) > _TOLD else ""
        tried = [f"keys: {', '.join(self.keys[:_TOLD])}{more}" if self.keys else f"no key: {self._looked()}"]
        tried += ["the password"] if self.password else []
        if allowed and _KEY not in allowed and password is None:
            mend = f"it takes {', '.join(allowed)} alone: give `ansible_password` (vaulted), or -k"
        else:
            mend = f"let it know a key: ssh-copy-id -p {hop.port} {hop.user}@{hop.address}; or name the right one by "
            mend += "`ansible_ssh_private_key_file`, or another user by `ansible_user`"
        return HostUnreachable(
            f"{hop.user} may not log in at {hop.address} port {hop.port}; tried {'; '.join(tried)}",
            where=hop.name,
            mend=mend,
        )

    def _looked(self) -> str:
        where = ["the ssh-agent holds none"] if self._hop.agent else ["no ssh-agent"]
        return "; ".join([*where, f"nothing at {', '.join(self._hop.identities)}"])


def _cut(transport: Transport, hop: Hop, error: BaseException, tried: _Tried) -> HostUnreachable:
    """Say why the connection ended while we were at it."""
    said = transport.goodbye
    if "too many authentication failures" in said.lower():
        return HostUnreachable(
            f"it hung up after {len(tried.keys)} keys that it does not know (too many authentication failures)",
            where=hop.name,
            mend="let it be offered the right key alone: `IdentitiesOnly yes` and `IdentityFile` in ~/.ssh/config, "
            "or -o IdentitiesOnly=yes in `ansible_ssh_common_args`",
        )
    if isinstance(error, TimeoutError) or "timeout" in str(error).lower():
        return HostUnreachable(
            f"it did not answer within {hop.timeout:g} s (authentication)", where=hop.name, mend=trouble.SLOW
        )
    cause = error if not isinstance(error, AuthenticationException) else None
    return HostUnreachable(
        f"the connection ended during authentication: {trouble.lost(cause, said)}",
        where=hop.name,
        mend=trouble.LOG,
    )
