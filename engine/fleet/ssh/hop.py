"""Everything that is to be known for a connection to one host, and to the jump hosts before it."""

from __future__ import annotations

import dataclasses
import getpass
import os
import re
import socket
from typing import TYPE_CHECKING, Final

from runbook.engine.errors import UserError
from runbook.engine.fleet.ssh import arguments, config
from runbook.engine.fleet.ssh.config import Setting
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runbook.engine.fleet.target import Target

_USUAL: Final = ("~/.ssh/id_rsa", "~/.ssh/id_ecdsa", "~/.ssh/id_ecdsa_sk", "~/.ssh/id_ed25519", "~/.ssh/id_ed25519_sk")
_KNOWN: Final = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
_GLOBAL: Final = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
_STRICT: Final = {"yes": "yes", "ask": "yes", "accept-new": "accept-new", "no": "accept-new", "off": "accept-new"}
_FAMILIES: Final = {"any": socket.AF_UNSPEC, "inet": socket.AF_INET, "inet6": socket.AF_INET6}
_HARMLESS: Final = re.compile(r"(?!-)[^\x00-\x20\x7f'`\"$\\;&<>|(){},*?!#]+")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_ALIVE: Final = (30.0, 3)  # seconds of silence, and how many questions may stay without an answer


@frozen
class Hop:
    """One connection. Seconds for times."""

    name: str  # for messages
    address: str
    port: int
    user: str
    key_name: str  # under which known_hosts has its key
    identities: tuple[str, ...]
    certificates: tuple[str, ...]
    identities_only: bool
    agent: str  # the socket of the user's ssh-agent; empty: none
    known_hosts: tuple[str, ...]
    global_known_hosts: tuple[str, ...]
    revoked: str  # a file of keys that are not to be trusted, if there is one
    strict: str  # yes, accept-new
    hashed: bool  # names are hashed in what is added to known_hosts
    proxy_command: str
    jumps: tuple[Hop, ...]
    connect_timeout: float
    timeout: float
    alive: tuple[float, int]
    family: int
    bind: str
    methods: tuple[str, ...]  # the order of authentication
    key_types: tuple[str, ...]
    kexes: tuple[str, ...]
    ciphers: tuple[str, ...]


def resolve(target: Target) -> Hop:
    """Return how a host is reached, by the inventory, ~/.ssh/config and ssh's own defaults.

    Raises:
        UserError: something in there is wrong.
    """
    given = []
    for word, value in (("port", target.port), ("user", target.user), ("identityfile", target.key_file)):
        if value:
            given.append(Setting(word, (str(value),), target.name))
    said = arguments.parse(target.ssh_args, target.name)
    settings = (*given, *said.settings)
    found = _hop(target.address or target.name, target.name, settings, said.files, target.timeout, ())
    return _accepting(found) if target.accept_new else found


def _harmless(what: str, text: str, name: str) -> None:
    """Refuse what no name has: as with ssh, a ProxyCommand, `Match exec` and known_hosts take names in as they are."""
    if not _HARMLESS.fullmatch(text.replace(" ", "") if what == "user's" else text):
        raise UserError(f"the {what} name {text!r} has characters that can't be in one", where=name)


def _accepting(hop: Hop) -> Hop:
    """Return a hop, and those before it, that accept host keys which are not known yet."""
    return dataclasses.replace(hop, strict="accept-new", jumps=tuple(map(_accepting, hop.jumps)))


def _hop(
    alias: str,
    name: str,
    given: Sequence[Setting],
    files: Sequence[tuple[str, str]] | None,
    timeout: float,
    above: tuple[str, ...],
) -> Hop:
    _harmless("host's", alias, name)
    said = _Said(config.lookup(alias, given, files), name)
    user = said.one("user", getpass.getuser())
    port = said.number("port", 22, most=65535)
    address = config.expand(said.one("hostname", "%h"), {"h": alias, "n": alias}, name)
    _harmless("address's", address, name)
    _harmless("user's", user, name)
    names = config.tokens(alias, address, str(port), user)
    alias_key = said.one("hostkeyalias", "")
    names["k"] = alias_key or alias
    jumps, command = _proxy(said, names, files, timeout, (*above, alias))
    alive = said.seconds("serveraliveinterval", _ALIVE[0]), said.number("serveralivecountmax", _ALIVE[1])
    agent = said.one("identityagent", "SSH_AUTH_SOCK")
    return Hop(
        name=name,
        address=address,
        port=port,
        user=user,
        key_name=alias_key.lower() or known_name(address, port),
        identities=_identities(said, names),
        certificates=tuple(said.paths("certificatefile", names, ())),
        identities_only=said.one("identitiesonly", "no") == "yes",
        agent=_agent(agent, names, name),
        known_hosts=tuple(said.paths("userknownhostsfile", names, _KNOWN)),
        global_known_hosts=tuple(said.paths("globalknownhostsfile", names, _GLOBAL)),
        revoked=next(iter(said.paths("revokedhostkeys", names, ())), ""),
        strict=said.among("stricthostkeychecking", "ask", _STRICT),
        hashed=said.one("hashknownhosts", "no") == "yes",
        proxy_command=command,
        jumps=jumps,
        connect_timeout=said.seconds("connecttimeout", timeout) or timeout,
        timeout=timeout,
        alive=alive,
        family=_FAMILIES.get(said.one("addressfamily", "any"), socket.AF_UNSPEC),
        bind=said.one("bindaddress", ""),
        methods=_methods(said),
        key_types=said.names("hostkeyalgorithms"),
        kexes=said.names("kexalgorithms"),
        ciphers=said.names("ciphers"),
    )


