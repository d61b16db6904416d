"""Ansible's vault: AES-256 in counter mode with HMAC-SHA256, keys by PBKDF2 (`$ANSIBLE_VAULT;1.1` and `1.2`)."""

from __future__ import annotations

import binascii
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

from runbook.engine.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

HEADER: Final = "$ANSIBLE_VAULT"
DEFAULT: Final = "default"
_CIPHER: Final = "AES256"
_ROUNDS: Final = 10_000
_KEY: Final = 32
_BLOCK: Final = 16
_LONGEST: Final = 1 << 16  # of a password
_PATIENCE: Final = 60.0  # seconds for a program that says a password
_VERSIONS: Final = ("1.1", "1.2")
_FIELDS: Final = 3


class Locked(UserError):
    """A vaulted value can't be decrypted: no password was given, or none fits."""


class Vault:
    """The passwords at hand, and what was decrypted with them.

    Args:
        keys: vault ids and passwords; those before go before.
    """

    def __init__(self, keys: Sequence[tuple[str, bytes]] = ()) -> None:
        self.keys = list(keys)
        self._opened: dict[str, str] = {}
        self._derived: dict[tuple[bytes, bytes], bytes] = {}

    def decrypt(self, text: str, where: str = "") -> str:
        """Return the plain text of what begins with `$ANSIBLE_VAULT`.

        Args:
            text: with its header.
            where: `file:line`, for the message.

        Raises:
            Locked: no password fits.
            UserError: it is damaged, or of another cipher.
        """
        if text not in self._opened:
            try:
                self._opened[text] = self._decrypt(text, where).decode("utf-8")
            except UnicodeDecodeError:
                raise UserError("what the vault holds is no text", where=where, mend="encrypt UTF-8 text") from None
        return self._opened[text]

    def _decrypt(self, text: str, where: str) -> bytes:
        lines = text.split()
        head = lines[0].split(";") if lines else [""]
        if head[0] != HEADER or len(head) < _FIELDS:
            raise UserError(f"a vaulted value begins with {HEADER};1.1;AES256", where=where,
                            mend="write what `ansible-vault encrypt_string` prints")  # fmt: skip
        if head[1] not in _VERSIONS or head[2] != _CIPHER:
            version, cipher = head[1][:20], head[2][:20]
            raise UserError(f"a vault of version {version} with {cipher} is unknown: 1.1 and 1.2 with AES256 are",
                            where=where, mend="encrypt it again with ansible-vault")  # fmt: skip
        try:
            salt, digest, secret = binascii.unhexlify("".join(lines[1:])).split(b"\n", 2)
            parts = binascii.unhexlify(salt), binascii.unhexlify(digest), binascii.unhexlify(secret)
        except (binascii.Error, ValueError):
            raise UserError("the vaulted value is damaged: it is not all there", where=where,
                            mend="encrypt it again with ansible-vault") from None  # fmt: skip
        wanted = head[3] if len(head) > _FIELDS else DEFAULT
        named = f" (vault id {wanted[:40]})" if len(head) > _FIELDS else ""
        if not self.keys:
            mend = "name a file that holds it: --vault-password-file FILE, or --vault-id ID@FILE"
            raise Locked(f"this is vaulted{named}, and no password was given", where=where, mend=mend)
        for _, password in sorted(self.keys, key=lambda key: key[0] != wanted):
            plain = self._with(password, *parts)
            if plain is not None:
                return plain
        ids = ", ".join(dict.fromkeys(key[0] for key in self.keys))
        raise Locked(f"no password that was given opens this vault{named}; given: {ids}", where=where,
                     mend="name the right one: --vault-password-file FILE, or --vault-id ID@FILE")  # fmt: skip

    def _with(self, password: bytes, salt: bytes, digest: bytes, secret: bytes) -> bytes | None:
        """Return the plain text, or None where this is not the password."""
        import hashlib
        import hmac

        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        derived = self._derived.get((password, salt))
        if derived is None:
            derived = hashlib.pbkdf2_hmac("sha256", password, salt, _ROUNDS, 2 * _KEY + _BLOCK)
            self._derived[password, salt] = derived
        key, signing, start = derived[:_KEY], derived[_KEY : 2 * _KEY], derived[2 * _KEY :]
        if not hmac.compare_digest(hmac.new(signing, secret, "sha256").digest(), digest):
            return None
        decryptor = Cipher(algorithms.AES(key), modes.CTR(start)).decryptor()
        padded = decryptor.update(secret) + decryptor.finalize()
        return padded[: -padded[-1]] if padded and 0 < padded[-1] <= _BLOCK else padded


def vault(
    files: Sequence[str] = (),
    ids: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    ask: Callable[[str], str] | None = None,
) -> Vault:
    """Return a vault with the passwords that the options and the environment name.

    Args:
        files: of --vault-password-file; an executable one is run, and says the password.
        ids: of --vault-id: `ID@FILE`, `ID@prompt` or FILE.
        environment: `$ANSIBLE_VAULT_PASSWORD_FILE` and `$ANSIBLE_VAULT_IDENTITY_LIST` count too.
        ask: asks the person at the terminal, given the prompt.

    Raises:
        UserError: a file can't be read, a program fails, or nothing was said.
    """
    environment = os.environ if environment is None else environment
    listed = [each.strip() for each in environment.get("ANSIBLE_VAULT_IDENTITY_LIST", "").split(",") if each.strip()]
    given = [_parted(each) for each in [*listed, *ids]]
    named = environment.get("ANSIBLE_VAULT_PASSWORD_FILE")
    given += [(DEFAULT, each) for each in [*files, *([named] if named else [])]]
    opened = Vault()
    for name, place in given:
        if place in {"prompt", "prompt_ask_vault_pass"}:
            if ask is None:
                raise UserError("nobody can be asked for the vault's password here", mend="name a file")
            password = ask(f"Vault password ({name}): ").encode()
        else:
            password = _password(Path(place).expanduser(), name, opened)
        if not password:
            raise UserError("the vault's password is empty", where=place, mend="write it into the file")
        opened.keys.append((name, password))
    return opened


def _parted(given: str) -> tuple[str, str]:
    name, at, place = given.partition("@")
    return (name or DEFAULT, place) if at else (DEFAULT, given)


def _password(path: Path, name: str, opened: Vault) -> bytes:
    try:
        if path.is_file() and os.access(path, os.X_OK):
            return _said(path, name)
        with path.open("rb") as file:
            data = file.read(_LONGEST + 1).strip()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"the vault's password can't be read: {reason}", where=str(path)) from None
    if len(data) > _LONGEST:
        raise UserError(f"a vault's password has at most {_LONGEST} bytes", where=str(path))
    if data.startswith(HEADER.encode()):
        return opened.decrypt(data.decode("ascii", "replace"), str(path)).strip().encode()
    return data


def _said(path: Path, name: str) -> bytes:
    """Run a program that prints a password; one whose name ends in `-client` is told which."""
    command = [str(path.absolute())]
    if path.stem.endswith("-client"):
        command += ["--vault-id", name]
    try:
        done = subprocess.run(  # noqa: S603 -- the user's own
            command, stdout=subprocess.PIPE, timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"this program said no password within {_PATIENCE:.0f} s", where=str(path)) from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        mend = f"a file that holds the password itself is not executable: chmod a-x {path}"
        raise UserError(f"this program can't be run: {reason}", where=str(path), mend=mend) from None
    if done.returncode:
        raise UserError(f"this program said no password: it exited {done.returncode}", where=str(path))
    return done.stdout.strip()
