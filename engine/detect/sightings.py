"""What the order of cause is made from: a place where a signature was seen, and what is known of the signature.

Lines of logs and events of hosts are told of alike. Of a scan the source is a file and the line is a line's number; of
a fleet the source is a host (or a rank), and the line counts its events.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runbook.engine.model import Severity

ADVICE: Final = "advice"  # evidence of nothing


class Sign(Protocol):
    """What has to be known of a signature; the catalogue's entries are such."""

    @property
    def id(self) -> str:
        """Return its name, such as `cuda.oom`."""

    @property
    def role(self) -> str:
        """Return root, cascade, confirmation or advice."""

    @property
    def severity(self) -> Severity:
        """Return how bad it is."""

    @property
    def scope(self) -> str:
        """Return kernel, job, app, serve, hub or build."""

    @property
    def category(self) -> str:
        """Return network, resource, timeout and so on."""

    @property
    def causes(self) -> Sequence[str]:
        """Return the ids, or globs of ids, of what it typically brings about; `id:variant` for one kind alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A place where a signature was seen; in one source they are given in their order."""

    sign: Sign
    source: str  # the file, journal or host that it was seen in
    line: int  # its place there: a line's number, or a count of events
    time: float | None = None  # seconds since the epoch
    count: int = 1  # how often from here on to the next one that is given
    variant: str = ""  # tells one kind of the signature from another, such as the code of an Xid
    device: str = ""  # a GPU, by its address (and host, of several): one device's trouble is not another's
    job: str = ""  # whose it is, where it says so: one job's trouble is not another's
    near: str = ""  # sources of one neighbourhood belong together where no times are known; empty: they surely do
    reach: float = 0.0  # its cause may lie so many seconds before it, as a timeout says of itself
    ranks: frozenset[int] = frozenset()  # of a run, that told of it from here on to the next one that is given
    hosts: frozenset[str] = frozenset()  # the same, of a source that is several hosts'
    evidence: Any = None  # what the caller wants to find again

    @property
    def kind(self) -> tuple[str, str]:
        """Return what was seen, on whatever device."""
        return self.sign.id, self.variant

    @property
    def key(self) -> tuple[str, str, str]:
        """Return what makes two sightings the same trouble."""
        return self.sign.id, self.variant, self.device
