"""The keys by which a user shows who they are: files, certificates, and what an ssh-agent holds."""

from __future__ import annotations

import base64
import os
import pathlib
from typing import TYPE_CHECKING, Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from runbook.engine.errors import HostUnreachable, UserError
from runbook.engine.fleet.ssh import agent as ssh_agent
from runbook.engine.fleet.ssh.host_key import CERTIFICATE
from runbook.engine.fleet.ssh.known_hosts import fingerprint
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from runbook.engine.fleet.asker import Asker
    from runbook.engine.fleet.ssh.hop import Hop

_HASHES: Final[Mapping[str, Callable[[], hashes.HashAlgorithm]]] = {
    "ecdsa-sha2-nistp256": hashes.SHA256,
    "ecdsa-sha2-nistp384": hashes.SHA384,
    "ecdsa-sha2-nistp521": hashes.SHA512,
}


@frozen
class Identity:
    """One key, or a certificate with its key."""

    label: str  # where it comes from, for messages
    kind: str  # such as ssh-ed25519, or ssh-ed25519-cert-v01@openssh.com
    blob: bytes  # what the server is shown
    unlock: Callable[[], Callable[[bytes, str], bytes]]  # returns what signs data by an algorithm; may ask a person
    locked: bool  # a person would have to be asked

    def __str__(self) -> str:
        """Return how a message names it."""
        return f"{self.label} ({self.kind.removesuffix(CERTIFICATE)} {fingerprint(self.blob)})"


def identities(hop: Hop, asker: Asker) -> Iterator[Identity]:
    """Yield the keys to try, as `ssh` orders them: of the agent those that are named first, then files.

    Raises:
        HostUnreachable: a key that was named can't be read.
    """
    files = [each for path in hop.identities for each in _from_file(path, hop, asker)]
    held = _held(hop, asker)
    named = {each.blob for each in files} | _public(hop)
    yield from _certificates(hop, files, held)
    yield from (each for each in held if each.blob in named)
    if not hop.identities_only:
        yield from (each for each in held if each.blob not in named)
    agents = {each.blob for each in held}
    yield from sorted((each for each in files if each.blob not in agents), key=lambda each: each.locked)


def _held(hop: Hop, asker: Asker) -> list[Identity]:
    """Return what the agent holds; one that does not answer holds nothing, as for ssh."""
    if not hop.agent:
        return []

    def listed() -> list[Identity]:
        found = []
        for blob, comment in ssh_agent.listed(hop.agent):
            kind = blob[4 : 4 + int.from_bytes(blob[:4], "big")].decode("ascii", "replace")
            found.append(Identity(f"{comment} in the ssh-agent", kind, blob, _agents(hop.agent, blob), locked=False))
        return found

    found: list[Identity] = asker.once(("agent", hop.agent), listed)
    return found


def _agents(path: str, blob: bytes) -> Callable[[], Callable[[bytes, str], bytes]]:
    return lambda: lambda data, algorithm: ssh_agent.sign(path, blob, data, algorithm)


def _public(hop: Hop) -> set[bytes]:
    """Return the public keys beside the files that were named: a key of which only that is here is the agent's."""
    found = set()
    for path in hop.identities:
        for name in (path, f"{path}.pub", f"{path}-cert.pub"):
            blob = _line(name)
            if blob:
                found.add(blob[1])
    return found


def _certificates(hop: Hop, files: list[Identity], held: list[Identity]) -> Iterator[Identity]:
    """Yield the certificates of CertificateFile, and those beside the files, with whoever can sign for them."""
    signers = {each.blob: each for each in (*held, *files)}
    for path in (*hop.certificates, *(f"{path}-cert.pub" for path in hop.identities)):
        found = _line(path)
        if found is None or not found[0].endswith(CERTIFICATE):
            continue
        try:
            key = _key_of(found[0], found[1])
        except (ValueError, UnsupportedAlgorithm):
            continue
        if (signer := signers.get(key)) is not None:
            yield Identity(path, found[0], found[1], signer.unlock, signer.locked)


def _key_of(kind: str, blob: bytes) -> bytes:
    found = serialization.load_ssh_public_identity(kind.encode() + b" " + base64.b64encode(blob))
    if not isinstance(found, serialization.SSHCertificate):
        raise ValueError("no certificate")  # noqa: TRY004 -- its text is wrong, not a type
    return _blob(found.public_key())


def _line(path: str) -> tuple[str, bytes] | None:
    """Read a file with one public key or certificate."""
    try:
        words = pathlib.Path(path).read_text(encoding="utf-8", errors="replace").split()
        return (words[0], base64.b64decode(words[1], validate=True)) if len(words) > 1 else None
    except (OSError, ValueError):
        return None


