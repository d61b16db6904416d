"""Whether the one who answers is the host that was meant (invariant 3)."""

from __future__ import annotations

import base64
import pathlib
import shlex
import time
from typing import TYPE_CHECKING, Final

from runbook.engine.errors import HostUnreachable
from runbook.engine.fleet.ssh import known_hosts
from runbook.engine.fleet.ssh.config import matches
from runbook.engine.fleet.ssh.known_hosts import AUTHORITY, REVOKED, fingerprint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.serialization import SSHCertificate

    from runbook.engine.fleet.asker import Asker
    from runbook.engine.fleet.ssh.hop import Hop
    from runbook.engine.fleet.ssh.known_hosts import Entry

CERTIFICATE: Final = "-cert-v01@openssh.com"
_KINDS: Final = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
_FILES: Final = {"ssh-ed25519": "ed25519", "ssh-rsa": "rsa"}


def preferred(hop: Hop, known: Sequence[Entry]) -> tuple[str, ...]:
    """Return the kinds of key that the host is asked for: those first by which it is known."""
    kinds = [kind for kind in hop.key_types if kind.removesuffix(CERTIFICATE) in _KINDS] or list(_KINDS)
    plain = [kind for kind in kinds if not kind.endswith(CERTIFICATE)]
    certified = any(entry.marker == AUTHORITY for entry in known)
    held = {entry.kind for entry in known if not entry.marker}
    ours = [kind for kind in plain if (kind in held or ("ssh-rsa" in held and kind.startswith("rsa-")))]
    certificates = [kind for kind in kinds if kind.endswith(CERTIFICATE)] or [f"{kind}{CERTIFICATE}" for kind in plain]
    return (
        *(certificates if certified else ()),
        *ours,
        *(kind for kind in plain if kind not in ours),
        *(() if certified else certificates),
    )


def check(hop: Hop, known: Sequence[Entry], kind: str, key: bytes, asker: Asker) -> None:
    """See that a host has the key by which it is known.

    Args:
        hop: the host.
        known: what the files say of it.
        kind: the algorithm that was agreed on.
        key: what it showed: a key, or a certificate.
        asker: says whether an unknown key may be accepted.

    Raises:
        HostUnreachable: it is another, it was revoked, or it is not known.
    """
    if kind.endswith(CERTIFICATE):
        certificate = _certificate(hop, key)
        plain_kind, plain = _plain(certificate)
        _not_revoked(hop, known, plain_kind, plain)
        if _certified(hop, known, certificate, key):
            return
        kind, key = plain_kind, plain  # nobody vouches for it here; its key may be known by itself
    kind = "ssh-rsa" if kind.startswith("rsa-") else kind
    _not_revoked(hop, known, kind, key)
    held = [entry for entry in known if not entry.marker]
    if any(entry.key == key for entry in held):
        return
    if held:
        raise _changed(hop, kind, key, held)
    if hop.strict == "accept-new" and hop.known_hosts:
        _accept(hop, kind, key, asker)
        return
    raise _unknown(hop, kind, key)


def entries(hop: Hop) -> list[Entry]:
    """Return what the files say of a host.

    Raises:
        UserError: one can't be read.
    """
    files = (*hop.known_hosts, *hop.global_known_hosts)
    found = known_hosts.about(hop.key_name, files)
    if hop.key_name.startswith("["):  # one that is known by its name alone is known at any port, if the key is the same
        bare = hop.key_name[1:].partition("]")[0]
        held = [entry for entry in found if not entry.marker]
        found += [entry for entry in known_hosts.about(bare, files) if entry.marker or not held]
    return found


def _not_revoked(hop: Hop, known: Sequence[Entry], kind: str, key: bytes) -> None:
    revoked = [entry for entry in known if entry.marker == REVOKED and entry.key == key]
    where = revoked[0].where if revoked else _in_revoked_file(hop, key)
    if where:
        raise HostUnreachable(
            f"its host key is REVOKED: {kind} {fingerprint(key)} ({where}). Nothing was sent to it",
            where=hop.name,
            mend="the key was given up, perhaps because it was stolen: find out who answers there; if it is the host, "
            "give it a new key (`ssh-keygen -A` after removing the old one)",
        )


def _in_revoked_file(hop: Hop, key: bytes) -> str:
    if not hop.revoked:
        return ""
    try:
        content = pathlib.Path(hop.revoked).read_bytes()
    except OSError as error:
        raise HostUnreachable(
            f"the keys that are revoked can't be read, so none can be trusted: {error.strerror}",
            where=hop.revoked,
            mend="mend RevokedHostKeys in ssh_config",
        ) from error
    if content.startswith(b"SSHKRL\n"):
        raise HostUnreachable(
            "this is a binary list of revoked keys (a KRL), which is not understood, so no key can be trusted",
            where=hop.revoked,
            mend="let RevokedHostKeys name a file of public keys, one a line; what this one holds is printed by: "
            f"ssh-keygen -Q -l -f {shlex.quote(hop.revoked)}",
        )
    wanted = base64.b64encode(key)
    for number, line in enumerate(content.splitlines(), start=1):
        if wanted in line.split():
            return f"{hop.revoked}:{number}"
    return ""


def _certificate(hop: Hop, blob: bytes) -> SSHCertificate:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import SSHCertificate, load_ssh_public_identity

    size = int.from_bytes(blob[:4], "big")
    try:
        found = load_ssh_public_identity(blob[4 : 4 + size] + b" " + base64.b64encode(blob))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise HostUnreachable(f"its host certificate can't be read: {error}", where=hop.name) from error
    if not isinstance(found, SSHCertificate):
        raise HostUnreachable("its host certificate is none", where=hop.name)
    return found


