"""What stands outside of a runbook and is known to its rules: an inventory's hosts, groups and vars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator


@frozen
class Astray:
    """A part of a host pattern that names nothing."""

    word: str  # as it stands in the pattern
    message: str
    hint: str = ""


class Hosts(Protocol):
    """The hosts and groups of an inventory."""

    def astray(self, pattern: str) -> Iterator[Astray]:
        """Yield the parts of a pattern that name no host and no group."""

    def stranger(self, name: str) -> Astray | None:
        """Return why a name is no host's; None where it is one."""


@frozen
class Outside:
    """What an inventory adds to what a runbook says."""

    names: frozenset[str] = frozenset()  # of the vars that it defines
    hosts: Hosts | None = None  # None: none is given