def known_name(address: str, port: int) -> str:
    """Return a host's name in known_hosts."""
    return address.lower() if port == 22 else f"[{address.lower()}]:{port}"


class _Said:
    """What the configuration says of one host."""

    def __init__(self, found: Mapping[str, list[Setting]], name: str) -> None:
        self._found, self._name = found, name

    def where(self, word: str) -> str:
        return self._found[word][0].where if word in self._found else self._name

    def one(self, word: str, otherwise: str) -> str:
        values = self._found[word][0].values if word in self._found else ()
        return values[0] if values else otherwise

    def first(self, *words: str) -> str:
        """Return which of some words was found first; empty: none."""
        return next((word for word in self._found if word in words), "")

    def number(self, word: str, otherwise: int, most: int = 1 << 31) -> int:
        text = self.one(word, str(otherwise))
        if not text.isdecimal() or int(text) > most:
            raise UserError(f"{word}: `{text}` is no number from 0 to {most}", where=self.where(word))
        return int(text)

    def seconds(self, word: str, otherwise: float) -> float:
        text = self.one(word, "")
        if not text or text == "none":
            return otherwise if not text else 0.0
        rest, total = text.lower(), 0
        while rest:
            digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
            unit, rest = rest[len(digits) : len(digits) + 1] or "s", rest[len(digits) + 1 :]
            if not digits or unit not in _UNITS:
                raise UserError(f"{word}: `{text}` is no time", where=self.where(word), mend="write 30, 30s or 1m30s")
            total += int(digits) * _UNITS[unit]
        return float(total)

    def among(self, word: str, otherwise: str, known: Mapping[str, str]) -> str:
        text = self.one(word, otherwise).lower()
        if text not in known:
            raise UserError(
                f"{word}: `{text}` is not known", where=self.where(word), mend=f"it may be {', '.join(known)}"
            )
        return known[text]

    def names(self, word: str) -> tuple[str, ...]:
        """Return a list of algorithms; one that only changes ssh's own defaults says nothing to us."""
        text = self.one(word, "")
        return () if not text or text[0] in "+-^" else tuple(text.split(","))

    def paths(self, word: str, names: Mapping[str, str], otherwise: Sequence[str]) -> list[str]:
        texts = [value for setting in self._found.get(word, ()) for value in setting.values] or list(otherwise)
        return [config.expand(text, names, self.where(word)) for text in texts if text.lower() != "none"]


def _identities(said: _Said, names: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(said.paths("identityfile", names, _USUAL))


def _agent(text: str, names: Mapping[str, str], where: str) -> str:
    if text.lower() == "none":
        return ""
    if text == "SSH_AUTH_SOCK":
        return os.environ.get(text, "")
    if text.startswith("$") and not text.startswith("${"):
        return os.environ.get(text[1:], "")
    return config.expand(text, names, where)


def _methods(said: _Said) -> tuple[str, ...]:
    wanted = said.one("preferredauthentications", "publickey,password,keyboard-interactive").split(",")
    barred = {
        method
        for method, words in {
            "publickey": ("pubkeyauthentication",),
            "password": ("passwordauthentication",),
            "keyboard-interactive": ("kbdinteractiveauthentication", "challengeresponseauthentication"),
        }.items()
        if any(said.one(word, "yes") == "no" for word in words)
    }
    return tuple(method for method in wanted if method not in barred)


def _proxy(
    said: _Said,
    names: Mapping[str, str],
    files: Sequence[tuple[str, str]] | None,
    timeout: float,
    above: tuple[str, ...],
) -> tuple[tuple[Hop, ...], str]:
    """Return the jump hosts and the proxy command; whichever of the two words was found first counts."""
    word = said.first("proxyjump", "proxycommand")
    value = said.one(word, "none") if word else "none"
    if value.lower() == "none":
        return (), ""
    expanded = config.expand(value, names, said.where(word))
    if word == "proxycommand":
        return (), expanded
    hops: list[Hop] = []
    for text in expanded.split(","):
        hops.append(_jump(text.strip(), files, timeout, above, said.where(word), alone=not hops))
    return (*hops[0].jumps, *hops), ""


def _jump(
    text: str,
    files: Sequence[tuple[str, str]] | None,
    timeout: float,
    above: tuple[str, ...],
    where: str,
    *,
    alone: bool,
) -> Hop:
    rest = text.removeprefix("ssh://")
    user, at, place = rest.rpartition("@")
    if place.startswith("["):
        host, _, port = place[1:].partition("]")
        port = port.removeprefix(":")
    else:
        host, _, port = place.partition(":")
    if not host or (port and not port.isdecimal()):
        raise UserError(f"ProxyJump: `{text}` is no [user@]host[:port]", where=where)
    if host in above:
        raise UserError(f"ProxyJump leads in a circle: {' → '.join((*above, host))}", where=where)
    given = []
    if at:
        given.append(Setting("user", (user,), where))
    if port:
        given.append(Setting("port", (port,), where))
    if not alone:  # it is reached through the one before it
        given.append(Setting("proxyjump", ("none",), where))
        given.append(Setting("proxycommand", ("none",), where))
    return _hop(host, f"{host} (jump host)", given, files, timeout, above)