def _plain(certificate: SSHCertificate) -> tuple[str, bytes]:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    line = certificate.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()
    return line[0].decode(), base64.b64decode(line[1])


def _certified(hop: Hop, known: Sequence[Entry], certificate: SSHCertificate, blob: bytes) -> bool:
    """Tell whether an authority that is trusted for this host vouches for it."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, SSHCertificateType

    line = certificate.signature_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()
    kind, signer = line[0].decode(), base64.b64decode(line[1])
    trusted = [entry for entry in known if entry.marker == AUTHORITY and entry.key == signer]
    if not trusted:
        return False
    _not_revoked(hop, known, f"the authority's {kind}", signer)
    try:
        certificate.verify_cert_signature()
    except InvalidSignature:
        raise _unfit(hop, certificate, trusted[0], "its signature is forged") from None
    if _signed_by(blob, signer) == "ssh-rsa":
        raise _unfit(hop, certificate, trusted[0], "it is signed with SHA-1, which can be forged")
    name = hop.key_name[1:].partition("]")[0] if hop.key_name.startswith("[") else hop.key_name
    principals = [each.decode("utf-8", "replace") for each in certificate.valid_principals]
    now = time.time()
    if certificate.type is not SSHCertificateType.HOST:
        raise _unfit(hop, certificate, trusted[0], "it is a user's, not a host's")
    if now < certificate.valid_after:
        raise _unfit(hop, certificate, trusted[0], f"it is not valid before {_day(certificate.valid_after)}")
    if now >= certificate.valid_before:
        raise _unfit(hop, certificate, trusted[0], f"it expired at {_day(certificate.valid_before)}")
    if certificate.critical_options:
        options = b", ".join(certificate.critical_options).decode("ascii", "replace")
        raise _unfit(hop, certificate, trusted[0], f"it has critical options that are not known: {options}")
    if not any(matches(principal.lower(), name) for principal in principals):
        raise _unfit(hop, certificate, trusted[0], f"it is for {', '.join(principals) or 'nobody'}, not for {name}")
    return True


def _signed_by(blob: bytes, signer: bytes) -> str:
    """Return the algorithm of a certificate's signature, which stands behind the authority's key at its end."""
    signature = blob[blob.rindex(signer) + len(signer) + 4 :]
    return signature[4 : 4 + int.from_bytes(signature[:4], "big")].decode("ascii", "replace")


def _day(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(min(seconds, 253402300799)))


def _unfit(hop: Hop, certificate: SSHCertificate, authority: Entry, why: str) -> HostUnreachable:
    key_id = certificate.key_id.decode("utf-8", "replace")
    return HostUnreachable(
        f"its host certificate `{key_id}` can't be accepted: {why} (authority: {authority.where})",
        where=hop.name,
        mend=f"sign the host's key anew: ssh-keygen -s CA -I {shlex.quote(hop.key_name)} -h "
        f"-n {shlex.quote(hop.address)} -V +52w /etc/ssh/ssh_host_ed25519_key.pub",
    )


def _changed(hop: Hop, kind: str, key: bytes, held: Sequence[Entry]) -> HostUnreachable:
    same = [entry for entry in held if entry.kind == kind] or held
    old = ", ".join(f"{entry.kind} {fingerprint(entry.key)} ({entry.where})" for entry in same)
    path, _, _ = same[0].where.rpartition(":")
    name = hop.key_name
    return HostUnreachable(
        f"its host key has CHANGED: it shows {kind} {fingerprint(key)}, and is known by {old}. Nothing was sent to it",
        where=hop.name,
        mend="somebody else may be answering in its place; or it was installed anew. Ask who knows; if the new key is "
        f"right: ssh-keygen -R {shlex.quote(name)} -f {shlex.quote(path)} && {_command(hop, kind, key)}",
    )


def _unknown(hop: Hop, kind: str, key: bytes) -> HostUnreachable:
    file = f"ssh_host_{_FILES.get(kind, 'ecdsa')}_key.pub"
    return HostUnreachable(
        f"its host key is not known: {kind} {fingerprint(key)}",
        where=hop.name,
        mend=f"compare it with what `ssh-keygen -lf /etc/ssh/{file}` prints there (--accept-new takes all that are not "
        f"known); to accept this one: {_command(hop, kind, key)}",
    )


def _command(hop: Hop, kind: str, key: bytes) -> str:
    line = f"{hop.key_name} {kind} {base64.b64encode(key).decode()}"
    path = hop.known_hosts[0] if hop.known_hosts else "~/.ssh/known_hosts"
    return f"echo {shlex.quote(line)} >> {shlex.quote(path)}"


def _accept(hop: Hop, kind: str, key: bytes, asker: Asker) -> None:
    with asker.lock:
        if any(entry.key == key for entry in entries(hop)):
            return  # another thread was quicker
        try:
            known_hosts.add(hop.known_hosts[0], hop.key_name, kind, key, hashed=hop.hashed)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise HostUnreachable(
                f"its key can't be added to the known hosts: {why}", where=hop.known_hosts[0]
            ) from error
    asker.say(
        f"{hop.name}: its host key was not known and is now: {kind} {fingerprint(key)}, added to {hop.known_hosts[0]}"
    )
