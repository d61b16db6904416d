"""Which hosts of an inventory a pattern names: Ansible's patterns, with their order and their subscripts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from runbook.engine.errors import UserError
from runbook.engine.inventory import addresses
from runbook.engine.inventory.draft import LOCALHOST
from runbook.engine.language.host_pattern import readable, subscript
from runbook.engine.language.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

One_co = TypeVar("One_co", bound="Named", covariant=True)
_TERM = re.compile(r"(?:[^\s:\[\]]|\[[^\]]*\])+")
_SPECIAL: Final = (".", "?", "*", "[")
_MANY: Final = 1_000_000  # lines of a limit's file


class Named(Protocol):
    """A host."""

    @property
    def name(self) -> str:
        """What the inventory calls it."""


class Inventory(Protocol[One_co]):
    """What patterns are asked of."""

    warnings: list[str]

    @property
    def hosts(self) -> Mapping[str, One_co]:
        """The hosts by name, in their order."""

    @property
    def groups(self) -> Mapping[str, Any]:
        """The groups by name, in their order."""

    def host(self, name: str) -> One_co | None:
        """Return a host by its name."""

    def within(self, group: str) -> list[str]:
        """Return the names of the hosts of a group and of those below it."""


def matching(inventory: Inventory[One_co], pattern: str | Sequence[str], limits: Sequence[str] = ()) -> list[One_co]:
    """Return the hosts that a pattern names, less those that the limits keep out.

    Raises:
        UserError: nothing matches, or a pattern is none.
    """
    terms = split(pattern)
    found = evaluated(inventory, terms)
    if not found:
        raise _nobody(inventory, terms, "hosts")
    allowed = limited(limits)
    if allowed is None:
        return list(found.values())
    among = evaluated(inventory, allowed)
    left = [host for name, host in found.items() if name in among]
    if not left:
        raise _nobody(inventory, allowed, "limit")
    return left


def among(inventory: Inventory[Any], limits: Sequence[str]) -> frozenset[str]:
    """Return the names that limits let through: all where there are none; it may be nobody.

    Raises:
        UserError: a pattern is none, or a file of a limit is not there.
    """
    allowed = limited(limits)
    return frozenset(inventory.hosts if allowed is None else evaluated(inventory, allowed))


def split(pattern: str | Sequence[str]) -> list[str]:
    """Part a pattern into its terms: at commas, or else at colons outside of brackets and addresses.

    Example:
        >>> split("gpu:&rack1:!down"), split("::1"), split("a, b[1:2]")
        (['gpu', '&rack1', '!down'], ['::1'], ['a', 'b[1:2]'])
    """
    if not isinstance(pattern, str):
        return [term for each in pattern for term in split(each)]
    if "," in pattern:
        parts = pattern.split(",")
    else:
        try:
            addresses.parse(pattern)
            parts = [pattern]
        except addresses.Unfit:
            parts = _TERM.findall(pattern)
    return [part.strip() for part in parts if part.strip()]


def astray(inventory: Inventory[Any], pattern: str) -> Iterator[tuple[str, str, str | None]]:
    """Yield the parts of a pattern that name no host and no group, each with its name and what was probably meant.

    Raises:
        UserError: a part is no regular expression.
    """
    for term in split(pattern):
        found = subscript(term)
        bare = found[1] if found else term.lstrip("&!")
        if bare and found_by(inventory, bare) is None:
            yield term, bare, likest(inventory, bare)


def limited(limits: Sequence[str]) -> list[str] | None:
    """Return the terms of limits, those of files among them; None where nothing is limited.

    Raises:
        UserError: a file can't be read.
    """
    terms: list[str] = []
    for term in split(limits):
        if not term.startswith("@"):
            terms.append(term)
            continue
        path = Path(term[1:])
        try:
            if not path.is_file():
                why = "it is a directory" if path.is_dir() else "it is not there"
                raise UserError(f"the file of the limit can't be read: {why}", where=str(path), mend="--limit @FILE")
            lines = path.read_text("utf-8").splitlines()[:_MANY]
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is not UTF-8"
            raise UserError(f"the file of the limit can't be read: {why.lower()}", where=str(path)) from None
        terms += [line.strip() for line in lines if line.strip()]
        if not any(line.strip() for line in lines):
            raise UserError("the file of the limit names no host", where=str(path), mend="write one a line")
    return terms if limits else None


def evaluated(inventory: Inventory[One_co], terms: Sequence[str]) -> dict[str, One_co]:
    """Add up the plain terms, keep what each `&` has too, take away what each `!` has; whatever their order."""
    plain = [term for term in terms if term[0] not in "&!"] or ["all"]
    found: dict[str, One_co] = {}
    for term in plain:
        one = {term: inventory.hosts[term]} if term in inventory.hosts else _one(inventory, term)
        found.update({name: host for name, host in one.items() if name not in found})
    for term in terms:
        if term[0] == "&":
            both = _one(inventory, term[1:])
            found = {name: host for name, host in found.items() if name in both}
    for term in terms:
        if term[0] == "!":
            barred = _one(inventory, term[1:])
            found = {name: host for name, host in found.items() if name not in barred}
    return found


def _one(inventory: Inventory[One_co], term: str) -> dict[str, One_co]:
    """Return the hosts of one term, without its `&` or `!`."""
    if not term:
        raise UserError("a pattern is missing behind `&` or `!`", where="hosts", mend="write gpu:!maintenance")
    counted = subscript(term)
    names = _named(inventory, counted[1] if counted else term)
    if counted and names:
        names = _subscripted(names, counted, term)
    return {host.name: host for name in names if (host := inventory.host(name)) is not None}


def _subscripted(names: list[str], found: re.Match[str], term: str) -> list[str]:
    _, index, start, end = found.groups()
    last = len(names) - 1 if not end else int(end)
    try:
        if index is not None or (end and last == 0):
            return [names[int(index if index is not None else start)]]
    except IndexError:
        raise UserError(f"`{term}` names a host that is not there: {found[1]} has {len(names)}", where="hosts",
                        mend="the first is [0], the last is [-1]") from None  # fmt: skip
    return names[int(start) : last + 1]


def _named(inventory: Inventory[Any], term: str) -> list[str]:
    """Return the hosts that a term names, of groups and by their own names; several times, as subscripts count."""
    found = found_by(inventory, term)
    if found is None:
        _warn(inventory, term)
    return found or []


def found_by(inventory: Inventory[Any], term: str) -> list[str] | None:
    """Return the hosts that a term names; None where it names none, and no group."""
    test = readable(term)
    groups = [name for name in inventory.groups if test(name)]
    found = [name for group in groups for name in inventory.within(group)]
    if not groups or term[0] == "~" or any(each in term for each in _SPECIAL):
        found += [name for name in inventory.hosts if test(name)]
    if not found and term in LOCALHOST:
        found = [term]
    return found if found or groups or term == "all" else None


def _warn(inventory: Inventory[Any], term: str) -> None:
    near = likest(inventory, term)
    told = f"no host and no group matches `{term}`" + (f": did you mean {near}?" if near else "")
    if told not in inventory.warnings:
        inventory.warnings.append(told)


def likest(inventory: Inventory[Any], name: str) -> str | None:
    """Return the host or group that was probably meant."""
    return nearest(name, [*inventory.groups, *inventory.hosts][:5000])


def _nobody(inventory: Inventory[Any], terms: Sequence[str], where: str) -> UserError:
    shown = ",".join(terms)[:200]
    if not inventory.hosts:
        return UserError(f"no host matches `{shown}`: the inventory names none", where=where,
                         mend="name an inventory: -i inventory.yaml")  # fmt: skip
    for term in terms:
        bare = term.lstrip("&!")
        near = nearest(bare, [*inventory.groups, *inventory.hosts][:5000]) if bare else None
        if near and near != bare and bare not in inventory.groups:
            return UserError(f"no host matches `{shown}`", where=where, mend=f"did you mean {near}?")
    groups = ", ".join([name for name in inventory.groups if name != "all"][:10])
    return UserError(f"no host matches `{shown}`", where=where, mend=f"`runbook inventory --graph` shows all: {groups}")