def _from_file(path: str, hop: Hop, asker: Asker) -> Iterator[Identity]:
    """Yield the key of a file; one of the usual names that is not there is none."""
    try:
        content = pathlib.Path(path).read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise HostUnreachable(f"the key can't be read: {error.strerror}", where=path) from error
    if b"PRIVATE KEY" not in content:
        return  # a public one, whose private half the agent has
    seen = os.stat(path)  # noqa: PTH116
    if seen.st_mode & 0o077 and seen.st_uid == os.geteuid():
        raise HostUnreachable(
            f"others may read the private key (mode {seen.st_mode & 0o777:o}), so it is not used",
            where=path,
            mend=f"chmod 600 {path}",
        )
    found = asker.once(("key", path, seen.st_mtime_ns), lambda: _loaded(path, content, asker))
    if isinstance(found, Identity):
        yield found
    elif found:
        raise HostUnreachable(
            found, where=path, mend=f"look at it with `ssh-keygen -y -f {path}`, or name another in {hop.name}"
        )


def _loaded(path: str, content: bytes, asker: Asker) -> Identity | str:
    try:
        key = _private(content, None)
    except TypeError:  # it has a passphrase
        public = _unlocked_half(content) or _line(f"{path}.pub")
        if public is None:
            key = asker.secret(f"passphrase of {path}", lambda word: _private(content, word.encode()))
            return Identity(path, *_named(key), _signing(key), locked=False)
        return Identity(path, *public, lambda: _ask(path, content, asker), locked=True)
    except (ValueError, UnsupportedAlgorithm) as error:
        return f"this is no private key that is understood: {error}"
    return Identity(path, *_named(key), _signing(key), locked=False)


def _ask(path: str, content: bytes, asker: Asker) -> Callable[[bytes, str], bytes]:
    try:
        return _signing(asker.secret(f"passphrase of {path}", lambda word: _private(content, word.encode())))()
    except UserError as error:
        raise HostUnreachable(
            f"the key has a passphrase: {error.what}", where=path, mend=f"add it to the ssh-agent: ssh-add {path}"
        ) from error


def _private(content: bytes, passphrase: bytes | None) -> Any:
    if b"OPENSSH PRIVATE KEY" in content:
        return serialization.load_ssh_private_key(content, passphrase)
    return serialization.load_pem_private_key(content, passphrase)


def _unlocked_half(content: bytes) -> tuple[str, bytes] | None:
    """Return the public key that stands in an OpenSSH private key, whether that is encrypted or not."""
    try:
        text = content.partition(b"-----BEGIN OPENSSH PRIVATE KEY-----")[2].partition(b"-----END")[0]
        body = base64.b64decode(text)
        if not body.startswith(b"openssh-key-v1\0"):
            return None
        at = len(b"openssh-key-v1\0")
        for _ in range(3):  # cipher, how the key is derived, and its parameters
            at += 4 + int.from_bytes(body[at : at + 4], "big")
        at += 4  # how many keys
        size = int.from_bytes(body[at : at + 4], "big")
        blob = body[at + 4 : at + 4 + size]
        return blob[4 : 4 + int.from_bytes(blob[:4], "big")].decode("ascii"), blob
    except (ValueError, IndexError):
        return None


def _named(key: Any) -> tuple[str, bytes]:
    blob = _blob(key.public_key())
    return blob[4 : 4 + int.from_bytes(blob[:4], "big")].decode("ascii"), blob


def _blob(public: Any) -> bytes:
    line = public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return base64.b64decode(line.split()[1])


def _signing(key: Any) -> Callable[[], Callable[[bytes, str], bytes]]:
    """Return what signs with a key of ours, in the way of SSH."""

    def sign(data: bytes, algorithm: str) -> bytes:
        plain = algorithm.removesuffix(CERTIFICATE)
        if isinstance(key, ed25519.Ed25519PrivateKey):
            signed = key.sign(data)
        elif isinstance(key, rsa.RSAPrivateKey):
            kind = hashes.SHA512() if plain == "rsa-sha2-512" else hashes.SHA256()
            signed = key.sign(data, padding.PKCS1v15(), kind)
        elif isinstance(key, ec.EllipticCurvePrivateKey):
            r, s = decode_dss_signature(key.sign(data, ec.ECDSA(_HASHES[plain]())))
            signed = _string(_number(r)) + _string(_number(s))
        else:
            raise HostUnreachable(f"a key of the kind {type(key).__name__} can't sign for SSH")
        return _string(plain.encode()) + _string(signed)

    return lambda: sign


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def _number(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big")
