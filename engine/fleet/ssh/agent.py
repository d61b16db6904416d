"""The user's ssh-agent: what it holds, and what it signs."""

from __future__ import annotations

import socket
from typing import Final

from runbook.engine.errors import HostUnreachable

_LIST, _LISTED, _SIGN, _SIGNED = 11, 12, 13, 14
_LARGEST: Final = 1 << 20  # bytes of one answer
_LISTING, _SIGNING = 5.0, 60.0  # seconds; for a signature a person may have to touch something
_FLAGS: Final = {"rsa-sha2-256": 2, "rsa-sha2-512": 4}


def listed(path: str) -> list[tuple[bytes, str]]:
    """Return the keys that an agent holds, each with its comment; none where there is no agent."""
    try:
        answer = _asked(path, bytes([_LIST]), _LISTING)
    except OSError:
        return []
    if not answer or answer[0] != _LISTED:
        return []
    found = []
    at = 5
    for _ in range(min(int.from_bytes(answer[1:5], "big"), 1000)):
        blob, at = _string(answer, at)
        comment, at = _string(answer, at)
        if blob:
            found.append((blob, comment.decode("utf-8", "replace")))
    return found


def sign(path: str, blob: bytes, data: bytes, algorithm: str) -> bytes:
    """Have an agent sign.

    Raises:
        HostUnreachable: it does not.
    """
    flags = next((flag for name, flag in _FLAGS.items() if algorithm.startswith(name)), 0)
    request = bytes([_SIGN]) + _packed(blob) + _packed(data) + flags.to_bytes(4, "big")
    try:
        answer = _asked(path, request, _SIGNING)
    except OSError as error:
        raise HostUnreachable(f"the ssh-agent does not sign: {error.strerror or error}", where=path) from error
    if not answer or answer[0] != _SIGNED:
        raise HostUnreachable("the ssh-agent refuses to sign", where=path, mend="look with `ssh-add -l` what it holds")
    return _string(answer, 1)[0]


def _asked(path: str, request: bytes, timeout: float) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout)
        sock.connect(path)
        sock.sendall(_packed(request))
        size = int.from_bytes(_exactly(sock, 4), "big")
        if size > _LARGEST:
            raise OSError("it answers with far too much")
        return _exactly(sock, size)


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            raise OSError("it hung up")
        data += more
    return data


def _packed(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def _string(data: bytes, at: int) -> tuple[bytes, int]:
    end = at + 4 + int.from_bytes(data[at : at + 4], "big")
    return data[at + 4 : end], end
