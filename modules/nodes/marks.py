"""Our name on a node that we took out of service: which incidents want it drained, and why, as one line of text.

Whoever drained it otherwise has not this name, and that drain is theirs.
"""

import re
from typing import List, Optional, Sequence

from runbook.modules.frozen import frozen

BY_HAND = "by hand"  # in place of an incident where a step is taken outside of one
_MARK = re.compile(r"runbook \[([^\]]*)\] ?(.*)", re.DOTALL)
_BARE = re.compile(r"[^\x20-\x7e]|[\[\]\"'=]")  # what a manager's own text format may trip over


@frozen
class Mark:
    """Who of ours wants a node drained."""

    incidents: Sequence[str]
    why: str = ""

    @property
    def text(self) -> str:
        """The line as it is written."""
        return f"runbook [{', '.join(self.incidents)}] {self.why}".rstrip()

    def plus(self, incident: str) -> "Mark":
        """Return the mark with one that wants it drained, too."""
        return self if incident in self.incidents else Mark((*self.incidents, incident), self.why)

    def minus(self, incident: Optional[str]) -> "Mark":
        """Return the mark without one; without any when none is named."""
        kept = () if incident is None else tuple(one for one in self.incidents if one != incident)
        return Mark(kept, self.why)


def read(text: str) -> Optional[Mark]:
    """Return the mark that a reason is; None for a person's or another program's."""
    found = _MARK.match(text.strip())
    if found is None:
        return None
    listed: List[str] = [one.strip() for one in found[1].split(",") if one.strip()]
    return Mark(tuple(listed), found[2].strip())


def made(incident: str, why: str) -> Mark:
    """Return a first mark."""
    return Mark((incident,), " ".join(_BARE.sub(" ", why).split()))
